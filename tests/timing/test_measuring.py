"""Measuring a few operations of a real ring gives kernel times that explain them."""

import pytest

from cipherpress.timing.measuring import ENGINE_RINGS, REFERENCE, SEAL_RINGS, measure_engine, measure_seal
from hwmodel.architecture import kernel_times
from hwmodel.architecture_file import load_architecture


@pytest.mark.parametrize(
    ("measure", "rings", "name"),
    [(measure_engine, ENGINE_RINGS, "cpu-engine"), (measure_seal, SEAL_RINGS, "cpu-seal")],
)
def test_two_rings_and_two_rounds_give_times_of_the_usual_order(measure, rings, name):
    found = measure(rings[:2], rounds=2)
    usual = kernel_times(load_architecture(name))
    assert usual.butterfly_ns / 30 < found.times.butterfly_ns < usual.butterfly_ns * 30
    assert all(value >= 0 for value in vars(found.times).values())
    assert 0 < found.mean_relative_error < 1


@pytest.mark.parametrize("rings", [ENGINE_RINGS, SEAL_RINGS])
def test_the_reference_is_among_the_rings(rings):
    _, degree, level = REFERENCE
    assert any(ring[0] == degree and level in ring[2] for ring in rings)
