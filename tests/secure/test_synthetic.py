"""Inputs that are drawn like few rows, the hardest of them, and the tail that is read from these."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.special import ndtri
from scipy.stats import rankdata

from compress.robust import InputRange
from secure.bounds.severity import KEPT, KEPT_ROWS, hardest_inputs, severity
from secure.bounds.synthetic import synthetic_rows
from secure.bounds.tail import drawn_tail, mixed_tail
from secure.stages.stages import network_stages
from tests.secure.random_networks import network, rows


def lengths(inputs):
    return np.sort(np.linalg.norm(inputs, axis=1))


@pytest.mark.parametrize(("kind", "most"), [("plain", 1.15), ("scaled", 1.35), ("correlated", 1.35)])
def test_the_longest_of_many_drawn_rows_are_as_long_as_those_of_the_data(kind, most):
    drawn = synthetic_rows(rows(kind, 300, 16, 5), 20_000, np.random.default_rng(0))
    fresh = rows(kind, 20_000, 16, 9)
    for share in (0.5, 0.99, 0.999):
        ratio = np.quantile(lengths(drawn), share) / np.quantile(lengths(fresh), share)
        assert 1 / most < ratio < most, share


def together(inputs):
    """How the squares of a row's normal scores vary together, on average over pairs of features."""
    squares = ndtri((rankdata(inputs, axis=0) - 0.5) / len(inputs)) ** 2
    features = inputs.shape[1]
    return (squares.sum(axis=1).var() - squares.var(axis=0).sum()) / (features * (features - 1))


@pytest.mark.parametrize("features", [3, 20])
def test_features_that_are_large_together_stay_so(features):
    rng = np.random.default_rng(4)
    factors = {
        "t": 1 / np.sqrt(rng.chisquare(8, size=(6000, 1)) / 8),
        "log-normal": np.exp(0.3 * rng.normal(size=(6000, 1))),
    }
    for name, factor in factors.items():
        seen = rng.normal(size=(6000, features)) * factor
        drawn = synthetic_rows(seen, 20_000, np.random.default_rng(1))
        assert together(seen) > 0.15, name
        assert together(drawn) == pytest.approx(together(seen), rel=0.15), name
    alone = rng.normal(size=(6000, features))
    assert abs(together(synthetic_rows(alone, 20_000, np.random.default_rng(1)))) < 0.05


def test_bounded_features_stay_bounded_and_constant_ones_constant():
    seen = np.random.default_rng(0).uniform(-1, 1, size=(500, 6))
    seen[:, 2], seen[:, 4] = 7.0, np.sign(seen[:, 4])
    drawn = synthetic_rows(seen, 20_000, np.random.default_rng(1))
    assert np.abs(np.delete(drawn, 2, axis=1)).max() < 1.2
    assert (drawn[:, 2] == 7.0).all()
    assert np.mean(np.isin(drawn[:, 4], (-1.0, 1.0))) > 0.99


def test_correlations_are_those_of_the_rows():
    seen = rows("correlated", 400, 8, 3)
    drawn = synthetic_rows(seen, 20_000, np.random.default_rng(1))
    assert np.abs(np.corrcoef(drawn.T) - np.corrcoef(seen.T)).max() < 0.1


def test_the_hardest_inputs_are_the_most_severe_of_those_that_a_client_accepts():
    seen = rows("plain", 200, 10, 1)
    stages = network_stages(network((10, 8, 8, 3), seen, 2))
    accepted = InputRange(np.full(10, -3.5), np.full(10, 3.5))
    found = hardest_inputs(stages, seen, accepted, np.inf)
    assert np.abs(found.inputs).max() <= 3.5 and found.rows == 200
    every = severity(stages, rows("plain", 2000, 10, 7))
    own = severity(stages, found.inputs)
    assert np.median(own[-KEPT:]) > np.quantile(every, 0.99)
    assert found.shares.sum() == pytest.approx(1)
    order = np.argsort(own)  # what is kept stands for all that were drawn
    median = own[order][np.searchsorted(np.cumsum(found.shares[order]), 0.5)]
    assert median == pytest.approx(np.median(every), rel=0.15)
    assert len(found.known) == KEPT_ROWS
    assert np.median(severity(stages, found.known)) > np.quantile(severity(stages, seen), 0.9)
    assert hardest_inputs(stages, seen[:10], accepted, np.inf) is None


def test_what_is_hard_is_measured_by_the_size_of_the_answer_and_the_largest_values_are_kept():
    seen = rows("scaled", 200, 10, 1)
    made = network((10, 8, 8, 8, 3), seen, 2)
    stages = network_stages(made)
    accepted = InputRange(np.full(10, -8.0), np.full(10, 8.0))
    plain, grown = (hardest_inputs(stages, seen, accepted, beyond) for beyond in (np.inf, 1.0))
    sizes = [np.abs(made.run(one.inputs[-KEPT:])).max(axis=1) for one in (plain, grown)]
    assert np.median(sizes[0]) > 3 * np.median(sizes[1])
    fresh = np.abs(made.run(rows("scaled", 20_000, 10, 3))).max(axis=1)
    assert np.abs(made.run(grown.largest)).max() > np.quantile(fresh, 0.998)


def test_a_feature_with_a_heavy_tail_among_others_keeps_it():
    rng = np.random.default_rng(3)
    seen, fresh = rng.normal(size=(2000, 12)), rng.normal(size=(40_000, 12))
    seen[:, 5], fresh[:, 5] = np.exp(0.8 * seen[:, 5]), np.exp(0.8 * fresh[:, 5])
    drawn = synthetic_rows(seen, 40_000, np.random.default_rng(0))
    for feature in (4, 5):
        ratio = np.quantile(drawn[:, feature], 0.9999) / np.quantile(fresh[:, feature], 0.9999)
        assert 0.75 < ratio < 1.6, feature


def test_the_bound_of_drawn_values_is_their_quantile():
    values = np.sort(np.random.default_rng(0).pareto(3.0, size=40_000) + 1)
    assert drawn_tail(values[-96:], 40_000) == pytest.approx(1.2 * (1e-4 / 2) ** (-1 / 3), rel=0.4)
    assert drawn_tail(np.append(np.zeros(40), 1.0), 40_000) == 1.0


def test_values_that_stand_for_many_count_as_many():
    values = np.sort(np.random.default_rng(0).pareto(3.0, size=40_000) + 1)
    rest, middle = values[:-2000:400], values[-2000:-200:20]
    kept = np.concatenate([rest, middle, values[-200:]])
    shares = np.repeat([400.0, 20.0, 1.0], [len(rest), len(middle), 200]) / 40_000
    assert mixed_tail(kept, shares, 40_000) == pytest.approx(drawn_tail(values[-200:], 40_000), rel=1e-6)
    few = np.array([1.0, 2.0])
    assert mixed_tail(few, np.array([0.9, 0.1]), 10_000) == pytest.approx(1.2 * (0.1 / 5e-5) ** np.log(2))


def test_a_map_that_trimming_emptied_has_no_weights_that_could_err():
    inputs = rows("plain", 20, 6, 1)
    stages = network_stages(network((6, 5, 3), inputs, 2))
    nothing = csr_matrix((stages[-1].size, 6))
    empty = (*stages[:-1], replace(stages[-1], maps={**stages[-1].maps, 0: nothing}))
    assert np.isfinite(severity(empty, inputs)).all() and (severity(empty, inputs) > 0).all()
