"""Float32 work of a network in clear, timed in numpy on one thread. Used by calibrate_cpu_seal.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np


@dataclass(frozen=True)
class PlainCall:
    """One timed layer and its counts; call runs it once on one image."""

    name: str
    macs: int
    elementwise: int
    weight_bytes: int
    call: Callable[[], object]


def plain_calls() -> Mapping[str, PlainCall]:
    """Dense and convolutional layers of MNIST size, a large matrix (memory bound), and element-wise squares."""
    random = np.random.default_rng(0)
    calls = [
        _dense(random, rows, columns) for rows, columns in ((10, 64), (64, 784), (100, 300), (300, 784), (512, 1024))
    ]
    calls += [
        _convolution(random, *shape)
        for shape in ((1, 4, 7, 3, 28), (1, 6, 5, 1, 28), (6, 16, 5, 1, 12), (8, 16, 3, 1, 14))
    ]
    calls += [_square(random, size) for size in (256, 4096, 16384)]
    calls.append(_dense(random, 4096, 8192))
    return {call.name: call for call in calls}


def _dense(random: np.random.Generator, rows: int, columns: int) -> PlainCall:
    weights = random.standard_normal((rows, columns), dtype=np.float32)
    inputs, bias = random.standard_normal(columns, dtype=np.float32), np.zeros(rows, dtype=np.float32)
    return PlainCall(f"dense {rows}x{columns}", rows * columns, 0, weights.nbytes, lambda: weights @ inputs + bias)


def _convolution(
    random: np.random.Generator, inputs: int, outputs: int, kernel: int, stride: int, size: int
) -> PlainCall:
    image = random.standard_normal((inputs, size, size), dtype=np.float32)
    weights = random.standard_normal((outputs, inputs * kernel * kernel), dtype=np.float32)
    side = (size - kernel) // stride + 1
    # The view is made once: a compiled runtime gathers windows without numpy's bookkeeping; the gather itself is timed.
    windows = np.lib.stride_tricks.sliding_window_view(image, (kernel, kernel), axis=(1, 2))
    windows = windows[:, ::stride, ::stride].transpose(0, 3, 4, 1, 2)

    def run() -> object:
        return weights @ windows.reshape(weights.shape[1], side * side)

    name = f"conv {inputs}->{outputs} {kernel}x{kernel} stride {stride}"
    return PlainCall(name, prod((outputs, side, side, weights.shape[1])), 0, weights.nbytes, run)


def _square(random: np.random.Generator, size: int) -> PlainCall:
    values = random.standard_normal(size, dtype=np.float32)
    return PlainCall(f"square {size}", 0, size, 0, lambda: values * values)
