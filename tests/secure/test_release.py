"""What leaves the client: scores with noise for as many answers as are shown, or the class alone."""

from math import e, log2, sqrt

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from compress.errors import ConfigError
from secure.parties.flooding import (
    changed_classes,
    class_recovery_bits,
    noise_ratio,
    recovery_bits,
    statistical_distance,
)
from secure.parties.release import DEFAULT_ANSWERS, STEP_SHARE, release, release_class, release_cost

# -- the maths


@pytest.mark.parametrize(("outputs", "answers"), [(1, 1), (10, 1), (10, 10), (3, 10**6)])
def test_the_bits_that_are_left_are_those_of_the_best_order_of_the_divergence(outputs, answers):
    ratio = noise_ratio(outputs, answers, lost_bits=10)
    squares = outputs * answers / ratio**2  # q d B^2 / rho^2

    def bits(order):  # -log2 of (2^-128 exp(order squares / 2))^((order - 1) / order)
        return -(order - 1) / order * (128 - order * squares / 2 * log2(e))

    best = minimize_scalar(bits, bounds=(1.001, 1000), method="bounded")
    assert -best.fun == pytest.approx(118, abs=1e-4)
    assert recovery_bits(ratio, outputs, answers) == pytest.approx(118, abs=1e-9)


def test_the_noise_of_one_answer_and_of_a_few():
    assert noise_ratio(10, 1, lost_bits=10) == pytest.approx(5.956, abs=1e-3)
    assert noise_ratio(10, 10, lost_bits=10) == pytest.approx(sqrt(10) * noise_ratio(10, 1, lost_bits=10))
    assert recovery_bits(1e-3, 10, 10) == 0.0  # noise far below the error hides nothing


@pytest.mark.parametrize("bits", [1, 8, 30])
def test_the_distance_is_within_pinskers_bound_and_holds_for_the_worst_error(bits):
    ratio = noise_ratio(10, 4, lost_bits=10, distance_bits=bits)
    assert statistical_distance(ratio, 10, 4) <= 2.0**-bits
    # two Gaussians 40 errors of size B apart, along one line: their distance is 2 Phi(d / 2) - 1, d = sqrt(40) / ratio
    from scipy.special import ndtr

    assert 2 * ndtr(sqrt(40) / ratio / 2) - 1 <= statistical_distance(ratio, 10, 4)


def test_shown_classes_cost_their_bits():
    assert class_recovery_bits(10, 3) == pytest.approx(128 - 3 * log2(10)) == pytest.approx(118, abs=0.1)
    assert class_recovery_bits(2, 200) == 0.0
    assert class_recovery_bits(1, 1) == 127.0  # one output still has a sign


@pytest.mark.parametrize("outputs", [2, 3, 10])
def test_changed_classes_are_those_that_a_simulation_finds(outputs):
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(40, outputs))
    noisy = scores[:, None] + 0.7 * rng.normal(size=(40, 20_000, outputs))
    simulated = (noisy.argmax(axis=2) != scores.argmax(axis=1)[:, None]).mean()
    assert changed_classes(scores, 0.7) == pytest.approx(simulated, abs=0.004)


def test_changed_classes_between_no_noise_and_all_noise():
    scores = np.array([[0.0, 1.0, 0.0, 0.0]])
    assert changed_classes(scores, 1e-3) == pytest.approx(0, abs=1e-12)
    assert changed_classes(scores, 1e6) == pytest.approx(3 / 4, abs=1e-3)
    assert changed_classes(np.array([[1.0], [-1.0]]), 1.0) == pytest.approx(0.158655, abs=1e-5)


# -- what is released


def test_released_values_lie_on_the_step_and_have_the_noise_that_was_announced():
    values = np.linspace(-3, 3, 4000).reshape(40, 100)
    cost = release_cost(0.001, values.size, answers=1)
    found = release(values, 0.001, answers=1)
    assert found.shape == values.shape
    np.testing.assert_allclose(found / cost.step, np.round(found / cost.step), atol=1e-6)
    assert np.std(found - values) == pytest.approx(cost.noise_std * sqrt(1 + STEP_SHARE**2 / 12), rel=0.1)


def test_the_default_is_a_few_answers_of_which_the_key_stays_118_bits_hard():
    cost = release_cost(1.24, 10)
    assert DEFAULT_ANSWERS == 10
    assert cost == release_cost(1.24, 10, answers=10)
    assert cost.noise_std == pytest.approx(1.24 * 18.835, rel=1e-3)
    assert cost.recovery_bits == pytest.approx(118)
    assert cost.distance == pytest.approx(0.265, abs=1e-3)  # a test may notice the encryption's noise
    assert cost.changed_classes is None
    assert release_cost(1.24, 10, distance_bits=8).distance == pytest.approx(2.0**-8)


def test_the_cost_says_which_share_of_classes_changes():
    scores = 5.6 * np.eye(10)
    useless, fine = (release_cost(error, 10, scores=scores).changed_classes for error in (1.24, 0.01))
    assert useless > 0.8
    assert fine < 1e-6
    released = [release(row, 0.1).argmax() for row in scores for _ in range(200)]
    expected = release_cost(0.1, 10, scores=scores).changed_classes
    # one in ten changes: of 2,000, the share scatters by 0.7 %, and six times that is allowed
    assert np.mean(released != np.repeat(np.arange(10), 200)) == pytest.approx(expected, abs=0.04)


def test_releases_of_the_same_values_differ():
    values = np.zeros(64)
    assert not np.array_equal(release(values, 0.01), release(values, 0.01))


def test_the_class_alone():
    assert release_class([0.1, 3.0, -2.0]) == 1
    assert (release_class([0.2]), release_class(np.array([[-0.2]]))) == (1, 0)
    assert (release_class([0.2], threshold=0.5), release_class([0.6], threshold=0.5)) == (0, 1)
    for wrong in ([], [np.nan, 1.0]):
        with pytest.raises(ConfigError, match="values: got .*; allowed: the scores of one answer, finite"):
            release_class(wrong)


@pytest.mark.parametrize("error", [0.0, -1.0, float("nan"), float("inf"), "small", None, True])
def test_an_error_that_is_no_positive_number_is_refused(error):
    with pytest.raises(ConfigError) as refused:
        release(np.zeros(3), error)
    allowed = "a positive number (ClientSpec.predicted_logit_error)"
    assert str(refused.value) == f"predicted_error: got {error!r}; allowed: {allowed}"


@pytest.mark.parametrize("answers", [0, -1, 1.5, float("nan"), "8", None, 2**41])
def test_counts_of_answers_out_of_range_are_refused(answers):
    with pytest.raises(ConfigError) as refused:
        release(np.zeros(3), 0.1, answers=answers)
    assert str(refused.value) == f"answers: got {answers!r}; allowed: a whole number, 1 or more, at most {2**40}"


@pytest.mark.parametrize("bits", [-1, 65, float("nan"), float("inf"), "8"])
def test_bits_out_of_range_are_refused(bits):
    with pytest.raises(ConfigError) as refused:
        release(np.zeros(3), 0.1, distance_bits=bits)
    assert str(refused.value) == f"distance_bits: got {bits!r}; allowed: None, or 0 to 64"


@pytest.mark.parametrize("scores", [[], [1.0, 2.0], [[1.0, np.inf, 2.0]]])
def test_scores_of_another_shape_are_refused(scores):
    with pytest.raises(ConfigError, match=r"scores: got .*; allowed: finite numbers \(rows, 3\)"):
        release_cost(0.1, 3, scores=scores)


@pytest.mark.parametrize("values", [[1.0, 2.0], (1, 2), np.array([1, 2], dtype=np.int32)])
def test_whatever_numpy_takes_as_an_array_can_be_released(values):
    found = release(values, 1e-9)
    assert (found.dtype, found.shape) == (np.float64, (2,))
    np.testing.assert_allclose(found, [1.0, 2.0], atol=1e-5)


@pytest.mark.parametrize(("values", "name"), [("scores", "str"), ([[1.0], [2.0, 3.0]], "list"), (None, "NoneType")])
def test_values_that_are_no_numbers_are_refused(values, name):
    with pytest.raises(ConfigError) as refused:
        release(values, 1.0)
    assert str(refused.value) == f"values: got '{name}'; allowed: an array of numbers"


def test_one_answer_less_noise_than_many():
    stds = [release_cost(1.0, 10, answers=answers).noise_std for answers in (1, 100, 10_000)]
    assert stds[1] / stds[0] == pytest.approx(10)
    assert stds[2] / stds[1] == pytest.approx(10)


def test_an_answer_beyond_what_the_predicted_error_holds_for_is_refused():
    assert np.abs(release([1.0, -3.0], 0.01, grows_beyond=3.0) - [1.0, -3.0]).max() < 5
    with pytest.raises(
        ConfigError, match=r"values: got '3.5'; allowed: at most 3: errors of larger answers may exceed"
    ):
        release([1.0, -3.5], 0.01, grows_beyond=3.0)
