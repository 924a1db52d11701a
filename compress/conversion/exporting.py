"""From imported layers to the frozen Network: torch tensors become codes, steps and numpy arrays here."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.conversion.calibrate import calibrated
from compress.conversion.combining import combine_polynomials
from compress.graph.importing import import_model
from compress.graph.layers import Imported, Layer
from compress.graph.modules import ChannelAffine, PolynomialActivation
from compress.graph.unsupported import unsupported
from compress.model.quantizer import layer_codes
from compress.model.unhooked import unhooked_copy
from compress.network import (
    Add,
    Affine,
    AvgPool,
    AxisMap,
    Concat,
    Conv,
    ConvTranspose,
    Dense,
    Gather,
    Input,
    Multiply,
    Network,
    Node,
    Permute,
    Polynomial,
    Reshape,
    Shape,
    Weights,
)

Array = NDArray[np.float64]


def export_network(module: nn.Module, input_shape: Shape, calibration_images: Array) -> Network:
    """Freeze an evaluation-mode module made of exact operations only (linear maps, polynomials); no training.

    calibration_images: (count, *input_shape), for the ranges.

    Raises: UnsupportedLayerError (an activation or max pooling is left: `convert` replaces those), CalibrationError,
    InputShapeError.
    """
    imported = import_model(unhooked_copy(module), input_shape)
    about = {"dropped": list(imported.dropped)} if imported.dropped else {}
    return calibrated(replace(frozen_network(imported), about=about), calibration_images)


def frozen_network(imported: Imported) -> Network:
    """The layers as nodes, with normalizations folded into the linear map before them. Ranges are not measured yet.

    Arithmetic that amounts to a polynomial of one value is one node.

    Raises: UnsupportedLayerError.
    """
    nodes: list[Node] = [Input(name="input", inputs=(), shape=imported.input_shape)]
    for layer in imported.layers:
        nodes.extend(_nodes(layer))
    return Network(nodes=combine_polynomials(fold_affine(tuple(nodes))))


def fold_affine(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """Fold per-channel Affine nodes into a Dense or Conv that nothing else reads.

    The factors go into the steps, one per output channel, so that codes stay integers. A negative factor flips the
    signs of the codes of its channel.
    """
    by_name = {node.name: node for node in nodes}
    readers = Counter(name for node in nodes for name in node.inputs)
    renamed: dict[str, str] = {}
    for node in nodes:
        if not isinstance(node, Affine):
            continue
        source = by_name[renamed.get(node.inputs[0], node.inputs[0])]
        if not isinstance(source, (Dense, Conv)) or readers[node.inputs[0]] != 1:
            continue
        channels = _per_channel(node, len(source.bias), -1 if isinstance(source, Dense) else 0)
        if channels is None:
            continue
        scale, shift = channels
        by_name[source.name] = replace(source, weights=_scaled(source.weights, scale), bias=source.bias * scale + shift)
        renamed[node.name] = source.name
        readers[source.name] = readers[node.name]
    kept = [by_name[node.name] for node in nodes if node.name not in renamed]
    return tuple(replace(node, inputs=tuple(renamed.get(name, name) for name in node.inputs)) for node in kept)


def _per_channel(node: Affine, channels: int, axis: int) -> tuple[Array, Array] | None:
    """(scale, shift) of the node, each (channels,), if they vary only along `axis`; None otherwise."""
    found = []
    for part in (node.scale, node.shift):
        full = np.moveaxis(np.broadcast_to(part, node.shape), axis, 0).reshape(channels, -1)
        if not np.all(full == full[:, :1]):
            return None
        found.append(full[:, 0].astype(np.float64))
    return found[0], found[1]


def _scaled(weights: Weights, scale: Array) -> Weights:
    if weights.bits is None:
        return replace(weights, codes=weights.codes * scale.reshape((-1,) + (1,) * (weights.codes.ndim - 1)))
    column = (-1,) + (1,) * (weights.codes.ndim - 1)
    codes = weights.codes * np.sign(scale).astype(weights.codes.dtype).reshape(column)
    factor = np.where(scale == 0.0, 1.0, np.abs(scale))
    step = weights.step * (factor[0] if weights.step.ndim == 0 and np.all(factor == factor[0]) else factor)
    return replace(weights, codes=codes, step=np.asarray(step, dtype=np.float64))


def _nodes(layer: Layer) -> list[Node]:
    """The nodes of a layer: one, or two for a difference."""
    base: dict[str, Any] = {"name": layer.name, "inputs": layer.inputs, "shape": layer.shape}
    options = layer.options
    match layer.kind:
        case "linear":
            return [Dense(**base, **_weighted(layer))]
        case "conv":
            return [Conv(**base, **_weighted(layer))]
        case "convtranspose":
            return [ConvTranspose(**base, **_weighted(layer))]
        case "norm":
            scale, shift = norm_factors(layer.module)
            column = (-1,) + (1,) * (len(layer.shape) - 1)
            return [Affine(**base, scale=_array(scale).reshape(column), shift=_array(shift).reshape(column))]
        case "affine":
            return [Affine(**base, **options)]
        case "avgpool":
            return [AvgPool(**base, **options)]
        case "polynomial":
            module = layer.module
            exact = module.monomials() if isinstance(module, PolynomialActivation) else options["coefficients"]
            return [Polynomial(**base, coefficients=exact)]
        case "reshape":
            return [Reshape(**base)]
        case "permute":
            return [Permute(**base, axes=options["axes"])]
        case "gather":
            return [Gather(**base, indices=options["indices"])]
        case "axismap":
            return [AxisMap(**base, **options)]
        case "concat":
            return [Concat(**base, axis=options["axis"])]
        case "multiply":
            return [Multiply(**base)]
        case "add":
            if options["signs"] == (1.0, 1.0):
                return [Add(**base)]
            minus = Affine(
                name=f"{layer.name}.minus",
                inputs=layer.inputs[1:],
                shape=layer.shape,
                scale=np.array(-1.0),
                shift=np.array(0.0),
            )
            return [minus, Add(**{**base, "inputs": (layer.inputs[0], minus.name)})]
    what = {"samplenorm": "constants", "softmax": "constants", "activation": "a fitted polynomial"}.get(
        layer.kind, "a mean"
    )
    name = type(layer.module).__name__ if layer.kind == "samplenorm" and layer.module is not None else layer.kind
    raise unsupported(layer.name, name, "is not exact", f"call convert, which replaces it by {what}")


def _weighted(layer: Layer) -> dict[str, Any]:
    """Weights, bias and options of a layer; a functional one carries its weights in its options."""
    options = dict(layer.options)
    if "weight" not in options:
        return {"weights": layer_weights(layer.torch_module), "bias": _bias(layer.torch_module), **options}
    weights = Weights(codes=np.asarray(options.pop("weight"), dtype=np.float64), step=np.array(1.0))
    return {"weights": weights, **options}


def layer_weights(module: nn.Module) -> Weights:
    """Codes and step of a quantized layer, or float64 values of any other."""
    codes = layer_codes(module)
    if codes is None:
        return Weights(codes=_array(module.weight), step=np.array(1.0))
    integers = np.asarray(codes.codes)
    step = np.exp2(np.asarray(codes.log2_step, dtype=np.float64))
    largest = int(np.abs(integers).max(initial=0))
    mask = None if codes.mask is None else np.asarray(codes.mask, dtype=bool)
    return Weights(codes=integers.astype(_smallest_int(largest)), step=step, bits=codes.bits, mask=mask)


def _smallest_int(largest: int) -> np.dtype[Any]:
    """The smallest signed integer type that holds both +largest and -largest."""
    return np.dtype(next(kind for kind in (np.int8, np.int16, np.int32, np.int64) if largest <= np.iinfo(kind).max))


def norm_factors(module: nn.Module | None) -> tuple[Tensor, Tensor]:
    """(scale, shift) per channel of a batch normalization in evaluation mode, or of a ChannelAffine, float64."""
    if isinstance(module, ChannelAffine):
        return module.scale.detach().to(torch.float64), module.shift.detach().to(torch.float64)
    if (
        not isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))
        or module.running_mean is None
        or module.running_var is None
    ):
        raise TypeError(f"{type(module).__name__} is no normalization with running statistics")
    scale = 1.0 / torch.sqrt(module.running_var.to(torch.float64) + module.eps)
    if module.weight is not None:
        scale = scale * module.weight.detach().to(torch.float64)
    shift = -module.running_mean.to(torch.float64) * scale
    if module.bias is not None:
        shift = shift + module.bias.detach().to(torch.float64)
    return scale, shift


def _bias(module: nn.Module) -> Array:
    bias = module.bias
    rows = module.out_features if isinstance(module, nn.Linear) else module.out_channels
    return np.zeros(int(rows)) if bias is None else _array(bias)


def _array(tensor: Any) -> Array:  # torch types a module's attributes as Tensor | Module
    return np.array(tensor.detach().cpu().to(torch.float64).numpy())
