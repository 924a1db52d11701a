"""model.json of a saved CompressedModel: its fields, written and checked without any tensor.

`masked` is there only when a layer is pruned but not quantized; `tied` only when layers share a weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from compress.artifact import read_json
from compress.checks import is_shape
from compress.errors import FormatError, shown
from compress.model.codebook import LayerCodes, level_bits
from compress.model.history import step_fault

KIND = "compressed"
FORMAT_VERSION = 1
TENSORS_FILE = "model.safetensors"
JSON_FILE = "model.json"

_FIELDS = frozenset(
    {"kind", "version", "tensors_sha256", "source", "input_shape", "dtype", "architecture", "layers", "history"}
)
#: Layers that are pruned but not quantized.
MASKED_FIELD = "masked"
#: Layer -> the layer that it shares a weight with, and whose entry holds that weight.
TIED_FIELD = "tied"
_MASKED_LAYER_FIELDS = frozenset({"layer", "shape", "kept"})
_LAYER_FIELDS = frozenset({"layer", "shape", "levels", "bits", "kept", "granularity"})
#: What a loader records of the torch module: kind, name, and of a file its name and hash; "random" for weights that
#: were drawn.
SOURCE_FIELDS = ("kind", "name", "file", "sha256", "weights")
LONGEST_SOURCE = 1000
DTYPES = ("float32", "float64")
#: Steps beyond this overflow or underflow in float32.
LARGEST_LOG2 = 126
LARGEST_LEVELS = 2**15 - 1


def read_record(folder: str | Path) -> dict[str, Any]:
    """The folder's model.json with its fields checked: what the model is and where it came from.

    Raises: FormatError naming file and field.
    """
    path = Path(folder) / JSON_FILE
    header = read_json(path, kind=KIND, version=FORMAT_VERSION)
    missing, extra = sorted(_FIELDS - header.keys()), sorted(header.keys() - _FIELDS - {MASKED_FIELD, TIED_FIELD})
    if missing or extra:
        raise FormatError(f"{path}: missing {missing or 'nothing'}, unknown {extra or 'nothing'}; save the model again")
    shape = header["input_shape"]
    if shape is not None and not is_shape(shape):
        raise FormatError(f"{path}: field 'input_shape' is {shown(shape)}; a list of sizes or null is needed")
    if header["dtype"] not in DTYPES:
        raise FormatError(f"{path}: field 'dtype' is {shown(header['dtype'])}; allowed: {', '.join(DTYPES)}")
    for field, kind in (("source", dict), ("architecture", dict), ("layers", list), ("history", list)):
        if not isinstance(header[field], kind):
            raise FormatError(f"{path}: field '{field}' is {type(header[field]).__name__}, expected {kind.__name__}")
    _check_source(header["source"], path)
    if not all(isinstance(layer, str) for layer in header["architecture"].values()):
        raise FormatError(f"{path}: field 'architecture' gives for each layer a text; save the model again")
    for position, step in enumerate(header["history"]):
        fault = step_fault(step)
        if fault is not None:
            raise FormatError(f"{path}: field 'history[{position}]' {fault}; save the model again")
    for position, entry in enumerate(header["layers"]):
        _check_layer_entry(entry, f"{path}: field 'layers[{position}]'")
    masked = header.setdefault(MASKED_FIELD, [])
    if not isinstance(masked, list):
        raise FormatError(f"{path}: field '{MASKED_FIELD}' is {type(masked).__name__}, expected list")
    for position, entry in enumerate(masked):
        _check_masked_entry(entry, f"{path}: field '{MASKED_FIELD}[{position}]'")
    tied = header.setdefault(TIED_FIELD, {})
    if not isinstance(tied, dict) or not all(isinstance(owner, str) for owner in tied.values()):
        raise FormatError(f"{path}: field '{TIED_FIELD}' names for each layer the one it shares with; save again")
    return header


def _check_source(source: dict[str, Any], path: Path) -> None:
    """Raises: FormatError for anything but short texts under the names that a loader records."""
    for name, value in source.items():
        if name not in SOURCE_FIELDS or not isinstance(value, str) or len(value) > LONGEST_SOURCE:
            raise FormatError(
                f"{path}: field 'source.{name[:80]}' is {shown(value)}; allowed: texts of at most {LONGEST_SOURCE} "
                f"characters named {', '.join(SOURCE_FIELDS)}"
            )


def layer_entry(name: str, codes: LayerCodes) -> dict[str, Any]:
    return {
        "layer": name,
        "shape": list(codes.codes.shape),
        "levels": codes.levels,
        "bits": codes.bits,
        "kept": int(codes.mask.sum()),
        "granularity": codes.granularity,
    }


def _check_layer_entry(entry: Any, where: str) -> None:
    if not isinstance(entry, dict) or entry.keys() != _LAYER_FIELDS:
        raise FormatError(f"{where}: needs exactly {', '.join(sorted(_LAYER_FIELDS))}; save the model again")
    if not isinstance(entry["layer"], str) or not is_shape(entry["shape"]):
        raise FormatError(f"{where}: layer is a text and shape a list of whole numbers; save the model again")
    levels = entry["levels"]
    if type(levels) is not int or not 1 <= levels <= LARGEST_LEVELS or entry["bits"] != level_bits(levels):
        raise FormatError(
            f"{where}: levels {shown(levels)} and bits {shown(entry['bits'])}; "
            f"levels 1 to {LARGEST_LEVELS} with their bits"
        )
    _check_kept(entry, where)
    if entry["granularity"] not in ("layer", "channel"):
        raise FormatError(f"{where}.granularity: got {shown(entry['granularity'])}; allowed: layer, channel")


def _check_masked_entry(entry: Any, where: str) -> None:
    if not isinstance(entry, dict) or entry.keys() != _MASKED_LAYER_FIELDS:
        raise FormatError(f"{where}: needs exactly {', '.join(sorted(_MASKED_LAYER_FIELDS))}; save the model again")
    if not isinstance(entry["layer"], str) or not is_shape(entry["shape"]):
        raise FormatError(f"{where}: layer is a text and shape a list of whole numbers; save the model again")
    _check_kept(entry, where)


def _check_kept(entry: Mapping[str, Any], where: str) -> None:
    kept, size = entry["kept"], prod(entry["shape"])
    if type(kept) is not int or not 0 <= kept <= size:
        raise FormatError(f"{where}.kept: got {shown(kept)}; 0 to {size} is allowed")
