"""Batches of inputs: the one input of a batch of one, and the rows of any other."""

from __future__ import annotations

from typing import Any

import numpy as np

from compress.errors import InputShapeError

Shape = tuple[int, ...]


def batch_size(values: Any, shape: Shape) -> int | None:
    """How many inputs of this shape an array (inputs, *shape) holds; None for anything else, one input included."""
    try:
        found = np.shape(values)
    except ValueError:  # rows of different lengths are no array
        return None
    return found[0] if len(found) == len(shape) + 1 and found[1:] == shape else None


def single(values: Any, shape: Shape) -> Any:
    """The input itself, or the only row of a batch of one.

    Raises: InputShapeError for a batch of another size.
    """
    size = batch_size(values, shape)
    if size is None:
        return values
    if size != 1:
        raise InputShapeError(
            f"input: a batch of {size} inputs of shape {shape}; a request carries one input: call encrypt_many(x), "
            "which returns a request for each row"
        )
    return np.asarray(values)[0]


def batch_rows(values: Any, shape: Shape) -> list[Any]:
    """The inputs of a batch (inputs, *shape) or of a sequence.

    Raises: InputShapeError for one input in place of a batch, and for what has no rows.
    """
    if batch_size(values, shape) is not None:
        return list(np.asarray(values))
    if isinstance(values, (list, tuple)) and all(np.shape(row) == shape for row in values):
        return list(values)
    found = np.shape(values) if hasattr(values, "shape") else type(values).__name__
    raise InputShapeError(
        f"input: {found} is no batch; give an array of shape (inputs, {', '.join(map(str, shape))}), or call "
        "encrypt(x) for one input"
    )
