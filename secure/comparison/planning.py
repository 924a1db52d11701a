"""The operations of keep bits written down as a Plan, which any evaluator of plans runs. Derived.

Every value at a level has the scale of that level: a product at level l has the scale S_l^2, and dividing by the prime
of the level gives S_(l-1). Scales are fixed from the last level upwards, S_l = sqrt(S_(l-1) q_l), which halves what a
prime is off; downwards it would double at every level, until the last prime is too small for the answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secure.params import Params
from secure.plan import Constant, Kind, Op, Plan, stored

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Value:
    """A value of the plan: its id and its level."""

    number: int
    level: int


@dataclass
class PlanOperations:
    """Operations that are appended to a plan of one input. bits: log2 of the scale of level 1, the last one."""

    params: Params
    bits: float
    layer: str = "keep bits"
    ops: list[Op] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scales = {1: 2.0**self.bits}
        for level in range(2, self.params.levels + 1):
            self.scales[level] = sqrt(self.scales[level - 1] * self.params.data_primes[level - 1])

    @property
    def input(self) -> Value:
        return Value(0, self.params.levels)

    def rotate(self, value: Value, steps: int) -> Value:
        return self._same(Kind.ROTATE, value, steps=steps % self.params.slots)

    def add(self, first: Value, second: Value) -> Value:
        level = min(first.level, second.level)
        return self._same(Kind.ADD, self.lowered(first, level), self.lowered(second, level))

    def subtract(self, first: Value, second: Value) -> Value:
        """first - second: a product with -1 at scale 1 leaves level and scale as they are."""
        constant = self._constant(-1, second.level, 1.0)
        return self.add(first, self._same(Kind.MULTIPLY_PLAIN, second, constant=constant))

    def square(self, value: Value) -> Value:
        return self._finished(Kind.SQUARE, value)

    def multiply(self, first: Value, second: Value) -> Value:
        level = min(first.level, second.level)
        return self._finished(Kind.MULTIPLY, self.lowered(first, level), self.lowered(second, level))

    def add_plain(self, value: Value, slots: Array | float) -> Value:
        return self._same(Kind.ADD_PLAIN, value, constant=self._constant(slots, value.level, self.scales[value.level]))

    def multiply_plain(self, value: Value, slots: Array | float) -> Value:
        return self._rescaled(value, slots, self.scales[value.level])

    def lowered(self, value: Value, level: int) -> Value:
        """The same number at a lower level, with the scale of that level: a product with 1 at the right scale."""
        if value.level == level:
            return value
        scale = self.scales[value.level]
        while value.level > level + 1:
            value = self._append(Kind.DROP, (value,), value.level - 1, scale)
        wanted = self.scales[level] * self.params.data_primes[level] / scale
        return self._rescaled(value, 1.0, wanted, scale)

    def plan(self, output: Value) -> Plan:
        """The plan that returns one value."""
        return Plan(
            params=self.params,
            inputs=1,
            input_level=self.params.levels,
            input_scale=self.scales[self.params.levels],
            ops=tuple(self.ops),
            constants=tuple(self.constants),
            outputs=(output.number,),
        )

    def _finished(self, kind: Kind, *factors: Value) -> Value:
        """The square of a value, or the product of two of one level, relinearized and rescaled."""
        level, scale = factors[0].level, self.scales[factors[0].level] ** 2
        product = self._append(kind, factors, level, scale, parts=3)
        switched = self._append(Kind.RELINEARIZE, (product,), level, scale)
        return self._append(Kind.RESCALE, (switched,), level - 1, self.scales[level - 1])

    def _rescaled(self, value: Value, slots: Array | float, scale: float, own: float | None = None) -> Value:
        """A value times a constant of this scale, rescaled to the next level and its scale."""
        product = (own or self.scales[value.level]) * scale
        number = self._constant(slots, value.level, scale)
        multiplied = self._append(Kind.MULTIPLY_PLAIN, (value,), value.level, product, constant=number)
        return self._append(Kind.RESCALE, (multiplied,), value.level - 1, self.scales[value.level - 1])

    def _same(self, kind: Kind, *values: Value, **options: Any) -> Value:
        return self._append(kind, values, values[0].level, self.scales[values[0].level], **options)

    def _append(self, kind: Kind, values: tuple[Value, ...], level: int, scale: float, **options: Any) -> Value:
        numbers = tuple(value.number for value in values)
        self.ops.append(Op(kind=kind, args=numbers, layer=self.layer, level=level, scale=scale, **options))
        return Value(len(self.ops), level)

    def _constant(self, slots: NDArray[Any] | float, level: int, scale: float) -> int:
        filled = np.full(self.params.slots, slots) if np.ndim(slots) == 0 else np.asarray(slots)
        self.constants.append(Constant(stored(filled), level, scale))
        return len(self.constants) - 1
