"""Folds in pairs give the same sums, with errors that grow as the formula says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secure.layout.folds import PAIRED, SINGLE, FoldStyle, Move, fold_groups, switches_after_folds

SLOTS = 64
STYLES = [PAIRED, SINGLE, FoldStyle(paired=False, per_key=2), FoldStyle(paired=False, per_key=3)]


def moved(value, move):
    turned = np.roll(value, -move.distance, axis=-1)
    return turned.conj() if move.conjugated else turned


@given(first=st.integers(0, 5), count=st.integers(0, 5), conjugated=st.booleans(), style=st.sampled_from(STYLES))
def test_groups_give_the_sums_of_single_folds(first, count, conjugated, style):
    folds = [2 ** (first + k) for k in range(count) if first + k < 6]
    rng = np.random.default_rng(count)
    value = rng.normal(size=SLOTS) + 1j * rng.normal(size=SLOTS)
    wanted = value
    for fold in folds:
        wanted = wanted + np.roll(wanted, -fold)
    if conjugated:
        wanted = wanted + wanted.conj()
    found = value
    for moves in fold_groups(folds, conjugated, style):
        found = found + sum(moved(found, move) for move in moves)
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_groups_by_hand():
    assert fold_groups([4], False) == ((Move(4),),)
    assert fold_groups([4, 8], False) == ((Move(4), Move(8), Move(12)),)
    assert fold_groups([4], True) == ((Move(4), Move(0, True), Move(4, True)),)
    assert fold_groups([4, 8], True) == ((Move(4),), (Move(8), Move(0, True), Move(8, True)))
    assert fold_groups([4, 8], False, SINGLE) == ((Move(4),), (Move(8),))


def test_folds_that_share_a_key_rotate_by_its_steps_several_times():
    threes = FoldStyle(paired=False, per_key=3)
    assert fold_groups([4, 8, 16, 32], True, threes) == (
        (Move(4),), (Move(4, times=2),), (Move(4, times=4),), (Move(32),), (Move(0, True),)
    )  # fmt: skip
    assert switches_after_folds(1.0, fold_groups([4, 8], False, threes)) == 2 * (2 * 1 + 1) + 2


@pytest.mark.parametrize(
    ("folds", "conjugated"), [([8], False), ([8, 16], False), ([], True), ([16], True), ([8, 16], True)]
)
def test_errors_grow_as_the_formula_says(folds, conjugated):
    rng = np.random.default_rng(0)

    def error():
        return rng.normal(size=(4000, SLOTS)) + 1j * rng.normal(size=(4000, SLOTS))  # the real part has variance one

    value = error() + error() + error()
    groups = fold_groups(folds, conjugated)
    for moves in groups:
        value = value + sum(moved(value, move) + error() for move in moves)
    assert np.var(value.real) == pytest.approx(switches_after_folds(3, groups), rel=0.05)
