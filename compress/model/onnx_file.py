"""A compressed model as an ONNX file for other programs, checked against the module that it was made from.

The file is made from the plain module that `CompressedModel.export()` returns. It stores weights dense (as floats, with
pruned ones zero) or as int8 codes of the codebook followed by Cast and Mul. Steps are powers of two, so both hold the
same numbers exactly. DequantizeLinear is not used: ONNX Runtime fuses it with MatMul into a kernel that also rounds
activations.
"""

from __future__ import annotations

import copy
import importlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.artifact import refuse_existing, write_file
from compress.dataset import Progress
from compress.errors import ConfigError, InputShapeError, ModelError
from compress.model.codebook import LayerCodes, per_channel
from compress.model.compressed import CompressedModel
from compress.model.precision import full_precision_, precision

Storage = Literal["dense", "codes"]

#: The oldest operator set with every operation that torch's exporter writes; any runtime of the last years reads it.
OPSET = 18
#: Largest allowed difference between ONNX Runtime and torch, relative to the largest output (at least 1).
TOLERANCE = 1e-4
CHECKED_INPUTS = 16
_INT8_LEVELS = 127
_NEEDED = ("onnx", "onnxscript")


@dataclass(frozen=True)
class OnnxFile:
    """What was written. images_checked is 0 and largest_difference None when onnxruntime is not installed.

    coded_layers: layers stored as int8 codes. largest_difference: between outputs of ONNX Runtime and of torch.
    """

    path: Path
    file_bytes: int
    opset: int
    coded_layers: tuple[str, ...]
    images_checked: int
    largest_difference: float | None


def export_onnx(
    model: CompressedModel | nn.Module,
    path: str | Path,
    *,
    input_shape: Sequence[int] | None = None,
    images: NDArray[np.float32] | None = None,
    storage: Storage = "dense",
    force: bool = False,
    progress: Progress | None = None,
) -> OnnxFile:
    """Write `model` as one ONNX file with input "input" (batch, *input_shape) and output "output", for any batch size.

    input_shape: without the batch axis; not needed for a model that has seen data. images: inputs on which the file is
    checked (default: fixed random ones in [0, 1]). Half-precision models are written in float32, which holds their
    numbers.

    Raises: OverwriteError; ConfigError for an unknown storage, a missing shape or missing packages (cipherpress[onnx]);
    InputShapeError for a shape that the model does not take; ModelError when the model cannot be expressed in ONNX or
    the outputs of the file differ from torch's. Nothing is written then.
    """
    path = Path(path)
    refuse_existing(path, force=force)
    if storage not in get_args(Storage):
        raise ConfigError("storage", storage, f"one of {', '.join(get_args(Storage))}")
    shape = _input_shape(model, input_shape, images)
    onnx = _required_packages(path)
    module = model.export() if isinstance(model, CompressedModel) else model
    module = full_precision_(copy.deepcopy(module)).eval()
    inputs = _check_inputs(shape, images, module)
    try:
        with torch.no_grad():
            expected = module(inputs)
    except (RuntimeError, IndexError) as error:
        raise InputShapeError(
            f"input: the model does not take shape {shape} ({_first_line(error)}); "
            "give the shape without the batch axis"
        ) from error
    if progress is not None:
        progress("trace", 0.1)
    proto = _translate(module, inputs, path)
    codes = model.layers() if isinstance(model, CompressedModel) and storage == "codes" else {}
    coded = _store_codes(onnx, proto, codes)
    onnx.checker.check_model(proto)
    content = proto.SerializeToString(deterministic=True)
    if progress is not None:
        progress("check", 0.8)
    difference = _compare(content, inputs, expected, path)
    write_file(path, content, force=force)
    return OnnxFile(path, len(content), OPSET, coded, 0 if difference is None else len(inputs), difference)


def _input_shape(
    model: CompressedModel | nn.Module, given: Sequence[int] | None, images: NDArray[np.float32] | None
) -> tuple[int, ...]:
    if given is None and images is None and isinstance(model, CompressedModel):
        given = model.input_shape
    if given is None and images is None:
        raise ConfigError("input_shape", None, "the shape of one input, for a model that has seen no data yet")
    if given is not None and images is not None and tuple(given) != images.shape[1:]:
        raise InputShapeError(
            f"images: shape {images.shape[1:]} each, the model takes {tuple(given)}; give images of that shape"
        )
    return tuple(given) if given is not None else tuple(images.shape[1:])  # type: ignore[union-attr]


def _required_packages(path: Path) -> Any:
    """The onnx module.

    Raises: ConfigError naming the extra.
    """
    try:
        return [importlib.import_module(name) for name in _NEEDED][0]
    except ImportError as error:
        raise ConfigError(
            "output", str(path), f"ONNX files need {' and '.join(_NEEDED)}; install cipherpress[onnx]"
        ) from error


def _check_inputs(shape: tuple[int, ...], images: NDArray[np.float32] | None, module: nn.Module) -> Tensor:
    """At least two inputs in the module's precision; with one, the exporter would make the batch size a constant."""
    dtype = precision(module)
    if images is not None and len(images) > 1:
        return torch.from_numpy(np.ascontiguousarray(images)).to(dtype)
    generator = torch.Generator().manual_seed(0)
    return torch.rand(CHECKED_INPUTS, *shape, generator=generator).to(dtype)


def _translate(module: nn.Module, inputs: Tensor, path: Path) -> Any:
    """The ONNX model without names of files and modules on this machine.

    Raises: ModelError with the message of torch's exporter.
    """
    batch = torch.export.Dim("batch")
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                (inputs[:2],),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=["input"],
                output_names=["output"],
                dynamic_shapes=({0: batch},),
            )
    except Exception as error:  # the exporter runs user code and wraps all of its errors
        raise ModelError(
            f"{path}: the model cannot be written as ONNX ({_reason(error)}); use tensor operations with fixed shapes"
        ) from error
    if program is None:
        raise ModelError(f"{path}: torch's exporter returned nothing; use a torch release that cipherpress supports")
    proto = program.model_proto
    for part in (proto, proto.graph, *proto.graph.node, *proto.graph.value_info, *proto.graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    return proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the exporter's messages about packages that are not installed and about its own deprecated calls."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.onnx._internal.exporter._registration")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _store_codes(onnx: Any, proto: Any, layers: dict[str, LayerCodes]) -> tuple[str, ...]:
    """Replace the initializers that hold a layer's weights (as they are or transposed) by codes, Cast and Mul.

    Returns the layers found. A layer whose weights the exporter merged with others stays dense.
    """
    arrays = {item.name: onnx.numpy_helper.to_array(item) for item in proto.graph.initializer}
    replaced: dict[str, Any] = {}
    found = []
    for layer, codes in layers.items():
        for name in _holders(arrays, codes) if codes.levels <= _INT8_LEVELS else ():
            transposed = arrays[name].shape != codes.codes.shape or not _equal(arrays[name], codes.values())
            replaced.setdefault(name, (codes, transposed, arrays[name].dtype))
            found.append(layer)
    kept = [item for item in proto.graph.initializer if item.name not in replaced]
    nodes = []
    for name, (codes, transposed, dtype) in replaced.items():
        stored = np.asarray(codes.codes, dtype=np.int8)
        step = per_channel(np.exp2(codes.log2_step.astype(np.float64)), stored.ndim).astype(dtype)
        parts = {f"{name}.codes": stored.T if transposed else stored, f"{name}.step": step.T if transposed else step}
        kept += [onnx.numpy_helper.from_array(np.ascontiguousarray(value), part) for part, value in parts.items()]
        floating = onnx.helper.np_dtype_to_tensor_dtype(dtype)
        nodes.append(onnx.helper.make_node("Cast", [f"{name}.codes"], [f"{name}.cast"], to=floating))
        nodes.append(onnx.helper.make_node("Mul", [f"{name}.cast", f"{name}.step"], [name]))
    operations = list(proto.graph.node)
    del proto.graph.initializer[:], proto.graph.node[:]
    proto.graph.initializer.extend(kept)
    proto.graph.node.extend([*nodes, *operations])
    return tuple(dict.fromkeys(found))


def _holders(arrays: dict[str, NDArray[Any]], codes: LayerCodes) -> list[str]:
    """Names of the initializers that are this layer's weight matrix or its transpose."""
    dense = codes.values()
    return [
        name for name, value in arrays.items() if _equal(value, dense) or (dense.ndim == 2 and _equal(value, dense.T))
    ]


def _equal(left: NDArray[Any], right: NDArray[Any]) -> bool:
    return left.shape == right.shape and left.dtype.kind == "f" and bool(np.array_equal(left, right))


def _compare(content: bytes, inputs: Tensor, expected: Tensor, path: Path) -> float | None:
    """Largest difference between ONNX Runtime and torch, None when onnxruntime is not installed.

    Raises: ModelError when the two differ by more than rounding.
    """
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError:
        return None
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run(["output"], {"input": inputs.numpy()})
    wanted = expected.numpy()
    difference = float(np.abs(found - wanted).max())
    allowed = TOLERANCE * max(1.0, float(np.abs(wanted).max()))
    if found.shape != wanted.shape or not difference <= allowed:
        raise ModelError(
            f"{path}: ONNX Runtime's outputs differ from torch's by {difference:.3g}, allowed {allowed:.3g}; "
            "nothing was written; export with storage dense or another torch release"
        )
    return difference


def _reason(error: BaseException) -> str:
    """The first line of the innermost cause; whole messages of the exporter are pages long."""
    while error.__cause__ is not None:
        error = error.__cause__
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
