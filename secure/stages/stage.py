"""One stage of a network: an affine map of atoms, followed by a square, a product of two halves or nothing. Pure.

An *atom* is what a stage may read: the input, or what an earlier stage makes of its value. A value that is kept as it
is becomes an atom too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from secure.stages.grids import Grid
from secure.stages.pairs import Making
from secure.stages.windows import Window, window_of

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Stage:
    """One affine map of atoms, of which an atom is made, or which (for the last one) is returned.

    maps: by atom, a matrix (size, size of the atom); atom 0 is the input, atom k what stage k - 1 makes of its value.
    constant: (size,). grid, layer: as for `Form`. squared: whether an atom is made of the value: False only for the
    last stage. paired: whether the value holds two factors, one after the other, which are multiplied and not squared;
    grid is then that of each. kept: whether the value itself is the atom. tokens: of values of a network of tokens, how
    many features follow one another that differ in their token alone, a power of two; rows of zeros fill up what has
    fewer tokens (`secure.stages.tokens`). 0 for any other value.
    """

    maps: Mapping[int, sparse.csr_matrix]
    constant: Array
    grid: Grid | None
    layer: str
    squared: bool
    paired: bool = False
    kept: bool = False
    tokens: int = 0

    @property
    def making(self) -> Making:
        """What becomes of the value of a stage that makes an atom."""
        return Making.PRODUCT if self.paired else Making.KEPT if self.kept else Making.SQUARE

    @property
    def power(self) -> int:
        """The power of the value that its atom is; 1 for the last stage."""
        return self.making.power if self.squared else 1

    @property
    def size(self) -> int:
        """The number of features of the stage's value."""
        return len(self.constant)

    @property
    def atom_size(self) -> int:
        """The number of features of what the stage makes of its value."""
        return self.size // 2 if self.paired else self.size

    @cached_property
    def halves(self) -> tuple[Stage, Stage]:
        """The two factors of a paired stage, as stages of their own."""
        rows = slice(0, self.atom_size), slice(self.atom_size, self.size)
        left, right = (
            Stage(
                {atom: matrix[own] for atom, matrix in self.maps.items()},
                self.constant[own],
                self.grid,
                self.layer,
                squared=True,
                tokens=self.tokens,
            )
            for own in rows
        )
        return left, right

    @cached_property
    def row_powers(self) -> Mapping[int, Array]:
        """By atom, the sum of squares of every row, (size,): what the map makes of independent errors of variance 1."""
        squares = ((atom, matrix.multiply(matrix).tocsr()) for atom, matrix in self.maps.items())
        return {atom: np.asarray(square.sum(axis=1)).ravel() for atom, square in squares}

    @cached_property
    def _windows(self) -> dict[int, Window | None]:
        return {}

    def window(self, atom: int, before: Grid) -> Window | None:
        """The window of the map from an atom, whose positions lie on `before`; None if it is no convolution."""
        if atom not in self._windows:
            known = None if self.grid is None else window_of(self.maps[atom], before, self.grid)
            self._windows[atom] = known
        return self._windows[atom]

    def apply(self, atoms: Mapping[int, Array] | list[Array]) -> Array:
        """The stage's affine value, (size, batch), for atoms (features, batch). The square is left out."""
        total = np.repeat(self.constant[:, None], atoms[0].shape[1], axis=1)
        for atom, matrix in self.maps.items():
            total += matrix @ atoms[atom]
        return total
