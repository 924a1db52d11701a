"""Keep bits of a grid of scores without looking at them: a cell stays if it beats all its neighbours. Derived.

The operations are those of CKKS and their sequence depends on the public grid alone: rotations make every neighbour
meet its cell, one sign evaluation compares all pairs, and a tree of products joins the bits of a cell. Two equal scores
would both lose, so a public bias lets the earlier cell win; scores must then differ by `least_gap` to be told apart for
certain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from compress.errors import ConfigError
from secure.comparison.grid import PairGrid
from secure.comparison.minimax import OddPolynomial
from secure.comparison.sign import Sign

Array = NDArray[np.float64]


class Operations(Protocol):
    """What CKKS offers, on values of any kind: ciphertexts, or slots in clear."""

    def rotate(self, value: Any, steps: int) -> Any: ...
    def add(self, first: Any, second: Any) -> Any: ...
    def subtract(self, first: Any, second: Any) -> Any: ...
    def multiply(self, first: Any, second: Any) -> Any: ...
    def square(self, value: Any) -> Any: ...
    def add_plain(self, value: Any, slots: Array | float) -> Any: ...
    def multiply_plain(self, value: Any, slots: Array | float) -> Any: ...


@dataclass(frozen=True)
class Leveled:
    """Slots in clear and the levels that were spent on them."""

    slots: Array
    spent: int = 0


@dataclass
class ClearOperations:
    """The operations on slots in clear, counted. noise: standard deviation that every operation adds."""

    noise: float = 0.0
    seed: int = 0
    rotations: int = 0
    products: int = 0
    plain_products: int = 0
    steps: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)

    def rotate(self, value: Leveled, steps: int) -> Leveled:
        self.rotations += 1
        self.steps.add(steps % len(value.slots))
        return self._noisy(np.roll(value.slots, -steps), value.spent)

    def add(self, first: Leveled, second: Leveled) -> Leveled:
        return Leveled(first.slots + second.slots, max(first.spent, second.spent))

    def subtract(self, first: Leveled, second: Leveled) -> Leveled:
        return Leveled(first.slots - second.slots, max(first.spent, second.spent))

    def multiply(self, first: Leveled, second: Leveled) -> Leveled:
        self.products += 1
        return self._noisy(first.slots * second.slots, max(first.spent, second.spent) + 1)

    def square(self, value: Leveled) -> Leveled:
        self.products += 1
        return self._noisy(value.slots**2, value.spent + 1)

    def add_plain(self, value: Leveled, slots: Array | float) -> Leveled:
        return Leveled(value.slots + slots, value.spent)

    def multiply_plain(self, value: Leveled, slots: Array | float) -> Leveled:
        self.plain_products += 1
        return self._noisy(value.slots * slots, value.spent + 1)

    def _noisy(self, slots: Array, spent: int) -> Leveled:
        return Leveled(slots + self.noise * self._rng.standard_normal(len(slots)) if self.noise else slots, spent)


@dataclass(frozen=True)
class Keeping:
    """Keep bits of a grid of scores in [0, 1] by a sign whose `most` is at least 1.

    bias: what the earlier of two equal cells is ahead by, so that ties have the sign's gap between them.
    """

    grid: PairGrid
    sign: Sign

    @property
    def bias(self) -> float:
        return self.sign.gap / (1 - self.sign.gap)

    @property
    def least_gap(self) -> float:
        """Scores that differ by at least so much are compared rightly whatever the bias."""
        return self.sign.gap * (1 + self.bias) + self.bias

    @property
    def levels(self) -> int:
        """The mask, the sign, and the tree of products."""
        return 1 + self.sign.levels + len(self.grid.doublings)

    @property
    def deviation(self) -> float:
        """A certified bound on how far a keep bit is from 0 or 1 without noise, where all differences are decided."""
        most = int(self.grid.neighbours.sum(axis=0).max())
        return float((1 + self.sign.deviation / 2) ** most - 1)

    def evaluate(self, packed: Any, run: Operations) -> Any:
        """From a grid of scores (`PairGrid.pack`) to its keep bits, in the same slots of every segment."""
        across, down, home = self.grid.moves
        others = _moved_copies(_moved_copies(packed, across, self.grid.width, run), down, self.grid.width, run)
        if home:
            others = run.rotate(others, home)
        own = packed
        for step in self.grid.doublings:
            own = run.add(own, run.rotate(own, step))
        first = self.sign.factors[0].bound * (1 + self.bias)
        pairs = run.multiply_plain(run.subtract(own, others), self.grid.mask / first)
        pairs = run.add_plain(pairs, self.grid.precedence * (self.bias / first))
        bits = evaluate_sign(self.sign, pairs, run, factor=0.5)
        kept = run.add_plain(bits, 1 - self.grid.mask / 2)  # slots that compare nobody have sign 0 and read 1
        for step in self.grid.doublings:
            kept = run.multiply(kept, run.rotate(kept, step))
        return kept


def evaluate_sign(sign: Sign, value: Any, run: Operations, *, factor: float = 1.0) -> Any:
    """`factor` times the sign of a value that was divided by the bound of the first polynomial.

    Every polynomial divides by the bound of the next one in its coefficients, so that no level goes into that.
    """
    bounds = [*(one.bound for one in sign.factors[1:]), 1 / factor]
    for polynomial, bound in zip(sign.factors, bounds, strict=True):
        value = evaluate_odd(polynomial, value, run, factor=1 / bound)
    return value


def evaluate_odd(polynomial: OddPolynomial, value: Any, run: Operations, *, factor: float = 1.0) -> Any:
    """`factor` times an odd Chebyshev series of degree 2^n - 1 at a value in [-1, 1], in n levels.

    T_(m + j) = 2 T_m T_j - T_(m - j) divides the series by T_m for m = 2^(n-1), 2^(n-2) ... 2; what is left are
    multiples of the value itself. Degree 15 takes 10 products of two values, degree 7 takes 5.
    Raises: ConfigError for other degrees.
    """
    if polynomial.degree & (polynomial.degree + 1):
        raise ConfigError("degree", polynomial.degree, "one less than a power of two, which uses all of its levels")
    powers = [value]  # T_1, T_2, T_4 ...
    for _ in range(polynomial.levels - 1):
        squared = run.square(powers[-1])
        powers.append(run.add_plain(run.add(squared, squared), -1.0))
    return _divided([factor * one for one in polynomial.coefficients], powers, run)


def _divided(coefficients: Sequence[float], powers: Sequence[Any], run: Operations) -> Any:
    """The series of coefficients of T_1, T_3, T_5 ..., with powers T_1, T_2, T_4 ... up to half its degree."""
    if len(coefficients) == 1:
        return run.multiply_plain(powers[0], coefficients[0])
    half = len(coefficients) // 2
    quotient = [2 * one for one in coefficients[half:]]
    rest = [own - other for own, other in zip(coefficients[:half], reversed(coefficients[half:]), strict=True)]
    high = run.multiply(_divided(quotient, powers, run), powers[len(coefficients).bit_length() - 1])
    return run.add(high, _divided(rest, powers, run))


def _moved_copies(value: Any, step: int, count: int, run: Operations) -> Any:
    """The sum of `count` copies of a value, rotated by 0, step, 2 step and so on: one key serves all rotations."""
    total = value
    for _ in range(count - 1):
        total = run.add(value, run.rotate(total, step))
    return total
