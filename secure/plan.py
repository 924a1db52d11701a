"""The Plan: a straight-line program over ciphertexts, with a level and a scale for every value.

Value ids: the inputs are 0 to inputs - 1; operation k makes value inputs + k. An operation reads earlier values only.
Evaluators execute this object, and cost models count it.

Level: how many data primes a value still has. A ciphertext with all data primes is at params.levels, and the lowest
level is 1. Scale: the factor by which a slot's number is multiplied when it is encoded. The plan holds the scale of
every value, and SEAL's own check of scales is bypassed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secure.frozen import read_only
from secure.params import Params


class Kind(StrEnum):
    """The kinds of operations; x and y are ciphertexts, c is a plaintext."""

    ROTATE = "rotate"  # result[s] = x[(s + steps) mod slots]
    CONJUGATE = "conjugate"  # result[s] = the complex conjugate of x[(s + steps) mod slots]
    MULTIPLY_PLAIN = "multiply_plain"  # x * c
    ADD = "add"  # x + y
    ADD_PLAIN = "add_plain"  # x + c
    SQUARE = "square"  # x * x, three parts
    MULTIPLY = "multiply"  # x * y, three parts
    RELINEARIZE = "relinearize"  # three parts to two
    RESCALE = "rescale"  # divide by the last data prime: one level less, and the scale is divided by the prime too
    DROP = "drop"  # remove the last data prime: one level less, same scale


#: Operations that read two values.
PAIRED = (Kind.ADD, Kind.MULTIPLY)
#: Operations that need a Galois key.
MOVES = (Kind.ROTATE, Kind.CONJUGATE)
#: Operations that switch keys.
SWITCHES = (*MOVES, Kind.RELINEARIZE)


def rotation_count(counts: Mapping[str, int]) -> int:
    """How many rotations are among operations that are counted by kind. Conjugations are included."""
    return sum(counts.get(kind, 0) for kind in MOVES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One operation. level, scale, parts: of its result.

    args: ids of the values that it reads. steps: by how many slots a rotation or conjugation rotates to the left.
    constant: index into Plan.constants, -1 for none. layer: the network's node that this operation belongs to, for
    messages and reports.
    """

    kind: Kind
    args: tuple[int, ...]
    layer: str
    level: int
    scale: float
    parts: int = 2
    steps: int = 0
    constant: int = -1


@dataclass(frozen=True)
class Constant:
    """A plaintext: its slots (slots,), read-only, and the level and scale at which it is encoded."""

    slots: NDArray[np.float32] | NDArray[np.complex64]
    level: int
    scale: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "slots", read_only(self.slots))


def stored(slots: NDArray[Any]) -> NDArray[np.float32] | NDArray[np.complex64]:
    """Slots of a plaintext in the precision that plans keep: float32 or complex64."""
    return slots.astype(np.complex64) if np.iscomplexobj(slots) else slots.astype(np.float32)


@dataclass(frozen=True)
class KeyManifest:
    """The evaluation keys that a plan uses, and no others.

    galois_elements: of the Galois keys, in ascending order. relinearize: whether it uses the relinearization key.
    galois_levels, relin_level: the highest level at which each key is used (0: not at all). A key is cut to the rows of
    that level. Without levels the manifest asks for whole keys, as SEAL makes them.
    """

    galois_elements: tuple[int, ...]
    relinearize: bool
    galois_levels: tuple[int, ...] = ()
    relin_level: int = 0

    @property
    def has_levels(self) -> bool:
        """Whether it says at which levels its keys are used. A manifest without keys says all that there is to say."""
        return len(self.galois_levels) == len(self.galois_elements) and (self.relin_level > 0) == self.relinearize

    @property
    def whole(self) -> KeyManifest:
        """The same keys, without levels."""
        return KeyManifest(self.galois_elements, self.relinearize)

    @property
    def levels(self) -> tuple[int, ...]:
        """The levels of all keys that state one: that of the relinearization key first."""
        return (self.relin_level,) * (self.relin_level > 0) + self.galois_levels


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A program.

    inputs: the number of input ciphertexts, all at `input_level` and `input_scale`. ops: the operations in the order of
    execution. constants: their plaintexts. outputs: ids of the values that are returned.
    """

    params: Params
    inputs: int
    input_level: int
    input_scale: float
    ops: tuple[Op, ...]
    constants: tuple[Constant, ...]
    outputs: tuple[int, ...]

    def numbered(self) -> Iterator[tuple[int, Op]]:
        """(value id, operation) in execution order."""
        return enumerate(self.ops, start=self.inputs)

    def level_of(self, value: int) -> int:
        return self.input_level if value < self.inputs else self.ops[value - self.inputs].level

    def scale_of(self, value: int) -> float:
        return self.input_scale if value < self.inputs else self.ops[value - self.inputs].scale

    def parts_of(self, value: int) -> int:
        return 2 if value < self.inputs else self.ops[value - self.inputs].parts

    def working_level(self, op: Op) -> int:
        """The level at which the operation does its work: that of its first argument."""
        return self.level_of(op.args[0])

    @cached_property
    def last_use(self) -> Mapping[int, int]:
        """For every value that is read, the id of the value that its last reader makes.

        Outputs are left out, since they are kept to the end.
        """
        uses = {arg: value for value, op in self.numbered() for arg in op.args}
        for value in self.outputs:
            uses.pop(value, None)
        return MappingProxyType(uses)

    @cached_property
    def key_manifest(self) -> KeyManifest:
        """The evaluation keys that the plan needs, with the levels at which it uses them."""
        highest: dict[int, int] = {}
        relin_level = 0
        for op in self.ops:
            if op.kind in MOVES:
                element = op_element(op, self.params.poly_modulus_degree)
                highest[element] = max(self.working_level(op), highest.get(element, 0))
            elif op.kind is Kind.RELINEARIZE:
                relin_level = max(self.working_level(op), relin_level)
        elements = tuple(sorted(highest))
        return KeyManifest(elements, relin_level > 0, tuple(highest[element] for element in elements), relin_level)

    @property
    def made_keys(self) -> KeyManifest:
        """What its clients make: keys of their own, cut to their levels, where the engine can hold the primes; else
        SEAL's whole keys."""
        return self.key_manifest if self.params.fits_engine else self.key_manifest.whole

    def count(self, kind: Kind) -> int:
        """How many operations of that kind the plan has."""
        return sum(op.kind is kind for op in self.ops)

    @property
    def rotations(self) -> int:
        """How many rotations the plan has, conjugations included."""
        return rotation_count(Counter(op.kind for op in self.ops))

    @property
    def depth(self) -> int:
        """How many levels lie between the input and the lowest output."""
        return self.input_level - min(self.level_of(value) for value in self.outputs)


def galois_element(steps: int, degree: int) -> int:
    """3**steps mod 2N. The automorphism X -> X**element rotates the slots by `steps` to the left, as in SEAL."""
    return pow(3, steps % (degree // 2), 2 * degree)


def move_element(steps: int, degree: int, *, conjugated: bool) -> int:
    """The Galois element e of a rotation; 2N - e for a rotation with conjugation (X -> X**-e)."""
    element = galois_element(steps, degree)
    return 2 * degree - element if conjugated else element


def op_element(op: Op, degree: int) -> int:
    """The Galois element of an operation."""
    return move_element(op.steps, degree, conjugated=op.kind is Kind.CONJUGATE)
