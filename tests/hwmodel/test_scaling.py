"""The laws of width and node, at published points."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.errors import CostModelError
from hwmodel.architecture import CkksAccelerator, PlainArray
from hwmodel.architecture_file import load_architecture
from hwmodel.band import Band
from hwmodel.scaling import mac_energy_pj, multiply_energy_pj, node_factor

NODES = st.floats(7, 65)
#: Multiplications in one modular product, by the methods of Shoup, Montgomery and Barrett.
MULTIPLIES_PER_MODULAR_PRODUCT = Band(2.45, 2.0, 3.0)


def modular_product_energy_pj(word_bits: int) -> Band:
    """The product of two residues of word_bits at 45 nm."""
    return multiply_energy_pj(word_bits, word_bits) * MULTIPLIES_PER_MODULAR_PRODUCT


def test_the_law_meets_the_published_points() -> None:
    assert multiply_energy_pj(8, 8).value == pytest.approx(0.2)
    wide = multiply_energy_pj(32, 32)
    assert wide.low == pytest.approx(3.1) and wide.low <= wide.value == pytest.approx(3.2)


def test_a_modular_product_lies_in_the_published_range() -> None:
    for bits, low, high in ((28, 4, 7.5), (36, 6, 12.5), (64, 20, 38.5)):
        band = modular_product_energy_pj(bits)
        assert low <= band.low <= band.value <= band.high <= high


@given(bits=st.integers(1, 64), more=st.integers(1, 16), fan_in=st.integers(1, 4096))
def test_a_wider_operand_is_never_cheaper(bits: int, more: int, fan_in: int) -> None:
    assert mac_energy_pj(bits + more, 8, fan_in).value > mac_energy_pj(bits, 8, fan_in).value
    assert multiply_energy_pj(2 * bits, 2 * bits).value == pytest.approx(4 * multiply_energy_pj(bits, bits).value)


def test_four_bits_save_less_than_a_multiplier_says() -> None:
    """The adder shrinks less than the multiplier: 2.6 times less energy for a sum of 576, not 4 times."""
    gain = mac_energy_pj(8, 8, 576).value / mac_energy_pj(4, 4, 576).value
    assert 2.3 < gain < 2.8


@given(node=NODES, other=NODES)
def test_a_smaller_node_is_never_dearer_and_factors_invert(node: float, other: float) -> None:
    smaller, larger = sorted((node, other))
    assert node_factor(45, smaller).value <= node_factor(45, larger).value * (1 + 1e-12)
    assert node_factor(node, other).value * node_factor(other, node).value == pytest.approx(1)


def test_node_factors_meet_the_table_and_one_node_has_factor_one() -> None:
    assert node_factor(45, 28).value == pytest.approx((0.5 * 0.6) ** 0.5)
    assert node_factor(14, 14).low == node_factor(14, 14).high == 1


def test_a_node_outside_the_table_is_refused() -> None:
    with pytest.raises(CostModelError, match="node_nm: got 3; allowed: 7 to 65, the range of the published factors"):
        node_factor(45, 3)


@pytest.mark.parametrize("name", ["a100-ckks", "ark", "craterlake", "sharp"])
def test_product_energies_of_accelerator_files_follow_the_law(name: str) -> None:
    machine = load_architecture(name)
    assert isinstance(machine, CkksAccelerator)
    word_bits, node_nm = int(machine.word_bits.value), machine.node_nm.value
    law = modular_product_energy_pj(word_bits) * node_factor(45, node_nm)
    assert machine.product_energy_pj.value == pytest.approx(law.value, rel=0.01)
    assert machine.product_energy_pj.low >= law.low and machine.product_energy_pj.high <= law.high


def test_the_tpus_lowest_mac_energy_follows_the_law() -> None:
    machine = load_architecture("tpu-v1")
    assert isinstance(machine, PlainArray)
    law = mac_energy_pj(8, 8, 256) * node_factor(45, 28)
    assert machine.mac_energy_pj.low == pytest.approx(law.value, rel=0.05)
