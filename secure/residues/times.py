"""How long a block takes on one thread, predicted from a plan: pure arithmetic on counts.

A residue is one number of one part at one position modulo one prime. A multiply-add is one code times one residue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from secure.coded.plan import FRESH_PARTS, BatchPlan, Linear, Product, Quadratic, Select, Step, Sum
from secure.residues.constants import code_limit, row_sums
from secure.residues.layout import chunk_size


@dataclass(frozen=True, kw_only=True)
class ResidueTimes:
    """What the kernels cost on one thread of one machine, in picoseconds; calls in microseconds.

    dense_ps: per multiply-add by BLAS. packed_ps: per residue that BLAS rearranges before. sparse_ps: per multiply-add
    of a code that is not zero. result_ps: per residue of a sparse layer's result. reduced_ps: per residue that is
    added to others and reduced. product_ps: per modular product. moved_ps: per residue that is read from memory or
    written to it. call_us: per step and chunk.
    """

    dense_ps: float
    packed_ps: float
    sparse_ps: float
    result_ps: float
    reduced_ps: float
    product_ps: float
    moved_ps: float
    call_us: float


#: Measured by benchmarks/residue_times.py on an AMD EPYC of 2.4 GHz with AVX2.
TYPICAL_RESIDUE_TIMES = ResidueTimes(
    dense_ps=57.0,
    packed_ps=700.0,
    sparse_ps=90.0,
    result_ps=700.0,
    reduced_ps=500.0,
    product_ps=700.0,
    moved_ps=800.0,
    call_us=3.0,
)


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
    plan: BatchPlan, *, times: ResidueTimes = TYPICAL_RESIDUE_TIMES, chunk: int | None = None
) -> BlockTime:
    """The time of one block on one thread. chunk: positions at a time, as `BatchEvaluator` takes it.

    Raises: PlanError for a layer whose products may leave float64's exact range.
    """
    degree, primes, parts = plan.params.poly_modulus_degree, plan.params.data_primes, plan.parts
    features = [plan.inputs, *(step.features for step in plan.steps)]
    calls = degree // (chunk or chunk_size(plan)) * times.call_us * 1e-3
    steps: list[float] = []
    layers: dict[str, float] = {}
    for step in plan.steps:
        sources = [(features[source], parts[source]) for source in step.sources]
        taken = sum(_step_ms(step, sources, degree, prime, times) + calls for prime in primes)
        steps.append(taken)
        layers[step.layer] = layers.get(step.layer, 0.0) + taken
    ends = plan.inputs * FRESH_PARTS + plan.outputs * parts[-1]
    return BlockTime(tuple(steps), layers, len(primes) * (ends * degree * times.moved_ps * 1e-9 + 2 * calls))


def _step_ms(step: Step, sources: list[tuple[int, int]], degree: int, prime: int, times: ResidueTimes) -> float:
    """One step modulo one prime. sources: features and parts of each."""
    if isinstance(step, Linear):
        ((columns, parts),) = sources
        limit = code_limit(step, prime)
        return min(linear_ms(step, columns, limit, parts * degree, dense, times) for dense in (True, False))
    products, sums = _elementwise_counts(step, [parts for _, parts in sources])
    return (products * times.product_ps + sums * times.reduced_ps) * degree * 1e-9


def linear_ms(layer: Linear, columns: int, limit: int, residues: int, dense: bool, times: ResidueTimes) -> float:
    """A linear layer on `residues` residues per feature, by BLAS or by the sparse kernel.

    limit: the largest sum of |codes| between two reductions.
    """
    outputs = layer.features * residues
    if dense:
        slices = -(-int(row_sums(layer).max(initial=1)) // limit)
        packed = columns * residues * times.packed_ps
        return (outputs * columns * times.dense_ps + packed + outputs * slices * times.reduced_ps) * 1e-9
    return (layer.nonzeros * residues * times.sparse_ps + outputs * times.result_ps) * 1e-9


def dense_is_faster(layer: Linear, columns: int, limit: int, times: ResidueTimes = TYPICAL_RESIDUE_TIMES) -> bool:
    """Whether BLAS is predicted to be faster than the sparse kernel."""
    return linear_ms(layer, columns, limit, 1, True, times) <= linear_ms(layer, columns, limit, 1, False, times)


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
