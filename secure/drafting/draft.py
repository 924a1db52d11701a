"""The Draft: a compilation in progress, for one choice of ring and policies. The passes of the compiler fill it in.

Frozen: a pass makes a new draft with `dataclasses.replace`. Nobody writes into the arrays and mappings that a draft
holds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from math import inf

import numpy as np
from numpy.typing import NDArray

from secure.kernels.counts import TYPICAL_TIMES, KernelTimes
from secure.layout.diagonals import DiagonalTable
from secure.layout.packing import SlotMap
from secure.limits import ACCEPTABLE_DISAGREEMENT
from secure.params import ENGINE_PRIME_BITS, Params
from secure.plan import Plan
from secure.stages.stages import Stage, run_stages

Array = NDArray[np.float64]


class Rescaling(StrEnum):
    """After which squares the modulus is divided."""

    EVERY = "every"  # after every square
    NOT_LAST = "not_last"  # after every square but the last
    NEVER = "never"  # scales only grow


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the search varies.

    degree: of the ring. rescaling: after which squares. base_primes: data primes that are never divided away.
    rotate_input: whether the input is rotated before its products (fewer transforms) or only after them (less noise).
    rescale_primes: primes per rescale. planes: inputs per slot; two are the real and the imaginary part.
    share_giants: whether giant steps share one key (Horner's rule) or have one each.
    key_weight: what a key is worth where keys are scarce, in units of the time that taking a value apart into digits
    needs.
    prime_bits: size of the largest prime, which decides which backend can run the plan.
    """

    degree: int
    rescaling: Rescaling
    base_primes: int
    rotate_input: bool
    rescale_primes: int = 1
    planes: int = 1
    share_giants: bool = True
    key_weight: int = 0
    prime_bits: int = ENGINE_PRIME_BITS

    @property
    def slots(self) -> int:
        return self.degree // 2

    @property
    def paired_folds(self) -> bool:
        """Whether folds are done in pairs, which takes three keys instead of two."""
        return self.key_weight <= 1


@dataclass(frozen=True)
class Evidence:
    """The values of every stage on the calibration inputs: atoms and affine values, (features, images)."""

    atoms: tuple[Array, ...]
    values: tuple[Array, ...]

    def subset(self, count: int) -> Evidence:
        """The evidence of the first `count` images."""
        return Evidence(tuple(a[:, :count] for a in self.atoms), tuple(v[:, :count] for v in self.values))

    @property
    def outputs(self) -> Array:
        return self.values[-1]

    @cached_property
    def atom_rms(self) -> tuple[float, ...]:
        return tuple(max(float(np.sqrt(np.mean(atom**2))), 1e-12) for atom in self.atoms)

    @cached_property
    def value_rms(self) -> tuple[float, ...]:
        return tuple(max(float(np.sqrt(np.mean(value**2))), 1e-12) for value in self.values)


def gather_evidence(stages: tuple[Stage, ...], images: Array) -> Evidence:
    """Run the stages in clear on calibration images (images, *input_shape)."""
    atoms, values = run_stages(stages, images)
    return Evidence(tuple(atoms), tuple(values))


@dataclass(frozen=True)
class Split:
    """Baby-step/giant-step of one stage: rotation = baby + giant (mod slots).

    parts: (baby, giant) for every rotation of the stage's table, both in [0, slots). horner: whether evenly spaced
    giant steps are done by Horner's rule: a chain of rotations by the same step. They then share one key, but each
    rotation waits for the sum before it.
    """

    parts: Mapping[int, tuple[int, int]]
    horner: bool = True

    def shares_giants(self, giants: Collection[int]) -> bool:
        """Whether the giant steps of one output are 0, s, 2 s, ... and are done by Horner's rule."""
        ordered = sorted(giants)
        step = ordered[1] if len(ordered) > 1 else 0
        return self.horner and len(ordered) > 2 and ordered == [step * k for k in range(len(ordered))]

    @property
    def babies(self) -> tuple[int, ...]:
        return tuple(sorted({baby for baby, _ in self.parts.values()}))

    @property
    def giants(self) -> tuple[int, ...]:
        return tuple(sorted({giant for _, giant in self.parts.values()}))


@dataclass(frozen=True)
class StageScales:
    """Scales of one stage: of its affine value, and of the atom that its square becomes (value**2 without a
    rescale)."""

    value: float
    atom: float


@dataclass(frozen=True)
class Offer:
    """A layout of a stage that was considered: its description, its predicted time, and whether it was taken."""

    layout: str
    milliseconds: float
    taken: bool


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A compilation in progress. Fields after `allowed_error` are filled by the passes in their order."""

    stages: tuple[Stage, ...]
    evidence: Evidence
    choice: Choice
    allowed_error: float = inf  # at six sigma, in the outputs' units
    allowed_disagreement: float = ACCEPTABLE_DISAGREEMENT  # share of changed classes; counts without an allowed_error
    times: KernelTimes = TYPICAL_TIMES  # of the machine that will run the plan
    # arrange; rows of the input's map are ciphertexts times planes
    atom_maps: tuple[SlotMap, ...] = ()
    tables: tuple[DiagonalTable, ...] = ()
    offers: tuple[tuple[Offer, ...], ...] = ()  # by stage
    coefficients: tuple[float, ...] = ()  # by stage, the largest of what is rescaled or decrypted, at scale 1
    # choose_rotations
    splits: tuple[Split, ...] = ()
    # place_rescales: level each stage works at, level of each atom, how many primes each stage's square is divided by
    stage_levels: tuple[int, ...] = ()
    atom_levels: tuple[int, ...] = ()
    rescaled: tuple[int, ...] = ()
    # choose_parameters
    params: Params | None = None
    input_scale: float = 0.0
    scales: tuple[StageScales, ...] = ()
    output_sigmas: Array | None = None  # (outputs, images) standard deviation of the output error, for a bound
    expected_disagreement: float = 1.0  # share of calibration images whose class changes, on average over keys
    # emit
    plan: Plan | None = None

    @property
    def levels(self) -> int:
        """The data primes of a fresh ciphertext."""
        return self.atom_levels[0]

    @property
    def log2_qp(self) -> float:
        """log2(QP) of the chosen parameters; infinite before they are chosen."""
        return inf if self.params is None else self.params.log2_qp
