"""One operation of a unified module, in float64 and in 32-bit integers; the two agree where float64 is exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log2, prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from compress.graph.layers import Layer
from compress.joint.fixed_point import Integers
from compress.joint.unified import UnifiedModule

Array = NDArray[np.float64]


def module_sum(module: UnifiedModule, weights: Sequence[Array | None], values: Mapping[str, Array]) -> Array:
    """Sum of a module's terms without bias and constants, before ReLU and pools; float64."""
    total: Array | None = None
    for term, weight in zip(module.terms, weights, strict=True):
        part = values[term.source]
        if term.layer is not None and weight is not None:
            part = float_layer(term.layer, part, weight)
        elif term.factor is not None:
            part = np.asarray((_tensor(part) @ _tensor(values[term.factor])).numpy())
        total = part if total is None else total + part
    assert total is not None  # a module has at least one term
    return total


def along_channels(module: UnifiedModule, bias: NDArray[Any], ndim: int) -> NDArray[Any]:
    """A bias (channels,) so that it broadcasts against a value of `ndim` axes, the batch axis among them."""
    return bias if module.channels_last else bias.reshape((-1,) + (1,) * (ndim - 2))


def float_layer(layer: Layer, value: Array, weight: Array) -> Array:
    """A linear layer or convolution without its bias, float64."""
    x, w = _tensor(value), _tensor(weight)
    if layer.kind == "linear":
        return np.asarray((x @ w.T).numpy())
    convolve: Any = F.conv1d if w.ndim == 3 else F.conv2d
    return np.asarray(convolve(x, w, **layer.options).numpy())


def after(layers: Sequence[Layer], value: Array) -> Array:
    """ReLU and pools, float64."""
    for layer in layers:
        if layer.kind == "activation":
            value = np.maximum(value, 0.0)
        elif layer.kind == "mean":
            value = view(layer, value)
        else:
            windows = _windows(layer, value, 0.0 if layer.kind == "avgpool" else -np.inf)
            value = windows.mean(axis=-1) if layer.kind == "avgpool" else windows.max(axis=-1)
    return value


def view(layer: Layer, value: NDArray[Any]) -> NDArray[Any]:
    """A reshape, permutation or mean without the batch axis. The mean of integers is their sum, on a finer grid."""
    if layer.kind == "permute":
        return np.transpose(value, (0, *(axis + 1 for axis in layer.options["axes"])))
    if layer.kind == "mean":
        axes = tuple(axis + 1 for axis in layer.options["axes"])
        value = value.sum(axis=axes) if value.dtype.kind == "i" else value.mean(axis=axes)
    return value.reshape((len(value), *layer.shape))


def integer_layer(layer: Layer, value: Integers, weights: Integers) -> Integers:
    """A linear layer or convolution in 32-bit integers. `check_accumulator` has ruled overflow out."""
    x, w = value.astype(np.int32), weights.astype(np.int32)
    if layer.kind == "linear":
        return np.asarray((x @ w.T).astype(np.int64))
    options, groups = layer.options, layer.options["groups"]
    kernel = w.shape[2:]
    reach = tuple(d * (k - 1) + 1 for d, k in zip(options["dilation"], kernel, strict=True))
    padded = np.pad(x, ((0, 0), (0, 0), *((p, p) for p in options["padding"])))
    axes = tuple(range(2, x.ndim))
    windows = sliding_window_view(padded, reach, axis=axes)
    steps = tuple(slice(None, None, s) for s in options["stride"])
    taps = tuple(slice(None, None, d) for d in options["dilation"])
    windows = windows[(slice(None), slice(None), *steps, *taps)]
    parts = []
    for chunk, rows in zip(np.split(windows, groups, axis=1), np.split(w, groups, axis=0), strict=True):
        parts.append(np.tensordot(chunk, rows, axes=((1, *range(-len(kernel), 0)), range(1, w.ndim))))
    return np.moveaxis(np.concatenate(parts, axis=-1), -1, 1).astype(np.int64)


def integer_product(left: Integers, right: Integers) -> Integers:
    """Matrix product of two quantized values in 32-bit integers. `check_accumulator` has ruled overflow out."""
    return np.asarray((left.astype(np.int32) @ right.astype(np.int32)).astype(np.int64))


def integer_after(layer: Layer, value: Integers) -> tuple[Integers, int]:
    """ReLU or pool in integers, and the fraction bits it adds. An average is a sum; its shift comes later."""
    if layer.kind == "activation":
        return np.maximum(value, 0), 0
    if layer.kind == "mean":
        return view(layer, value), int(log2(layer.options["count"]))
    if layer.kind == "maxpool":
        return _windows(layer, value, np.iinfo(np.int64).min).max(axis=-1), 0
    return _windows(layer, value, 0).sum(axis=-1), int(log2(prod(layer.options["kernel"])))


def _tensor(value: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(value))


def _windows(layer: Layer, value: NDArray[Any], padding: float) -> NDArray[Any]:
    """(..., window) views of a pool's windows."""
    options = layer.options
    pads = ((0, 0), (0, 0), *((p, p) for p in options["padding"]))
    padded = np.pad(value, pads, constant_values=padding)
    rank = len(options["kernel"])
    windows = sliding_window_view(padded, options["kernel"], axis=tuple(range(2, 2 + rank)))
    windows = windows[(slice(None), slice(None), *(slice(None, None, s) for s in options["stride"]))]
    return windows.reshape((*windows.shape[: 2 + rank], -1))
