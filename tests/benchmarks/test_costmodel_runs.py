"""The cost model's own runs: plans for the engine are timed under SEAL in the same ring."""

from __future__ import annotations

import pytest

from benchmarks.costmodel_runs import ENGINE, SEAL, seal_params
from secure.params import check_security, make_params


@pytest.mark.parametrize(
    ("degree", "data_bits", "special_bits"), [(4096, [35.5, 34.5], 35.9), (8192, [40.0, 38.0, 38.0], 40.5)]
)
def test_a_ring_for_the_engine_becomes_one_for_seal(degree: int, data_bits: list[float], special_bits: float) -> None:
    """The first ring has 106 bits and shrinks its largest primes; the second has room for a larger special prime."""
    params = make_params(degree, data_bits, special_bits)
    assert not params.fits_seal
    changed = seal_params(params)
    check_security(changed)
    assert changed.fits_seal and changed.levels == params.levels
    assert (changed.data_primes == params.data_primes) is (degree == 8192)


def test_a_ring_that_seal_can_use_is_left_alone() -> None:
    params = make_params(8192, [40.0, 38.0], 50.0)
    assert seal_params(params) is params


@pytest.mark.parametrize("runtime", [SEAL, ENGINE], ids=lambda runtime: runtime.backend.value)
def test_single_operations_cover_more_than_one_ring(runtime) -> None:
    assert len({degree for degree, *_ in runtime.rings}) >= 3
    assert all(max(levels) <= primes for _, primes, levels, _ in runtime.rings)
