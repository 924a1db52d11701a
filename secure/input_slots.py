"""How an input is laid into the slots of its ciphertexts, and the transpose of that map, for gradients. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from secure.packing import EMPTY, spread
from secure.specs import ClientSpec

Array = NDArray[np.float64]


def input_vectors(spec: ClientSpec, images: NDArray[Any]) -> Array:
    """Images (images, *input_shape) as slots (images, ciphertexts, slots)."""
    flat = np.asarray(images, dtype=np.float64).reshape(len(images), -1)
    return spread(flat, spec.input_slots)


def input_gradient(spec: ClientSpec, slots: NDArray[Any]) -> Array:
    """The transpose: derivatives by slots (images, ciphertexts, slots) as derivatives by pixels (images, *input_shape).

    A complex derivative d means that the value changes by Re(conj(d) z) when the slot changes by z.
    """
    used = spec.input_slots != EMPTY
    result = np.zeros((len(slots), int(np.prod(spec.input_shape))))
    for row, values in zip(result, slots.real, strict=True):
        np.add.at(row, spec.input_slots[used], values[used])
    return result.reshape(len(slots), *spec.input_shape)
