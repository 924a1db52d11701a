"""Images on their way into blocks: any number of them, checked against what the bundle accepts."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import InputShapeError
from compress.parts import join
from secure.bundle.batch_specs import BatchClientSpec
from secure.parties.ranges import checked_input

Array = NDArray[np.float64]

logger = logging.getLogger(__name__)


def as_batch(spec: BatchClientSpec, images: Any) -> Any:
    """A batch as one array, or as what already has a shape and slices, such as a memory-mapped file.

    Of a network with several inputs, a tuple of their batches, or a mapping by name.
    Raises: InputShapeError.
    """
    if spec.interface.input_parts and isinstance(images, tuple | Mapping):
        return join(images, spec.interface.input_parts)
    if hasattr(images, "shape"):
        return images
    try:
        return np.asarray(images, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputShapeError(f"input: not an array of numbers ({error})") from error


def block_count(spec: BatchClientSpec, images: Any) -> int:
    """Blocks of a batch (images, *input_shape), or of images for a network with a front end.

    Raises: InputShapeError for what is no batch, and for an empty one.
    """
    shape = tuple(images.shape)
    front = spec.interface.front
    if not shape or shape[1:] not in (spec.input_shape, *([front.shape] if front else ())):
        wanted = ", ".join(map(str, ("images", *(front.shape if front else spec.input_shape))))
        raise InputShapeError(f"input: shape {shape}; a batch is an array of shape ({wanted})")
    if not shape[0]:
        raise InputShapeError("input: a batch of no images; give one at least")
    return int(-(-shape[0] // spec.block_images))


def blocks(spec: BatchClientSpec, images: Any, *, clip: bool) -> Iterator[Array]:
    """The blocks (images, features) of a batch (images, *input_shape), float64, within the accepted range.

    The front end of a network that has one is applied here, block by block, to images of its shape.
    clip: bring values outside the range to its nearest end, and say so in a log line.
    Raises: InputShapeError; InputRangeError without `clip`.
    """
    values = rows = 0
    for start in range(0, len(images), spec.block_images):
        block = _numbers(spec, images[start : start + spec.block_images])
        outside = _rows_outside(spec, block)
        if clip and len(outside):
            wrong = [row for row in outside if not np.isfinite(block[row]).all()]
            if not wrong:
                kept = np.clip(block, spec.input_low, spec.input_high)
                values, rows = values + int((kept != block).sum()), rows + len(outside)
                block = kept
            outside = wrong
        for row in outside[:1]:
            checked_input(spec, block[row].reshape(spec.input_shape), f"image {start + row}")
        yield block
    if values:
        logger.warning("input: clipped %d values of %d images", values, rows)


def _numbers(spec: BatchClientSpec, images: Any) -> Array:
    """(images, features), contiguous."""
    try:
        found = spec.interface.features(images)
        return np.ascontiguousarray(found, dtype=np.float64).reshape(len(images), prod(spec.input_shape))
    except (TypeError, ValueError) as error:
        raise InputShapeError(f"input: not an array of numbers ({error})") from error


def _rows_outside(spec: BatchClientSpec, block: Array) -> Any:
    """Rows with a value that is not in the accepted range; one that is no number is in no range."""
    return np.flatnonzero(~((block >= spec.input_low) & (block <= spec.input_high)).all(axis=1))
