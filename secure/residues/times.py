"""How long a block takes on one thread, predicted from a plan: pure arithmetic on counts.

A residue is one number of one part at one position modulo one prime. A multiply-add is one code times one residue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from secure.coded.plan import FRESH_PARTS, BatchPlan, Linear, Product, Quadratic, Select, Step, Sum
from secure.residues.constants import code_limit, row_sums
from secure.residues.digits import computed_rows, digit_count, exact_in_digits
from secure.residues.layout import chunk_size
from secure.residues.narrow import read_inputs
from secure.residues.runs import count_runs


class Way(Enum):
    """How a linear layer is computed: by BLAS on float64, by the sparse kernel, or by digits of residues."""

    BLAS = "blas"
    SPARSE = "sparse"
    DIGITS = "digits"


@dataclass(frozen=True, kw_only=True)
class ResidueTimes:
    """What the kernels cost on one thread of one machine: picoseconds, and for calls microseconds.

    dense_ps: per multiply-add by BLAS. packed_ps: per residue that BLAS rearranges before. sparse_ps: per multiply-add
    of a code that is not zero. read_ps: per residue of a sparse layer's source. run_ps: per residue of a run of the
    sparse kernel (`runs`). digit_ps: per multiply-add of one digit of a residue. split_ps: per digit that a residue is
    split into. joined_ps: per sum of digits that is put together with others. product_ps: per modular product.
    reduced_ps: per sum of residues that is reduced. moved_ps: per residue that is read from memory or written to it.
    call_us: per step and chunk.
    """

    dense_ps: float
    packed_ps: float
    sparse_ps: float
    read_ps: float
    run_ps: float
    digit_ps: float
    split_ps: float
    joined_ps: float
    product_ps: float
    reduced_ps: float
    moved_ps: float
    call_us: float


#: How often a plan pays each of the times, by their names.
Counts = Mapping[str, float]

#: Measured by benchmarks/residue_times.py on an AMD EPYC of 2.4 GHz with AVX2.
TYPICAL_RESIDUE_TIMES = ResidueTimes(
    dense_ps=57.0,
    packed_ps=450.0,
    sparse_ps=66.0,
    read_ps=190.0,
    run_ps=460.0,
    digit_ps=15.5,
    split_ps=190.0,
    joined_ps=400.0,
    product_ps=150.0,
    reduced_ps=600.0,
    moved_ps=720.0,
    call_us=1.1,
)


#: The times that a way of a linear layer takes.
_OF_WAY = {
    Way.BLAS: ("dense_ps", "packed_ps", "reduced_ps"),
    Way.SPARSE: ("sparse_ps", "read_ps", "run_ps"),
    Way.DIGITS: ("digit_ps", "split_ps", "joined_ps"),
}


def preferring(way: Way, times: ResidueTimes = TYPICAL_RESIDUE_TIMES) -> ResidueTimes:
    """Times by which every linear layer that can goes one way: for tests, and to measure that way."""
    return replace(times, **dict.fromkeys(_OF_WAY[way], 0.0))


def time_ms(counts: Counts, times: ResidueTimes) -> float:
    """Milliseconds of what is counted."""
    return sum(count * getattr(times, name) * (1e-3 if name == "call_us" else 1e-9) for name, count in counts.items())


@dataclass(frozen=True)
class BlockTime:
    """Predicted milliseconds of one block on one thread, all primes together.

    steps_ms: of every step. layers_ms: the same by layer. moved_ms: reading the input's residues and writing the
    output's.
    """

    steps_ms: tuple[float, ...]
    layers_ms: Mapping[str, float]
    moved_ms: float

    @property
    def total_ms(self) -> float:
        return self.moved_ms + sum(self.steps_ms)


def predicted_ms(
    plan: BatchPlan,
    *,
    times: ResidueTimes = TYPICAL_RESIDUE_TIMES,
    choice: ResidueTimes = TYPICAL_RESIDUE_TIMES,
    chunk: int | None = None,
) -> BlockTime:
    """The time of one block on one thread.

    times: of the machine. choice: the times by which linear layers go their ways, and chunk: positions at a time, as
    `BatchEvaluator` takes them.
    Raises: PlanError for a layer whose products may leave float64's exact range.
    """
    steps = [0.0] * len(plan.steps)
    layers = dict.fromkeys((step.layer for step in plan.steps), 0.0)
    for prime in plan.params.data_primes:
        for index, step in enumerate(plan.steps):
            taken = time_ms(step_counts(plan, index, prime, chunk or chunk_size(plan), choice), times)
            steps[index] += taken
            layers[step.layer] += taken
    moved = time_ms(moved_counts(plan, chunk or chunk_size(plan)), times) * plan.params.levels
    return BlockTime(tuple(steps), layers, moved)


def moved_counts(plan: BatchPlan, chunk: int) -> Counts:
    """Reading residues of the inputs that are read, modulo one prime, and writing the outputs'."""
    degree = plan.params.poly_modulus_degree
    residues = len(read_inputs(plan)) * FRESH_PARTS + plan.outputs * plan.parts[-1]
    return {"moved_ps": residues * degree, "call_us": 2 * degree // chunk}


def step_counts(plan: BatchPlan, index: int, prime: int, chunk: int, choice: ResidueTimes) -> Counts:
    """One step modulo one prime; a linear one in the way that is the fastest by `choice`. Raises: PlanError."""
    step, degree = plan.steps[index], plan.params.poly_modulus_degree
    parts = [plan.parts[source] for source in step.sources]
    if isinstance(step, Linear):
        (source,) = step.sources
        columns = plan.steps[source - 1].features if source else plan.inputs
        options = _linear_options(step, columns, prime, parts[0] * degree)
        counts = min(options.values(), key=lambda counts: time_ms(counts, choice))
    else:
        products, sums = _elementwise_counts(step, parts)
        counts = {"product_ps": products * degree, "reduced_ps": sums * degree}
    return {**counts, "call_us": degree // chunk}


def fastest_way(layer: Linear, columns: int, prime: int, times: ResidueTimes = TYPICAL_RESIDUE_TIMES) -> Way:
    """The way in which a linear layer is predicted to be the fastest. Raises: PlanError."""
    options = _linear_options(layer, columns, prime, 1)
    return min(options, key=lambda way: time_ms(options[way], times))


def _linear_options(layer: Linear, columns: int, prime: int, residues: int) -> Mapping[Way, Counts]:
    """What a linear layer on `residues` residues per feature takes in every way that is exact. Raises: PlanError."""
    limit, count = code_limit(layer, prime), digit_count(prime)
    outputs, slices = layer.features * residues, -(-int(row_sums(layer).max(initial=1)) // limit)
    runs = count_runs(layer, columns, limit)
    options: dict[Way, Counts] = {
        Way.BLAS: {
            "dense_ps": outputs * columns, "packed_ps": columns * residues, "reduced_ps": outputs * slices,
        },
        Way.SPARSE: {
            "sparse_ps": layer.nonzeros * residues, "read_ps": columns * residues, "run_ps": runs * residues,
        },
    }  # fmt: skip
    if exact_in_digits(layer):
        options[Way.DIGITS] = {
            "digit_ps": computed_rows(layer.features) * columns * count * residues,
            "split_ps": columns * count * residues,
            "joined_ps": outputs * count,
        }
    return options


def _elementwise_counts(step: Step, parts: list[int]) -> tuple[int, int]:
    """(modular products, reduced sums) of a step at one position. parts: of its sources."""
    match step:
        case Quadratic():
            pairs, results = parts[0] * (parts[0] + 1) // 2, 2 * parts[0] - 1
            scaled = int(np.count_nonzero(step.square != 1)) * results
            linear = int(np.count_nonzero(step.linear)) * parts[0]
            return step.features * pairs + scaled + linear, step.features * results + scaled
        case Product():
            return step.features * parts[0] * parts[1], step.features * (parts[0] + parts[1] - 1)
        case Sum():
            return step.features * sum(parts), step.features * sum(parts)
        case Select():
            return step.features * max(parts), step.features * max(parts)
        case _:
            raise TypeError(f"{type(step).__name__} is no step by feature")
