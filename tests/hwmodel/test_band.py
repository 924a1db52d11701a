"""Bands by hand: every operation uses the corners that give the widest result."""

import pytest

from hwmodel.band import ZERO, Band, exactly, larger, smaller

ONE, TWO = Band(3.0, 2.0, 4.0), Band(0.5, 0.25, 1.0)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (ONE + TWO, Band(3.5, 2.25, 5.0)),
        (ONE * TWO, Band(1.5, 0.5, 4.0)),
        (ONE * 2, Band(6.0, 4.0, 8.0)),
        (ONE / TWO, Band(6.0, 2.0, 16.0)),
        (ONE / 2, Band(1.5, 1.0, 2.0)),
        (TWO.complement, Band(0.5, 0.0, 0.75)),
        (larger(ONE, exactly(2.5)), Band(3.0, 2.5, 4.0)),
        (smaller(ONE, exactly(2.5)), Band(2.5, 2.0, 2.5)),
        (ONE + ZERO, ONE),
    ],
)
def test_results_use_the_widest_corners(found, wanted):
    assert found == wanted
    assert found.low <= found.value <= found.high
