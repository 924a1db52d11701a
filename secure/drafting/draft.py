"""The Draft: a compilation in progress, for one choice of ring and policies. The passes of the compiler fill it in.

An *atom* is what the affine map of a stage may read: atom 0 is the input, and every squared stage makes one more.

Drafts are frozen: a pass makes a new draft with `dataclasses.replace`. Nobody writes into the arrays and mappings that
a draft holds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secure.kernels.counts import TYPICAL_TIMES, KernelTimes
from secure.kernels.engine import PLAIN, Switching
from secure.kernels.requests import TYPICAL_PRICES, RequestPrices
from secure.layout.diagonals import DiagonalTable
from secure.layout.folds import PAIRED, SINGLE, FoldStyle
from secure.layout.packing import SlotMap
from secure.limits import ACCEPTABLE_DISAGREEMENT
from secure.params import ENGINE_PRIME_BITS, MOST_DIGIT_PRIMES, Params
from secure.plan import Plan
from secure.stages.stages import Stage, run_stages

if TYPE_CHECKING:
    from compress.dataset import Progress
    from secure.bounds.assessment import Assessment
    from secure.bounds.reach import Reach

Array = NDArray[np.float64]

#: From this weight of a key on, folds share keys: two of them, and from four times this weight on three.
MANY_ROTATIONS_PER_KEY = 64

#: The fewest levels of drafts that leave room for hybrid key switches: with fewer, they save less than they cost.
HYBRID_LEVELS = 7


class Rescaling(StrEnum):
    """Where the plan rescales."""

    EVERY = "every"  # after every square
    NOT_LAST = "not_last"  # after every square but the last
    BEFORE_LAST = "before_last"  # before the last square alone
    BEFORE = "before"  # before every square, which leaves a scale of twice the bits to the next map
    NEVER = "never"  # scales only grow


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the search varies.

    degree: of the ring. rescaling: where the plan rescales. base_primes: how many data primes are left
    at the end, since no rescale takes them. rotate_input: whether the first stage has baby steps, which rotate the
    input before its products (fewer transforms), or giant steps only (less noise). rescale_primes: primes per rescale.
    planes: how many inputs a slot carries; of two, one is the real and one the imaginary part. doubled: whether values
    between layers may be carried twice (`secure.layout.doubled`), which takes fewer products and more precision.
    share_giants: whether the giant steps of a stage share one key (Horner's rule) or have one each. key_weight: the
    time that one key counts for when rotations are split, in digit decompositions; above 0 only where keys are limited.
    prime_bits: the largest size of a prime, which decides whether the engine can run the plan.
    """

    degree: int
    rescaling: Rescaling
    base_primes: int
    rotate_input: bool
    rescale_primes: int = 1
    planes: int = 1
    doubled: bool = False
    share_giants: bool = True
    key_weight: float = 0
    prime_bits: int = ENGINE_PRIME_BITS

    @property
    def slots(self) -> int:
        return self.degree // 2

    @property
    def fold_style(self) -> FoldStyle:
        """How folds are done: the more a key counts for, the fewer keys and the more rotations."""
        if self.key_weight < MANY_ROTATIONS_PER_KEY:
            return PAIRED if self.key_weight <= 1 else SINGLE
        return FoldStyle(paired=False, per_key=2 if self.key_weight < 4 * MANY_ROTATIONS_PER_KEY else 3)


@dataclass(frozen=True)
class Evidence:
    """Every value of the network on the calibration inputs, each (features, images).

    atoms: the input, then the square of every squared stage. values: the affine value of every stage, before its
    square.
    """

    atoms: tuple[Array, ...]
    values: tuple[Array, ...]

    def subset(self, count: int) -> Evidence:
        """The evidence of the first `count` images."""
        return self.part(slice(count))

    def part(self, images: slice) -> Evidence:
        """The evidence of some of the images."""
        return Evidence(tuple(a[:, images] for a in self.atoms), tuple(v[:, images] for v in self.values))

    @property
    def outputs(self) -> Array:
        """The network's outputs, (outputs, images)."""
        return self.values[-1]

    @cached_property
    def atom_rms(self) -> tuple[float, ...]:
        """The root mean square of every atom, over features and images."""
        return tuple(max(float(np.sqrt(np.mean(atom**2))), 1e-12) for atom in self.atoms)

    @cached_property
    def value_rms(self) -> tuple[float, ...]:
        """The root mean square of every stage's affine value, over features and images."""
        return tuple(max(float(np.sqrt(np.mean(value**2))), 1e-12) for value in self.values)


@dataclass(frozen=True)
class Hardest:
    """Of many inputs that are drawn like the data, those with the largest errors (`secure.bounds.severity`).

    inputs: (kept, features): the hardest ones, and some of the others, the harder the more. shares: of all drawn inputs
    that each stands for, (kept,). drawn: how many there were. rows: how many rows of data they are drawn like. known:
    of these rows the hardest, (few, features). largest: of the drawn inputs, those with the largest values of any
    stage, (few, features).
    """

    inputs: Array
    shares: Array
    drawn: int
    rows: int
    known: Array
    largest: Array


@dataclass(frozen=True)
class Rows:
    """Inputs on which a draft's errors and its classes are judged.

    inputs: (rows, features). outputs: those of the network, (outputs, rows). held_out: whether the network was not
    trained on them. hardest: of more inputs like these and those of calibration; None where the rows have to do.
    grows_beyond: the size of an answer beyond which its bound grows with it (`secure.growth`).
    """

    inputs: Array
    outputs: Array
    held_out: bool
    hardest: Hardest | None = None
    grows_beyond: float = inf


def gather_evidence(stages: tuple[Stage, ...], images: Array) -> Evidence:
    """Run the stages in clear on calibration images (images, *input_shape)."""
    atoms, values = run_stages(stages, images)
    return Evidence(tuple(atoms), tuple(values))


@dataclass(frozen=True)
class Split:
    """The baby steps and giant steps of one stage: rotation = baby + giant (mod slots).

    parts: (baby, giant) for every rotation of the stage's table, both in [0, slots). horner: whether evenly spaced
    giant steps are done by Horner's rule: the sum is rotated by the same step again and again. All of them then share
    one key, but each rotation waits for the sum before it. sources: by baby step, the baby step that it is a rotation
    of; those that are missing are rotations of the input. targets: by giant step, the smaller one whose sum it joins;
    those that are missing join the result. Without any, Horner's rule decides (`secure.drafting.routes`).
    """

    parts: Mapping[int, tuple[int, int]]
    horner: bool = True
    sources: Mapping[int, int] = field(default_factory=dict)
    targets: Mapping[int, int] = field(default_factory=dict)

    def made(self, babies: Collection[int]) -> dict[int, int]:
        """By step, its source, for these baby steps and all that they are made from; every source before what is made
        from it, and 0, the input, left out."""
        result: dict[int, int] = {}
        for baby in sorted(babies):
            chain = []
            while baby and baby not in result:
                chain.append(baby)
                baby = self.sources.get(baby, 0)
            result.update((step, self.sources.get(step, 0)) for step in reversed(chain))
        return result

    def joined(self, giants: Collection[int]) -> dict[int, int]:
        """By step, its target, for these giant steps of one output and all that lie between; the largest first, and 0,
        the result, left out. By Horner's rule, giant steps 0, s, 2 s, ... each join the one before."""
        ordered = sorted(giants)
        step = ordered[1] if len(ordered) > 1 else 0
        if not self.targets:
            shared = self.horner and len(ordered) > 2 and ordered == [step * k for k in range(len(ordered))]
            return {giant: giant - step if shared else 0 for giant in reversed(ordered) if giant}
        reached: set[int] = set()
        for giant in ordered:
            while giant and giant not in reached:
                reached.add(giant)
                giant = self.targets.get(giant, 0)
        return {giant: self.targets.get(giant, 0) for giant in sorted(reached, reverse=True)}

    @property
    def babies(self) -> tuple[int, ...]:
        """All baby steps in ascending order, 0 included where it occurs."""
        return tuple(sorted({baby for baby, _ in self.parts.values()}))

    @cached_property
    def rotations_per_baby(self) -> float:
        """How many rotations in a row make a baby step, on average over those that are not 0; 0 if there are none."""
        babies = [baby for baby in self.babies if baby]
        return sum(len(self.made((baby,))) for baby in babies) / max(len(babies), 1)

    @property
    def giants(self) -> tuple[int, ...]:
        """All giant steps in ascending order, 0 included where it occurs."""
        return tuple(sorted({giant for _, giant in self.parts.values()}))


@dataclass(frozen=True)
class StageScales:
    """Scales of one stage.

    value: of its affine value. atom: of the atom that is made of it, for a square value**2 without a rescale; 0 without
    an atom. divided: what a rescale before the square divides the value by.
    """

    value: float
    atom: float
    divided: float = 1.0

    @property
    def root(self) -> float:
        """The scale of what is squared."""
        return self.value / self.divided


@dataclass(frozen=True)
class Offer:
    """A layout that was considered for a stage: its description, its predicted time, and whether it was taken."""

    layout: str
    milliseconds: float
    taken: bool


def silent(label: str, share: float) -> None:
    """The callback of a draft whose progress nobody follows."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A compilation in progress. Fields after `allowed_error` are filled by the passes in their order."""

    stages: tuple[Stage, ...]
    evidence: Evidence
    choice: Choice
    judged: Rows | None = None  # see `rows`
    reach: Reach | None = None  # of errors on the calibration images that the search looks at; None: computed at need
    edges: Evidence | None = None  # values on inputs at the edge of the accepted range (`secure.bounds.edges`)
    exploding: int = 0  # edge inputs that are left out there, since the network itself explodes on them
    extremes: Evidence | None = None  # values on the drawn inputs that have the largest (`Hardest.largest`)
    allowed_error: float = inf  # at six standard deviations, in the outputs' units; infinite: no limit
    allowed_disagreement: float = ACCEPTABLE_DISAGREEMENT  # share of changed classes; counts without an allowed_error
    times: KernelTimes = TYPICAL_TIMES  # of the machine that will run the plan
    requests: RequestPrices = TYPICAL_PRICES  # what a request costs beside the plan
    round_trip: bool = False  # whether the search counts that too
    client_folds: bool = False  # whether the client does the folds of the last stage
    both_backends: bool = False  # whether SEAL must be able to run the plan too, beside the engine
    digit_room: int = 1  # the modulus leaves room for special primes of digits of so many data primes
    progress: Progress = silent  # called by a long pass with the name of a step and the share of the pass done
    # arrange: atom_maps[0], of the input, is (ciphertexts * planes, slots), the others (ciphertexts, slots)
    atom_maps: tuple[SlotMap, ...] = ()
    tables: tuple[DiagonalTable, ...] = ()
    offers: tuple[tuple[Offer, ...], ...] = ()  # by stage
    coefficients: tuple[float, ...] = ()  # by stage, the largest of its square, or of the last value, at scale 1
    value_coefficients: tuple[float, ...] = ()  # by stage, the largest of its value, at scale 1
    # choose_rotations
    splits: tuple[Split, ...] = ()
    # place_rescales: levels of stages and of atoms; by stage, how many primes its square is divided by, and its value
    # before the square
    stage_levels: tuple[int, ...] = ()
    atom_levels: tuple[int, ...] = ()
    rescaled: tuple[int, ...] = ()
    divided: tuple[int, ...] = ()
    # choose_parameters
    params: Params | None = None
    input_scale: float = 0.0
    scales: tuple[StageScales, ...] = ()
    output_sigmas: Array | None = None  # (outputs, images), standard deviations of errors, as the search predicts them
    shares: Array | float = 1.0  # see `secure.bounds.propagate.NoiseModel`
    assessment: Assessment | None = None  # what the errors and the share of changed classes are, from `rows`
    # emit
    plan: Plan | None = None

    @property
    def rows(self) -> Rows:
        """The inputs that the draft is judged on: the given ones, or those of calibration."""
        return self.judged or Rows(self.evidence.atoms[0].T, self.evidence.outputs, held_out=False)

    @property
    def levels(self) -> int:
        """How many data primes a fresh ciphertext has."""
        return self.atom_levels[0]

    @property
    def expected_switching(self) -> Switching:
        """The key switches that the plan will probably have, before its primes are chosen: in a deep plan digits of as
        many data primes as there may be special primes, else plain ones."""
        levels = 1 + sum(stage.squared for stage in self.stages)
        if levels < HYBRID_LEVELS or self.both_backends or self.choice.prime_bits > ENGINE_PRIME_BITS:
            return PLAIN
        return Switching(MOST_DIGIT_PRIMES, (MOST_DIGIT_PRIMES,) * -(-levels // MOST_DIGIT_PRIMES))

    @property
    def log2_qp(self) -> float:
        """log2(QP) of the chosen parameters; infinite before they are chosen."""
        return inf if self.params is None else self.params.log2_qp
