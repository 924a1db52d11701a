"""Batches of inputs from files, read where they are needed, so that a batch need not fit into memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import InputShapeError
from compress.front import Front
from compress.npy_file import NpyRows, open_npy
from compress.parts import Part
from secure.parties.inputs import read_input

Array = NDArray[np.float64]
Shape = tuple[int, ...]


@dataclass
class BatchRows:
    """The inputs of a batch: an array (inputs, *shape) of which slices are read as float64.

    values: the inputs as they are stored, of any shape that has as many numbers for each. low, high: (features,) where
    inputs are clipped to them. divisor: of every value. front: what turns each slice of images into features, which are
    then the rows. clipped_inputs, clipped_features: how many were changed in the slices that were read.
    """

    values: NDArray[Any] | NpyRows
    input_shape: Shape
    low: Array | None = None
    high: Array | None = None
    divisor: float = 1.0
    front: Front | None = None
    clipped_inputs: int = field(default=0, init=False)
    clipped_features: int = field(default=0, init=False)

    @property
    def shape(self) -> Shape:
        return (len(self.values), *self._row_shape)

    @property
    def _row_shape(self) -> Shape:
        return self.input_shape if self.front is None else (self.front.features,)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: slice) -> Array:
        wanted = np.asarray(self.values[rows], dtype=np.float64).reshape(-1, prod(self.input_shape)) / self.divisor
        if self.front is not None:
            wanted = self.front.apply(wanted.reshape(-1, *self.input_shape))
        if self.low is not None and self.high is not None:
            kept = np.clip(wanted, self.low, self.high)
            changed = (kept != wanted) & ~np.isnan(wanted)
            self.clipped_inputs += int(changed.any(axis=1).sum())
            self.clipped_features += int(changed.sum())
            wanted = kept
        return wanted.reshape(-1, *self._row_shape)


def read_batch(path: Path, shape: Shape, parts: tuple[Part, ...] = ()) -> BatchRows:
    """The inputs in a file: of an .npy file of shape (inputs, *shape) all of them, else one (`read_input`).

        uint8 values are divided by 255.

    The axes of an input may be flat, or lack axes of one, if the file then still has a batch of them.
        Raises: InputShapeError naming the file.
    """
    if path.suffix != ".npy":
        return BatchRows(read_input(path, shape, parts=parts)[None], shape)
    try:
        values = open_npy(path)
    except ValueError as error:
        raise InputShapeError(
            f"{path}: not a complete .npy file of numbers ({error}); save it with numpy.save"
        ) from error
    if values.dtype.kind not in "biuf":
        raise InputShapeError(f"{path}: an array of type {values.dtype}; an input has real numbers")
    found, size = values.shape, prod(shape)
    divisor = 255.0 if values.dtype == np.uint8 else 1.0
    if prod(found) == size and len(found) <= len(shape):
        return BatchRows(values[:].reshape(1, *shape), shape, divisor=divisor)
    if 2 <= len(found) <= len(shape) + 1 and prod(found[1:]) == size:
        return BatchRows(values, shape, divisor=divisor)
    raise InputShapeError(
        f"{path}: an array of shape {found}; give one input of shape {shape}, or a batch of shape "
        f"(inputs, {', '.join(map(str, shape))})"
    )
