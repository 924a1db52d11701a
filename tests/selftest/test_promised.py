"""The checks of encrypted answers pass on what a plan promises, and fail on broken runs."""

import numpy as np
import pytest

from tests.promised import check_agreement, check_answers, check_round_trip, may_change, settled
from tests.secure.plans import small_bundle

BUNDLE = small_bundle()
BOUND = BUNDLE.client.predicted_logit_error


@pytest.fixture
def clear():
    return np.random.default_rng(0).normal(size=(20, 10))


def result(answers, clear):
    """What a round trip would report."""
    same = answers.argmax(axis=1) == clear.argmax(axis=1)
    return {
        "images": len(clear),
        "classes": answers.argmax(axis=1).tolist(),
        "agreement": float(same.mean()),
        "max_logit_error": float(np.abs(answers - clear).max()),
        "predicted_logit_error": BOUND,
        "accuracy_encrypted": float(same.mean()),
        "accuracy_compressed": 1.0,
    }


def test_a_class_is_settled_where_it_leads_by_more_than_twice_the_bound():
    rows = np.array([[0.0, 0.21, 0.0], [0.3, 0.11, 0.0], [0.1, 0.1, 0.0]])
    assert settled(rows, 0.1).tolist() == [True, False, False]
    assert settled(rows, [0.2, 0.05, 0.0]).tolist() == [False, True, False]
    assert may_change(rows, 0.1) == 2 and may_change(np.zeros((10_000, 3)), 0.1, 0.006) < 200


@pytest.mark.parametrize("seed", range(3))
def test_answers_within_the_bound_pass(clear, seed):
    noise = np.random.default_rng(seed).uniform(-BOUND, BOUND, clear.shape)
    check_answers(BUNDLE, clear + noise, clear)
    check_round_trip(BUNDLE, result(clear + noise, clear), clear)


def test_answers_that_were_not_encrypted_or_are_wrong_fail(clear):
    for broken in (
        clear,
        np.zeros_like(clear),
        -clear,
        np.roll(clear, 1, axis=0),
        clear + 1.01 * BOUND,
        clear * np.nan,
    ):
        with pytest.raises(AssertionError, match="."):
            check_answers(BUNDLE, broken, clear)


def test_a_round_trip_that_is_wrong_in_one_number_fails(clear):
    good = result(clear + BOUND / 2, clear)
    check_round_trip(BUNDLE, good, clear)
    other = [(number + 1) % 10 for number in good["classes"]]
    for field, value in {
        "classes": other, "agreement": 0.5, "max_logit_error": 0.0, "images": 19, "accuracy_encrypted": 0.9,
        "predicted_logit_error": 2 * BOUND,
    }.items():  # fmt: skip
        with pytest.raises(AssertionError, match="."):
            check_round_trip(BUNDLE, {**good, field: value}, clear)


def test_a_bound_that_settles_nothing_shows_nothing(clear):
    with pytest.raises(AssertionError, match="too many to show anything"):
        check_agreement(1.0, clear, 100.0)
    check_agreement(1.0, clear, 100.0, 0.006)  # the promised share says more than the bound
    with pytest.raises(AssertionError, match="15 of 20 classes changed, at most"):
        check_agreement(0.25, clear, 100.0, 0.006)
