"""Inputs that are drawn like few rows, the hardest of them, and the tail that is read from these."""

import numpy as np
import pytest

from compress.robust import InputRange
from secure.bounds.severity import hardest_inputs, severity
from secure.bounds.synthetic import synthetic_rows
from secure.bounds.tail import drawn_tail
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
    found = hardest_inputs(stages, seen, InputRange(np.full(10, -3.5), np.full(10, 3.5)))
    assert np.abs(found.inputs).max() <= 3.5 and found.rows == 200
    assert np.median(severity(stages, found.inputs)) > np.quantile(severity(stages, rows("plain", 2000, 10, 7)), 0.99)
    assert hardest_inputs(stages, seen[:10], InputRange(np.full(10, -3.5), np.full(10, 3.5))) is None


def test_the_bound_of_drawn_values_is_their_quantile():
    values = np.sort(np.random.default_rng(0).pareto(3.0, size=40_000) + 1)
    assert drawn_tail(values[-96:], 40_000) == pytest.approx(1.2 * (1e-4 / 2) ** (-1 / 3), rel=0.4)
    assert drawn_tail(np.append(np.zeros(40), 1.0), 40_000) == 1.0
