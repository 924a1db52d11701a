"""The objective over layers: worked examples, and exact against exhaustive search."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.blocks import objective as hardware_aware
from compress.blocks.objective import LayerCurve, cheapest_choices, choose, power_scale, power_term
from compress.errors import BudgetError, ConfigError

SHARES = np.linspace(0, 1, 401)


def curve(distortion, *, time=None, energy=None, shares=SHARES, name="layer", blocks=10, features=32):
    shares = np.asarray(shares, dtype=float)
    return LayerCurve(
        name=name,
        blocks=blocks,
        features=features,
        pruned=shares,
        distortion=np.asarray(distortion, dtype=float),
        time=np.asarray(1 - shares if time is None else time, dtype=float),
        energy=np.asarray(1 - shares if energy is None else energy, dtype=float),
    )


def shares_of(curves, picks):
    return [layer.pruned[pick] for layer, pick in zip(curves, picks, strict=True)]


def test_the_expensive_layer_is_pruned_further():
    """Distortion share^2, energy slopes 1 and 4, beta 0.1, mean share 0.5: the shares are (0.425, 0.575)."""
    curves = [curve(SHARES**2, energy=slope * (1 - SHARES)) for slope in (1, 4)]
    weight = 0.1 / power_scale(curves, "corrected")
    picks = choose(curves, 1.0, term="corrected", weight=weight)
    assert shares_of(curves, picks) == pytest.approx([0.425, 0.575], abs=0.003)


def test_the_released_term_reverses_that_order():
    """Blocks 10 and 40 of 16 features: the pruned share counts as power, so the expensive layer is pruned less."""
    curves = [curve(SHARES**2, blocks=blocks, features=16) for blocks in (10, 40)]
    weight = 0.01 / power_scale(curves, "released")
    picks = choose(curves, 1.0, term="released", weight=weight)
    assert shares_of(curves, picks) == pytest.approx([0.575, 0.425], abs=0.003)


def test_slopes_are_equal_per_cost_not_per_share():
    """Costs 1 and 4, half of them to save: the shares are (0.1471, 0.5882), the distortion 0.3676."""
    curves = [curve(SHARES**2, time=cost * (1 - SHARES)) for cost in (1, 4)]
    picks = choose(curves, 2.5)
    assert shares_of(curves, picks) == pytest.approx([0.1471, 0.5882], abs=0.005)
    assert sum(layer.distortion[pick] for layer, pick in zip(curves, picks, strict=True)) == pytest.approx(
        0.3676, abs=1e-3
    )


def test_the_least_distortion_of_three_tables_by_hand():
    """The least distortion for every saving from 0 to 16, and the choices at 8 and 6."""
    tables = [np.array(t, dtype=float) for t in ((0, 1, 4, 9, 16), (0, 3, 5, 6, 10), (0, 0.5, 4, 4.5, 20))]
    costs = [step * (4.0 - np.arange(5)) for step in (1, 2, 1)]
    wanted = [0, 0.5, 1.5, 3.5, 4.5, 5.5, 6, 6.5, 7.5, 10.5, 11.5, 14.5, 15.5, 18.5, 23.5, 30.5, 46]
    found = []
    for saving in range(17):
        picks = cheapest_choices(tables, costs, 16 - saving)
        found.append(sum(table[pick] for table, pick in zip(tables, picks, strict=True)))
    assert found == wanted
    assert cheapest_choices(tables, costs, 8) == [1, 3, 1]
    assert cheapest_choices(tables, costs, 10) == [0, 3, 0]


tables = st.lists(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12)), min_size=1, max_size=6), min_size=1, max_size=4
)


@settings(max_examples=300, deadline=None)
@given(layers=tables, budget=st.integers(0, 40))
def test_the_choice_equals_exhaustive_search(layers, budget):
    values = [np.array([value for value, _ in layer], dtype=float) for layer in layers]
    costs = [np.array([cost for _, cost in layer], dtype=float) for layer in layers]
    fitting = [
        sum(value[pick] for value, pick in zip(values, picks, strict=True))
        for picks in product(*(range(len(layer)) for layer in layers))
        if sum(cost[pick] for cost, pick in zip(costs, picks, strict=True)) <= budget
    ]
    if not fitting:
        with pytest.raises(
            BudgetError, match=f"the budget is a cost of {budget:.4g}, the sparsest layers allowed cost"
        ):
            cheapest_choices(values, costs, budget)
        return
    picks = cheapest_choices(values, costs, budget)
    assert sum(cost[pick] for cost, pick in zip(costs, picks, strict=True)) <= budget
    assert sum(value[pick] for value, pick in zip(values, picks, strict=True)) == min(fitting)


@settings(max_examples=50, deadline=None)
@given(layers=tables, factor=st.sampled_from([1e-6, 0.5, 1024.0]))
def test_the_unit_of_cost_does_not_matter(layers, factor):
    values = [np.array([value for value, _ in layer], dtype=float) for layer in layers]
    costs = [np.array([cost for _, cost in layer], dtype=float) for layer in layers]
    budget = sum(cost.min() for cost in costs) + 5
    scaled = cheapest_choices(values, [factor * cost for cost in costs], factor * budget)
    assert scaled == cheapest_choices(values, costs, budget)


def test_long_fronts_are_thinned_and_stay_within_the_budget(monkeypatch):
    monkeypatch.setattr(hardware_aware, "FRONT_LIMIT", 50)
    random = np.random.default_rng(0)
    values = [np.sort(random.random(40)) for _ in range(5)]
    costs = [np.sort(random.random(40))[::-1] for _ in range(5)]
    worth = []
    for limit in (50, 20_000):
        monkeypatch.setattr(hardware_aware, "FRONT_LIMIT", limit)
        picks = cheapest_choices(values, costs, 2.0)
        assert sum(cost[pick] for cost, pick in zip(costs, picks, strict=True)) <= 2.0
        worth.append(sum(value[pick] for value, pick in zip(values, picks, strict=True)))
    assert worth[1] <= worth[0] <= 1.1 * worth[1]


def test_a_more_expensive_layer_is_never_pruned_less():
    """A higher energy of one layer raises the share that is pruned of it, or leaves that share unchanged."""
    shares = []
    for slope in (1, 2, 4, 8):
        curves = [curve(SHARES**2), curve(SHARES**2, energy=slope * (1 - SHARES))]
        picks = choose(curves, 1.0, weight=0.05 / power_scale(curves, "corrected"))
        shares.append(shares_of(curves, picks)[1])
    assert shares == sorted(shares) and shares[-1] > shares[0]


def test_power_does_not_prune_below_the_budget():
    """The whole time budget is used for any weight of power; a larger weight prunes more of the expensive layer."""
    curves = [curve(SHARES**2), curve(SHARES**2, energy=3 * (1 - SHARES))]
    shares = []
    for weight in (0.0, 0.2, 1.0, 50.0):
        picks = choose(curves, 1.2, weight=weight)
        assert 1.2 * 0.99 <= sum(layer.time[pick] for layer, pick in zip(curves, picks, strict=True)) <= 1.2
        shares.append(shares_of(curves, picks)[1])
    assert shares == sorted(shares) and shares[-1] > shares[0] + 0.2


def test_power_terms_by_hand():
    layer = curve([0, 1], shares=[0, 0.5], energy=[8, 3], blocks=6, features=40)
    assert power_term(layer, "corrected").tolist() == [8, 3]
    assert power_term(layer, "released").tolist() == [0, 0.5 * 6 * 2]
    assert power_term(layer, "none").tolist() == [0, 0]
    assert power_scale([layer], "corrected") == pytest.approx((1 / 0.5) / (5 / 0.5))
    assert power_scale([layer], "none") == 0.0


def test_an_impossible_budget_says_what_is_possible():
    with pytest.raises(
        BudgetError, match="the budget is a cost of 1, the sparsest layers allowed cost 2; ask for less"
    ):
        cheapest_choices([np.zeros(1)] * 2, [np.ones(1)] * 2, 1.0)


def test_wrong_power_terms_are_refused():
    with pytest.raises(ConfigError, match="power_term: got 'watts'; allowed: one of corrected, released, none"):
        choose([curve(SHARES)], 1.0, term="watts", weight=1.0)
    for weight in (-1.0, float("nan")):
        with pytest.raises(ConfigError, match="power_weight: got .*; allowed: a number at least 0"):
            choose([curve(SHARES)], 1.0, weight=weight)
