"""Convolutions, transposed convolutions and windows over one or two spatial axes, in numpy. Pure.

Values are (batch, channels, *spatial). Kernels of a convolution are (out, in / groups, *kernel), those of a transposed
one (in, out / groups, *kernel), as in torch.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Shape = tuple[int, ...]
Index = tuple[Any, ...]


def windows(x: Array, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape) -> Array:
    """Sliding windows, shape (batch, channels, *out, *kernel); padded positions are zero."""
    rank = len(kernel)
    padded = np.pad(x, [(0, 0), (0, 0), *((pad, pad) for pad in padding)])
    reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
    axes = tuple(range(2, 2 + rank))
    view = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=axes)  # type: ignore[call-overload]
    steps = tuple(slice(None, None, s) for s in stride)
    taps = tuple(slice(None, None, d) for d in dilation)
    return np.asarray(view[(slice(None), slice(None), *steps, *taps)])


def convolve(
    x: Array, weights: Array, bias: Array, *, stride: Shape, padding: Shape, dilation: Shape, groups: int
) -> Array:
    """Cross-correlation, shape (batch, out, *out_spatial); bias (out,).

    Taps become rows of a matrix (im2col), written tap by tap: sliding windows would be read against the memory's order.
    """
    kernel, (batch, channels) = weights.shape[2:], x.shape[:2]
    padded = np.pad(x, [(0, 0), (0, 0), *((pad, pad) for pad in padding)])
    sizes = zip(padded.shape[2:], kernel, stride, dilation, strict=True)
    out = [(size - d * (k - 1) - 1) // s + 1 for size, k, s, d in sizes]
    grouped = padded.reshape((batch, groups, channels // groups, *padded.shape[2:]))
    rows = np.empty((batch, groups, channels // groups, prod(kernel), *out))
    for number, tap in enumerate(product(*map(range, kernel))):
        reached = tuple(
            slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, n, s in zip(tap, dilation, out, stride, strict=True)
        )
        read: Index = (..., *reached)
        rows[:, :, :, number] = grouped[read]
    filters = weights.reshape((groups, weights.shape[0] // groups, -1))
    result = filters @ rows.reshape((batch, groups, filters.shape[2], prod(out)))
    result = result.reshape((batch, weights.shape[0], *out))
    return np.asarray(result + bias.reshape((-1,) + (1,) * len(kernel)))


def convolve_transposed(
    x: Array, weights: Array, bias: Array, *, out: Shape, stride: Shape, padding: Shape, dilation: Shape, groups: int
) -> Array:
    """Transposed convolution, shape (batch, channels, *out): position i of x adds to positions i * stride - padding +
    tap * dilation of the result. `out` holds torch's output padding: positions that no tap reaches are the bias.
    """
    kernel, (batch, channels) = weights.shape[2:], x.shape[:2]
    per_group = weights.shape[1]
    grouped = x.reshape((batch, groups, channels // groups, *x.shape[2:]))
    filters = weights.reshape((groups, channels // groups, per_group, *kernel))
    sizes = [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(x.shape[2:], stride, dilation, kernel, strict=True)]
    sizes = [max(size, wanted + pad) for size, wanted, pad in zip(sizes, out, padding, strict=True)]
    total = np.zeros((batch, groups, per_group, *sizes))
    for tap in product(*map(range, kernel)):
        places = tuple(
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, n, s in zip(tap, dilation, x.shape[2:], stride, strict=True)
        )
        kernel_tap: Index = (..., *tap)
        reached: Index = (..., *places)
        added = np.einsum("bgc...,gco->bgo...", grouped, filters[kernel_tap])
        total[reached] += added
    kept: Index = (..., *(slice(pad, pad + size) for pad, size in zip(padding, out, strict=True)))
    result = total.reshape((batch, groups * per_group, *sizes))[kept]
    return np.asarray(result + bias.reshape((-1,) + (1,) * len(kernel)))
