"""The split that is found costs least: every candidate is priced again, one by one, with sets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secure.drafting.splits import SplitPrices, cheapest_split
from secure.layout.diagonals import DiagonalKey, DiagonalTable

SLOTS = 64
KEYS = st.builds(
    DiagonalKey, output=st.integers(0, 2), atom=st.just(1), input=st.integers(0, 2), rotation=st.integers(0, SLOTS - 1)
)


def price(keys, prices, parts):
    """Milliseconds of a split, computed from the meaning of the prices."""
    moved = [key for key in keys if parts[key.rotation][0]]
    giants = {(key.output, parts[key.rotation][1]) for key in keys if parts[key.rotation][1]}
    return (
        prices.digits * len({key.input for key in moved})
        + prices.baby * len({(key.input, parts[key.rotation][0]) for key in moved})
        + prices.row * len(moved)
        + prices.giant * len(giants)
        + prices.key * (len({parts[key.rotation][0] for key in moved}) + bool(giants))
    )


def candidates(keys):
    """Every step, with babies that start at 0 and at the most negative rotation."""
    for step in range(1, SLOTS + 1):
        for offset in {0, -min((key.rotation + SLOTS // 2) % SLOTS - SLOTS // 2 for key in keys)}:
            parts = {}
            for key in keys:
                baby = (key.rotation + offset) % SLOTS % step - offset
                parts[key.rotation] = baby % SLOTS, (key.rotation - baby) % SLOTS
            yield parts


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.sets(KEYS, min_size=1, max_size=30), st.lists(st.integers(1, 20), min_size=4, max_size=4))
def test_no_split_is_cheaper_than_the_one_that_is_found(keys, numbers):
    digits, baby, row, giant = map(float, numbers)
    prices = SplitPrices(digits=digits, baby=baby, row=row, giant=giant, source=0.0, key=0.0)
    table = DiagonalTable({key: np.ones(SLOTS) for key in keys}, (), np.zeros((3, SLOTS), dtype=np.int32))
    found = cheapest_split(table, 1, prices, SLOTS)
    best = min(price(keys, prices, parts) for parts in candidates(keys))
    assert price(keys, prices, found.parts) == pytest.approx(best)
