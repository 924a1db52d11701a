"""A CompressedModel on disk: a folder with `model.safetensors` (numbers) and `model.json` (everything else).

A quantized layer is stored as a bitmap of its mask, the codes of the surviving weights packed to their bits, and the
log2 of its steps. A layer that is only pruned is stored as the bitmap and the surviving weights. The folder does not
hold
the torch module: the caller gives it again, and it must have the recorded architecture. Nothing is pickled.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor, nn

from compress.artifact import json_bytes, read_hashed, write_folder
from compress.errors import FormatError, ModelError
from compress.model.bitpack import pack_codes, pack_mask, packed_bytes, unpack_codes, unpack_mask
from compress.model.codebook import LayerCodes, level_bits
from compress.model.compressed import CompressedModel, prunable_layers, source_record, tied_layers
from compress.model.folding import fold_batch_norm
from compress.model.masking import mask_layer_
from compress.model.quantizer import quantize_layer_
from compress.model.record import (
    DTYPES,
    FORMAT_VERSION,
    JSON_FILE,
    KIND,
    LARGEST_LOG2,
    MASKED_FIELD,
    TENSORS_FILE,
    TIED_FIELD,
    layer_entry,
    read_record,
)

_QUANTIZER = ".parametrizations.weight."


def save_model(model: CompressedModel, folder: str | Path, force: bool = False) -> None:
    """Write the folder, whole or not at all; the same model gives the same bytes.

    Raises: ModelError for a module that is neither in float32 nor in float64; as `compress.artifact.write_folder`.
    """
    tied = tied_layers(model.module)
    codes = {name: layer for name, layer in model.layers().items() if name not in tied}
    tensors: dict[str, Tensor] = {}
    for name, layer in codes.items():
        tensors[f"{name}.mask"] = torch.from_numpy(pack_mask(layer.mask))
        tensors[f"{name}.codes"] = torch.from_numpy(pack_codes(layer.codes[layer.mask], layer.levels))
        tensors[f"{name}.log2_step"] = torch.from_numpy(layer.log2_step.astype(np.int16))
    masked = {name: mask for name, mask in model.masks().items() if name not in tied}
    for name, mask in masked.items():
        parameter: Tensor = model.module.get_submodule(name).weight  # type: ignore[assignment]
        weight = parameter.detach()
        tensors[f"{name}.mask"] = torch.from_numpy(pack_mask(mask))
        tensors[f"{name}.survivors"] = weight[torch.from_numpy(mask)].clone()
    tensors |= {key: value.detach().clone().contiguous() for key, value in _leftovers(model.module).items()}
    content = safetensors.torch.save(dict(sorted(tensors.items())))
    header = {
        "kind": KIND,
        "version": FORMAT_VERSION,
        "tensors_sha256": hashlib.sha256(content).hexdigest(),
        "source": model.source,
        "input_shape": None if model.input_shape is None else list(model.input_shape),
        "dtype": _dtype(model.module),
        "architecture": architecture(model.module),
        "layers": [layer_entry(name, layer) for name, layer in codes.items()],
        "history": list(model.history),
    }
    if masked:
        header[MASKED_FIELD] = [
            {"layer": name, "shape": list(mask.shape), "kept": int(mask.sum())} for name, mask in masked.items()
        ]
    held = {name: owner for name, owner in tied.items() if owner in codes or owner in masked}
    if held:
        header[TIED_FIELD] = held
    write_folder(Path(folder), {TENSORS_FILE: content, JSON_FILE: json_bytes(header)}, force=force)


def load_model_folder(folder: str | Path, module: nn.Module | None = None) -> CompressedModel:
    """The model that `save_model` wrote.

    module: the model it was made from (`read_record(folder)["source"]` says which). Its weights do not matter, and it
    is not changed.

    Raises: ModelError when the module is missing or another one; FormatError, naming file and field, for a damaged
    folder.
    """
    folder = Path(folder)
    header = read_record(folder)
    content = read_hashed(folder / TENSORS_FILE, header["tensors_sha256"])
    try:
        tensors = safetensors.torch.load(content)
    except (SafetensorError, KeyError) as error:  # KeyError: numbers of a type that torch lacks
        raise FormatError(f"{folder / TENSORS_FILE}: not a safetensors file ({error}); save the model again") from error
    fitting = _fitting_module(header, module, folder).to(getattr(torch, header["dtype"]))
    layers = dict(prunable_layers(fitting))
    _tie(fitting, header, folder / JSON_FILE)
    followers = {owner: [name for name, its in header[TIED_FIELD].items() if its == owner] for owner in layers}
    restored: set[str] = set()
    for field in ("layers", MASKED_FIELD):
        for entry in header[field]:
            name = entry["layer"]
            fits = name in layers and list(layers[name].weight.shape) == entry["shape"]  # type: ignore[arg-type]
            if not fits or name in restored:
                raise FormatError(
                    f"{folder / JSON_FILE}: field '{field}' names '{name}' {entry['shape']}, which the model does not "
                    "have or which is named twice"
                )
            restored.add(name)
            group = [layers[member] for member in (name, *followers[name])]
            if field == MASKED_FIELD:
                _restore_masked(group, entry, tensors, folder / TENSORS_FILE)
            else:
                _restore_layers(group, _read_codes(entry, tensors, folder / TENSORS_FILE))
    _restore_leftovers(fitting, tensors, folder / TENSORS_FILE)
    shape = header["input_shape"]
    return CompressedModel(
        module=fitting.eval(),
        input_shape=None if shape is None else tuple(shape),
        source=header["source"],
        history=tuple(header["history"]),
    )


def architecture(module: nn.Module) -> dict[str, str]:
    """Module path -> class and options, for every module that computes something itself; without parametrizations."""
    found = {}
    compressible = {name for name, _ in prunable_layers(module)}
    for name, part in module.named_modules():
        leaf = name in compressible or next(part.children(), None) is None
        if leaf and ".parametrizations" not in name:
            found[name] = f"{type(part).__name__.removeprefix('Parametrized')}({part.extra_repr()})"
    return found


def _fitting_module(header: Mapping[str, Any], module: nn.Module | None, folder: Path) -> nn.Module:
    """A copy of the module, with its normalizations folded if they are folded in the saved model."""
    source = header["source"]
    if module is None:
        raise ModelError(f"{folder}: made from {source.get('kind')} model '{source.get('name')}'; give that model too")
    own = source_record(module)
    if source.get("sha256") is not None and own.get("sha256") != source["sha256"]:
        found = own.get("file") or f"{own['kind']} model '{own['name']}'"
        raise ModelError(
            f"{folder}: made from {source.get('file')}:{source.get('name')} with sha256 "
            f"{str(source['sha256'])[:12]}..., "
            f"not from {found} as it is now; give the file it was made from"
        )
    saved = header["architecture"]
    candidates = (copy.deepcopy(module), fold_batch_norm(module))
    different = [_differences(architecture(candidate), saved) for candidate in candidates]  # unfolded, folded
    for candidate, layers in zip(candidates, different, strict=True):
        if not layers:
            return candidate
    layer = min(different, key=len)[0]
    raise ModelError(
        f"{folder}: layer '{layer}' is {saved.get(layer)} there and {architecture(module).get(layer)} in the model "
        f"given; give {source.get('kind')} model '{source.get('name')}'"
    )


def _differences(found: Mapping[str, str], wanted: Mapping[str, Any]) -> list[str]:
    """Module paths that the two architectures do not agree on, in order."""
    return [name for name in sorted(found.keys() | wanted.keys()) if found.get(name) != wanted.get(name)]


def _leftovers(module: nn.Module) -> dict[str, Tensor]:
    """The state dict without the compressed weights: biases, normalizations, layers that were not compressed."""
    return {key: value for key, value in module.state_dict().items() if _QUANTIZER not in f".{key}"}


def _tie(module: nn.Module, header: Mapping[str, Any], path: Path) -> None:
    """Let layers of `module` share weights as they did in the saved model.

    Raises: FormatError for ties that the saved layers cannot have; ModelError when layers of the module share a weight
    and the saved ones do not.
    """
    layers, tied = dict(prunable_layers(module)), header[TIED_FIELD]
    entries = {entry["layer"] for field in ("layers", MASKED_FIELD) for entry in header[field]}
    for name, owner in tied.items():
        if name in entries or owner not in entries or not {name, owner} <= layers.keys():
            raise FormatError(
                f"{path}: field '{TIED_FIELD}' ties '{name}' to '{owner}', which holds no weights of both"
            )
        if layers[name].weight.shape != layers[owner].weight.shape:  # type: ignore[union-attr]
            raise FormatError(f"{path}: field '{TIED_FIELD}' ties '{name}' to '{owner}' of another shape; save again")
        layers[name].weight = layers[owner].weight
    for name, owner in tied_layers(module).items():
        if {name, owner} & entries and tied.get(name) != owner:
            raise ModelError(
                f"{path.parent}: layers '{name}' and '{owner}' share a weight in the model given, not in the saved "
                "one; give the model it was made from"
            )


def _restore_layers(group: Sequence[nn.Module], codes: LayerCodes) -> None:
    """Set the first layer's weight, which the others share, and hold it to its codebook in all of them."""
    weight: Tensor = group[0].weight  # type: ignore[assignment]
    with torch.no_grad():
        weight.copy_(torch.from_numpy(codes.values()))
    for layer in group:
        quantize_layer_(layer, codes.mask, codes.log2_step, codes.levels)


def _restore_masked(
    group: Sequence[nn.Module], entry: Mapping[str, Any], tensors: dict[str, Tensor], path: Path
) -> None:
    """Set surviving weights and zeros, and hold the zeros from now on, in all layers that share the weight."""
    name, weight = entry["layer"], group[0].weight
    mask = _read_mask(entry, tensors, path)
    survivors = _take(tensors, f"{name}.survivors", weight.dtype, (entry["kept"],), path)  # type: ignore[arg-type]
    if not np.isfinite(survivors).all():
        raise FormatError(f"{path}: tensor '{name}.survivors' has values that are not finite; train the model again")
    values = np.zeros(mask.shape, dtype=survivors.dtype)
    values[mask] = survivors
    with torch.no_grad():
        weight.copy_(torch.from_numpy(values))  # type: ignore[operator]
    for layer in group:
        mask_layer_(layer, mask)


def _restore_leftovers(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Copy the remaining tensors into the module; they must be exactly those that it needs."""
    wanted = _leftovers(module)
    missing, extra = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    if missing or extra:
        raise FormatError(
            f"{path}: missing tensors {missing or 'none'}, unknown {extra or 'none'}; save the model again"
        )
    for key, target in wanted.items():
        value = tensors[key]
        if value.shape != target.shape or value.dtype != target.dtype:
            found, needed = f"{value.dtype} {tuple(value.shape)}", f"{target.dtype} {tuple(target.shape)}"
            raise FormatError(f"{path}: tensor '{key}' is {found}, the model needs {needed}; save the model again")
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise FormatError(f"{path}: tensor '{key}' has values that are not finite; train the model again")
        with torch.no_grad():
            target.copy_(value)


def _read_codes(entry: Mapping[str, Any], tensors: dict[str, Tensor], path: Path) -> LayerCodes:
    name, shape, levels, kept = entry["layer"], tuple(entry["shape"]), entry["levels"], entry["kept"]
    mask = _read_mask(entry, tensors, path)
    packed = _take(tensors, f"{name}.codes", torch.uint8, (packed_bytes(kept, level_bits(levels)),), path)
    survivors = unpack_codes(packed, kept, levels)
    step_shape = () if entry["granularity"] == "layer" else (shape[0],)
    log2_step = _take(tensors, f"{name}.log2_step", torch.int16, step_shape, path).astype(np.int32)
    if np.abs(survivors).max(initial=0) > levels or np.abs(log2_step).max(initial=0) > LARGEST_LOG2:
        raise FormatError(
            f"{path}: layer '{name}' has codes beyond {levels} or a step beyond 2^{LARGEST_LOG2}; save again"
        )
    codes = np.zeros(shape, dtype=np.int32)
    codes[mask] = survivors
    return LayerCodes(codes, log2_step, mask, levels)


def _read_mask(entry: Mapping[str, Any], tensors: dict[str, Tensor], path: Path) -> NDArray[np.bool_]:
    name, shape, kept = entry["layer"], tuple(entry["shape"]), entry["kept"]
    packed = _take(tensors, f"{name}.mask", torch.uint8, (packed_bytes(int(np.prod(shape)), 1),), path)
    mask = unpack_mask(packed, shape)
    if int(mask.sum()) != kept:
        raise FormatError(
            f"{path}: tensor '{name}.mask' keeps {int(mask.sum())} weights, {JSON_FILE} says {kept}; save again"
        )
    return mask


def _take(tensors: dict[str, Tensor], key: str, dtype: torch.dtype, shape: tuple[int, ...], path: Path) -> NDArray[Any]:
    """Take one tensor out of `tensors`."""
    if key not in tensors:
        raise FormatError(f"{path}: tensor '{key}' is missing; save the model again")
    tensor = tensors.pop(key)
    if tensor.dtype != dtype or tuple(tensor.shape) != shape:
        raise FormatError(
            f"{path}: tensor '{key}' is {tensor.dtype} {tuple(tensor.shape)}, expected {dtype} {shape}; save again"
        )
    return tensor.numpy()


def _dtype(module: nn.Module) -> str:
    found = {str(parameter.dtype).removeprefix("torch.") for parameter in module.parameters()}
    if len(found) != 1 or not found <= set(DTYPES):
        raise ModelError(
            f"parameters: of type {', '.join(sorted(found))}; only one of {', '.join(DTYPES)} can be saved, convert it"
        )
    return found.pop()
