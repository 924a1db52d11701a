"""Values of several parts, such as an image and a row of features, as one flat row; and back. Pure numpy.

A Network has one input and one output. Rows of several inputs are the flat parts one after the other, in the order of
the network's arguments, and so are several outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import InputShapeError, printable

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """One of several inputs or outputs: its name, and its shape without the batch axis."""

    name: str
    shape: Shape

    def __str__(self) -> str:
        return f"{printable(self.name)} {self.shape}"

    @property
    def size(self) -> int:
        return prod(self.shape)

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "shape": list(self.shape)}


def places(parts: Sequence[Part]) -> list[slice]:
    """Where each part lies in a flat row."""
    ends = list(accumulate(part.size for part in parts))
    return [slice(end - part.size, end) for part, end in zip(parts, ends, strict=True)]


def split(rows: NDArray[Any], parts: Sequence[Part]) -> tuple[NDArray[Any], ...]:
    """Flat rows (..., size) as one array (..., *shape) per part."""
    return tuple(
        rows[..., place].reshape(*rows.shape[:-1], *part.shape)
        for part, place in zip(parts, places(parts), strict=True)
    )


def join(values: object, parts: Sequence[Part], what: str = "input") -> NDArray[Any]:
    """One flat row of the parts' values, or (count, size) for batches; values: a sequence in order, or by name.

    Raises: InputShapeError for missing parts and for shapes that do not fit.
    """
    names = ", ".join(map(str, parts))
    if isinstance(values, Mapping):
        if set(values) != {part.name for part in parts}:
            found = ", ".join(printable(str(key)) for key in values)
            raise InputShapeError(f"{what}: it has the parts {found}; the network takes {names}")
        values = [values[part.name] for part in parts]
    if not isinstance(values, list | tuple) or len(values) != len(parts):
        found = f"{len(values)} parts" if isinstance(values, list | tuple) else type(values).__name__
        raise InputShapeError(f"{what}: got {found}; the network takes {len(parts)} in a tuple or by name: {names}")
    rows = []
    for part, value in zip(parts, values, strict=True):
        array = np.asarray(value)
        lead = array.shape[: array.ndim - len(part.shape)]
        if array.shape != (*lead, *part.shape) or len(lead) > 1:
            raise InputShapeError(
                f"{what} '{printable(part.name)}': shape {array.shape}; the network takes {part.shape}"
            )
        rows.append(array.reshape(*lead, part.size))
    if len({row.shape[:-1] for row in rows}) > 1:
        raise InputShapeError(f"{what}: its parts hold different numbers of rows; give as many of each")
    return np.concatenate(rows, axis=-1)


def parts_from_json(found: Iterable[Mapping[str, Any]]) -> tuple[Part, ...]:
    """The parts of a network's record."""
    return tuple(Part(str(part["name"]), tuple(int(size) for size in part["shape"])) for part in found)
