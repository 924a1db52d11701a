"""Orders, prefixes, the fill and the baselines: best on small cases, and within the budget to the last block."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.blocks.baselines import global_masks, mean_squares, uniform_masks
from compress.blocks.choices import DISTORTIONS, extra_time, fill, grid_order, layer_choices, removal_orders
from compress.blocks.cost import AdditiveCost, CkksDiagonals, LayerPlace
from compress.blocks.objective import choose
from compress.blocks.patterns import block_groups, parse_pattern
from compress.errors import BudgetError


def additive(*times):
    return AdditiveCost(np.array(times, dtype=float), np.array(times, dtype=float))


def diagonals(text="residue:16", shape=(16, 16), **place):
    groups = block_groups(parse_pattern(text), shape, modulus=16)
    return groups, CkksDiagonals().of_layer(LayerPlace(name="layer", shape=shape, **place), groups)


def total(costs, masks):
    return sum(cost.time(mask) for cost, mask in zip(costs, masks, strict=True))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_shares_over_layers_equal_exhaustive_search(data):
    """For scores that add up and blocks of one price per layer, the choice is the best of all 2^B masks."""
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    scores = [np.array(data.draw(st.lists(st.integers(0, 20), min_size=n, max_size=n)), dtype=float) for n in sizes]
    costs = [additive(*[data.draw(st.integers(1, 5))] * n) for n in sizes]
    budget = float(data.draw(st.integers(sum(int(c.block_time[0]) for c in costs), 40)))
    choices = [
        layer_choices(
            str(number), cost, lambda name, masks: (~masks) @ scores[int(name)], features=1, least_kept=1,
            orders=removal_orders(score, cost, np.ones(len(score))),
        )
        for number, (score, cost) in enumerate(zip(scores, costs, strict=True))
    ]  # fmt: skip
    picks = choose([choice.curve for choice in choices], budget)
    masks = [choice.masks[pick] for choice, pick in zip(choices, picks, strict=True)]
    lost = sum(float(score[~mask].sum()) for score, mask in zip(scores, masks, strict=True))
    every = product(*([np.array(m, dtype=bool) for m in product((0, 1), repeat=n) if any(m)] for n in sizes))
    best = min(
        sum(float(score[~mask].sum()) for score, mask in zip(scores, trial, strict=True))
        for trial in every
        if total(costs, trial) <= budget
    )
    assert total(costs, masks) <= budget
    assert lost == best


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 999), share=st.floats(0.2, 0.9))
def test_the_fill_leaves_no_room_for_another_block(seed, share):
    random = np.random.default_rng(seed)
    costs = [diagonals()[1], additive(*random.random(6))]
    scores = [random.random(16), random.random(6)]
    start = [np.zeros(16, dtype=bool), np.zeros(6, dtype=bool)]
    budget = share * total(costs, [~mask for mask in start])
    masks = fill(start, scores, costs, budget)
    left = budget - total(costs, masks)
    assert left >= -1e-9
    for cost, mask in zip(costs, masks, strict=True):
        for block in np.flatnonzero(~mask).tolist():
            assert extra_time(cost, mask, block) > left
    assert not start[0].any()


def test_the_fill_takes_blocks_that_cost_nothing():
    """A tile is free when kept tiles already need all of its diagonals."""
    groups, cost = diagonals("tile:4x4")
    start = np.zeros(16, dtype=bool)
    start[[0, 3]] = True  # wrapped block-diagonals 0 and 3 are kept
    (filled,) = fill([start], [np.ones(16)], [cost], cost.time(start))
    assert cost.time(filled) == cost.time(start)
    assert filled.sum() == 8


def test_a_grid_is_cleared_one_line_after_the_other():
    """Scores depend on the baby step alone: the class with the least score goes first as a whole."""
    order = grid_order(np.array([5.0, 1, 5, 1, 5, 1, 5, 1]), np.arange(8) // 2, np.arange(8) % 2)
    assert sorted(order[:4].tolist()) == [1, 3, 5, 7]
    assert sorted(order.tolist()) == list(range(8))


def test_orders_that_clear_lines_save_rotations_and_single_diagonals_do_not():
    _, cost = diagonals(positions=16)
    orders = removal_orders(np.random.default_rng(0).random(16), cost, np.ones(16))
    half = []
    for order in orders:
        mask = np.ones(16, dtype=bool)
        mask[order[:8]] = False
        half.append(cost.operations(mask)[0])
    assert min(half[1:]) <= 4 < cost.operations(np.ones(16, dtype=bool))[0]
    assert all(sorted(order.tolist()) == list(range(16)) for order in orders)


def test_removing_every_tile_but_one_of_a_diagonal_saves_nothing():
    _, cost = diagonals("tile:4x4")
    assert extra_time(cost, np.arange(16) != 5, 5) == 0.0


def test_choices_are_nested_dense_first_and_interpolated():
    cost = additive(*np.ones(60))
    asked = []

    def distortion(name, masks):
        asked.append(len(masks))
        return (~masks).sum(axis=1) ** 2.0

    choices = layer_choices("x", cost, distortion, features=8, least_kept=3, orders=[np.arange(60)])
    assert choices.masks[0].all() and choices.masks.sum(axis=1).min() == 3
    assert asked == [DISTORTIONS]
    between = 57 / (DISTORTIONS - 1)  # a chord of x^2 is off by a quarter of its width squared, plus rounding
    assert choices.curve.distortion == pytest.approx((~choices.masks).sum(axis=1) ** 2.0, abs=between**2 / 4 + 1)
    assert choices.curve.time.tolist() == choices.masks.sum(axis=1).tolist()


def test_uniform_takes_the_same_share_of_every_layer():
    scores = [np.arange(8.0), np.arange(4.0)[::-1]]
    masks = uniform_masks(scores, [additive(*np.ones(8)), additive(*np.ones(4))], 6.0, [1, 1])
    assert [mask.tolist() for mask in masks] == [[False] * 4 + [True] * 4, [True, True, False, False]]


def test_global_magnitude_takes_the_smallest_blocks_of_any_layer():
    magnitudes = [np.array([5.0, 0.1, 4, 3]), np.array([0.2, 0.3])]
    masks = global_masks(magnitudes, [additive(1, 1, 1, 1), additive(1, 1)], 4.0, [1, 1])
    assert [mask.tolist() for mask in masks] == [[True, False, True, True], [False, True]]
    masks = global_masks(magnitudes, [additive(1, 1, 1, 1), additive(1, 1)], 3.0, [1, 1])
    assert masks[1].tolist() == [False, True]  # a layer never loses its last block


def test_ragged_blocks_have_means_over_their_own_weights():
    """The corner block has one weight."""
    weight = np.ones((3, 3))
    weight[2, 2] = 5
    groups = block_groups(parse_pattern("tile:2x2"), (3, 3), modulus=4)
    assert mean_squares(weight, groups).tolist() == [1, 1, 1, 25]


@pytest.mark.parametrize("masks", [uniform_masks, global_masks])
def test_an_impossible_budget_is_refused(masks):
    with pytest.raises(
        BudgetError, match="the budget is a cost of 0.5, the sparsest layers allowed cost 1; ask for less"
    ):
        masks([np.ones(3)], [additive(1, 1, 1)], 0.5, [1])
