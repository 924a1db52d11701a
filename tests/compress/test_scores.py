"""Scores: accuracy, R2 as scikit-learn has it, mean squared error; and what a record may say of them."""

import numpy as np
import pytest
from sklearn.metrics import r2_score

from compress.errors import ConfigError, DataError
from compress.scores import Scoring, r2, scoring_of

RNG = np.random.default_rng(0)
OUTPUTS, WANTED = RNG.normal(size=(50, 3)) * [1, 10, 100], RNG.normal(size=(50, 3)) * [1, 10, 100]


def test_r2_is_that_of_scikit_learn():
    assert r2(OUTPUTS, WANTED) == pytest.approx(r2_score(WANTED, OUTPUTS))
    pooled = r2_score(WANTED, OUTPUTS, multioutput="variance_weighted")
    assert r2(OUTPUTS, WANTED, pooled=True) == pytest.approx(pooled)


def test_r2_of_what_does_not_vary():
    constant = np.ones((4, 1))
    assert r2(constant, constant) == 1.0
    assert r2(constant + [[1], [0], [0], [0]], constant) == 0.0


def test_scores_of_every_task():
    scores = np.array([[2.0, 1.0], [0.0, 3.0], [5.0, 1.0]])
    assert Scoring("classes").measured(scores, np.array([0, 1, 1])) == pytest.approx(2 / 3)
    assert Scoring("binary").measured(np.array([[-1.0], [2.0]]), np.array([0, 1])) == 1.0
    assert Scoring("binary", threshold=0.5).measured(np.array([[0.2], [0.4]]), np.array([0, 1])) == 0.5
    assert Scoring("regression", "mse").measured(scores, scores + 2) == 4.0
    assert Scoring("regression", "r2").measured(OUTPUTS, WANTED) == r2(OUTPUTS, WANTED)
    assert Scoring("regression", "mse", pooled=True).share(OUTPUTS, WANTED) == r2(OUTPUTS, WANTED, pooled=True)
    with pytest.raises(DataError, match=r"labels of shape \(3,\) do not fit outputs of shape \(3, 2\)"):
        Scoring("regression", "r2").measured(scores, np.zeros(3))


def test_agreement_is_equal_classes_or_r2():
    assert Scoring("classes").agreement(OUTPUTS, OUTPUTS + 5) == 1.0
    assert Scoring("binary").agreement(np.array([[-1.0], [2.0]]), np.array([[1.0], [2.0]])) == 0.5
    assert Scoring("none", "r2").agreement(OUTPUTS, WANTED) == r2(OUTPUTS, WANTED)


@pytest.mark.parametrize(
    "scoring",
    [
        Scoring("classes"),
        Scoring("binary", threshold=0.5),
        Scoring("regression", "mse", pooled=True),
        Scoring("none", "r2"),
    ],
)
def test_a_scoring_comes_back_from_a_record(scoring):
    assert scoring_of(scoring.as_json()) == scoring


def test_an_old_record_is_one_of_classes_and_a_damaged_one_is_refused():
    assert scoring_of({}) == Scoring("classes")
    for record, message in (
        ({"task": "guess"}, "task: got 'guess'"),
        ({"score": "luck"}, "score: got 'luck'; allowed: one of accuracy, r2, mse"),
        ({"threshold": "0"}, "threshold: got '0'; allowed: a finite number"),
    ):
        with pytest.raises(ConfigError, match=message):
            scoring_of(record)


def test_labels_are_numbered_by_the_names_of_classes_or_checked():
    scoring = Scoring("classes")
    np.testing.assert_array_equal(scoring.numbered(np.array(["b", "a"]), 2, ("a", "b")), [1, 0])
    labels = np.array([0, 2])
    assert scoring.numbered(labels, 3) is labels
    with pytest.raises(DataError, match="labels hold 'c', which is no name of a class; the names are a, b"):
        scoring.numbered(np.array(["c"]), 2, ("a", "b"))
    with pytest.raises(DataError, match="labels go from 1 to 3, and the network has the classes 0 to 2; number them"):
        scoring.numbered(np.array([1, 3]), 3)
    with pytest.raises(DataError, match="the network has the classes 0 to 1"):
        Scoring("binary").numbered(np.array([-1, 1]), 1)
