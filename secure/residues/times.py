"""How long a block takes on one thread, predicted from a plan: pure arithmetic on counts.

A multiply-add is one code times one residue. Residues count per prime, part and position.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from secure.coded.plan import Linear
from secure.residues.constants import row_sums


@dataclass(frozen=True, kw_only=True)
class ResidueTimes:
    """What the kernels cost on one thread of one machine, in picoseconds, and microseconds for calls.

    dense_ps: per multiply-add by BLAS. sparse_ps: per multiply-add of a code that is not zero. row_ps: per residue of a
    sparse layer's output and slice of columns. reduced_ps: per residue that is added to others and reduced.
    product_ps: per modular product. moved_ps: per residue of the input, which is read from memory. call_us: per step
    and chunk.
    """

    dense_ps: float
    sparse_ps: float
    row_ps: float
    reduced_ps: float
    product_ps: float
    moved_ps: float
    call_us: float


#: Measured on a core of 2026 with AVX2 at 2.4 GHz.
TYPICAL_RESIDUE_TIMES = ResidueTimes(
    dense_ps=65.0, sparse_ps=100.0, row_ps=1000.0, reduced_ps=700.0, product_ps=900.0, moved_ps=1500.0, call_us=4.0
)


@dataclass(frozen=True)
class BlockTime:
    """Predicted milliseconds of one block on one thread, for all primes. layers: by name; input_ms: reading the
    residues."""

    layers: Mapping[str, float]
    input_ms: float

    @property
    def total_ms(self) -> float:
        return self.input_ms + sum(self.layers.values())


def linear_ms(layer: Linear, columns: int, limit: int, residues: int, dense: bool, times: ResidueTimes) -> float:
    """A linear layer on `residues` residues per feature, by BLAS or by the sparse kernel.

    limit: the largest sum of |codes| between two reductions.
    """
    outputs = layer.features * residues
    if dense:
        slices = 1 + int(row_sums(layer).max(initial=0)) // limit
        return (outputs * columns * times.dense_ps + outputs * slices * times.reduced_ps) * 1e-9
    return (layer.nonzeros * residues * times.sparse_ps + outputs * times.row_ps) * 1e-9


def dense_is_faster(layer: Linear, columns: int, limit: int, times: ResidueTimes = TYPICAL_RESIDUE_TIMES) -> bool:
    """Whether BLAS is predicted to be faster than the sparse kernel."""
    return linear_ms(layer, columns, limit, 1, True, times) <= linear_ms(layer, columns, limit, 1, False, times)
