"""The negacyclic number-theoretic transform in SEAL's order, and its inverse, for rows of residues by numpy."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from entry.modular import number, reduce_, times
from secure.engine.tables import bit_reversed, smallest_root

Array = NDArray[np.float64]


class Transform:
    """Transforms of one ring degree modulo one prime."""

    def __init__(self, prime: int, degree: int) -> None:
        self.prime, self.degree = prime, degree
        self._root = smallest_root(prime, degree)
        self._size_inverse = number(pow(degree, -1, prime), prime)

    @cached_property
    def _forward(self) -> Array:
        return self._powers(self._root)

    @cached_property
    def _backward(self) -> Array:
        return self._powers(pow(self._root, -1, self.prime))

    def _powers(self, root: int) -> Array:
        """(N,): powers of a root, centred, in bit-reversed order."""
        powers = [1]
        for _ in range(self.degree - 1):
            powers.append(powers[-1] * root % self.prime)
        return reduce_(np.array(powers, dtype=np.float64), self.prime)[bit_reversed(self.degree)]

    def forward(self, rows: Array) -> Array:
        """(rows, N): values of polynomials with centred coefficients (rows, N), which are overwritten."""
        groups, length = 1, self.degree // 2
        while length:
            pairs = rows.reshape(len(rows), groups, 2, length)
            turned = times(pairs[:, :, 1], self._forward[groups : 2 * groups, None], self.prime)
            pairs[:, :, 1] = pairs[:, :, 0] - turned
            pairs[:, :, 0] += turned
            reduce_(rows, self.prime)
            groups, length = 2 * groups, length // 2
        return rows

    def backward(self, rows: Array) -> Array:
        """(rows, N): the inverse of `forward`; rows are overwritten."""
        groups, length = self.degree // 2, 1
        while groups:
            pairs = rows.reshape(len(rows), groups, 2, length)
            difference = reduce_(pairs[:, :, 0] - pairs[:, :, 1], self.prime)
            pairs[:, :, 0] += pairs[:, :, 1]
            pairs[:, :, 1] = times(difference, self._backward[groups : 2 * groups, None], self.prime)
            reduce_(rows, self.prime)
            groups, length = groups // 2, 2 * length
        return times(rows, self._size_inverse, self.prime)
