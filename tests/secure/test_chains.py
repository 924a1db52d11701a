"""The room that a stage's value needs in its modulus, worked out by hand."""

from types import SimpleNamespace

import pytest

from secure.passes.chains import HEADROOM_BITS, room_bits


def draft(coefficient, *, power, degree=8192):
    return SimpleNamespace(
        stages=(SimpleNamespace(power=power),),
        coefficients=(coefficient,),
        choice=SimpleNamespace(degree=degree),
    )


@pytest.mark.parametrize(("power", "headroom_bits"), [(1, HEADROOM_BITS), (2, 2 * HEADROOM_BITS)])
def test_room_is_the_largest_coefficient_its_sign_and_headroom_in_every_factor(power, headroom_bits):
    assert room_bits(draft(8.0, power=power), 0) == 3 + 1 + headroom_bits


def test_tiny_values_still_leave_the_scale_below_a_quarter_of_the_ring_times_the_modulus():
    assert room_bits(draft(1e-12, power=1, degree=4096), 0) == 2 - 12
