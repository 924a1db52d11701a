"""How far an answer may be off follows the task: classes may change, numbers are measured by how far they vary."""

from math import inf

import numpy as np
import pytest

from compress.scores import Scoring
from secure.compiling.allowed import ACCEPTABLE_RELATIVE_ERROR, LEAST_RELATIVE_SIZE, allowed_error, names_a_class
from secure.limits import Limits

ROWS = np.random.default_rng(0).normal(size=(2, 4000))


def allowed(outputs, scoring, **limits):
    return allowed_error(outputs, Limits(**limits), scoring) / ACCEPTABLE_RELATIVE_ERROR


def test_classes_may_change_for_a_share_of_inputs():
    assert names_a_class(Scoring("classes"), 2) and not names_a_class(Scoring("classes"), 1)
    assert allowed_error(ROWS, Limits(), Scoring("classes")) == inf
    assert allowed_error(ROWS, Limits(max_error=0.25), Scoring("classes")) == 0.25


def test_numbers_are_measured_from_their_mean_and_the_least_output_decides():
    outputs = 150 + ROWS * [[20.0], [3.0]]
    for task in ("regression", "none"):
        assert allowed(outputs, Scoring(task, "r2")) == pytest.approx(3, rel=0.05)
    assert allowed(outputs, Scoring("none", "r2", pooled=True)) == pytest.approx(np.sqrt(204.5), rel=0.05)
    tiny = ROWS * [[20.0], [1e-9]]
    assert allowed(tiny, Scoring("regression", "r2")) == pytest.approx(LEAST_RELATIVE_SIZE * 20 / np.sqrt(2), rel=0.05)


def test_a_logit_is_measured_from_its_threshold():
    assert allowed(0.5 + ROWS[:1], Scoring("binary", threshold=0.5)) == pytest.approx(1, rel=0.05)
    assert allowed(ROWS[:1] + 3, Scoring("binary")) == pytest.approx(np.sqrt(10), rel=0.05)


def test_outputs_that_never_vary_set_no_limit():
    assert allowed_error(np.ones((2, 10)), Limits(), Scoring("regression", "r2")) == inf
