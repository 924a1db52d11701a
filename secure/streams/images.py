"""Images on their way into blocks: any number of them, checked against what the bundle accepts."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import InputShapeError
from secure.bundle.batch_specs import BatchClientSpec
from secure.parties.ranges import checked_input

Array = NDArray[np.float64]


def block_count(spec: BatchClientSpec, images: Any) -> int:
    """Blocks of a batch (images, *input_shape).

    Raises: InputShapeError for what is no batch, and for an empty one.
    """
    shape = getattr(images, "shape", None)
    if shape is None or tuple(shape[1:]) != spec.input_shape or not len(shape):
        found = type(images).__name__ if shape is None else f"shape {tuple(shape)}"
        raise InputShapeError(
            f"input: {found}; a batch is an array of shape (images, {', '.join(map(str, spec.input_shape))})"
        )
    if not len(images):
        raise InputShapeError("input: a batch of no images; give one at least")
    return -(-len(images) // spec.block_images)


def blocks(spec: BatchClientSpec, images: Any, *, clip: bool) -> Iterator[Array]:
    """The blocks (images, features) of a batch, float64, within the accepted range.

    Raises: InputShapeError; InputRangeError without `clip`.
    """
    for start in range(0, len(images), spec.block_images):
        yield checked_block(spec, images[start : start + spec.block_images], start, clip=clip)


def checked_block(spec: BatchClientSpec, images: Any, first: int, *, clip: bool) -> Array:
    """One block (images, features). first: the number of its first image in the batch, for messages."""
    try:
        flat = np.ascontiguousarray(images, dtype=np.float64).reshape(len(images), prod(spec.input_shape))
    except (TypeError, ValueError) as error:
        raise InputShapeError(f"input: not an array of numbers ({error})") from error
    # NaN compares false with everything
    inside = ((flat >= spec.input_low) & (flat <= spec.input_high)).all(axis=1)
    if inside.all():
        return flat
    if clip and np.isfinite(flat).all():
        return np.clip(flat, spec.input_low, spec.input_high)
    row = int(np.argmin(inside))
    checked_input(spec, flat[row].reshape(spec.input_shape), f"image {first + row}")
    return flat
