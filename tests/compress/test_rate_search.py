"""The search over rates reaches what a network can give, keeps the loss, and stops at its bound on trainings."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.errors import BudgetError, ConfigError
from compress.rate.recipe import RateRecipe
from compress.rate.search import CLOSE, FINE, search_rates
from compress.rate.target import RateFound, RateTarget, RateTrial, Reference


@dataclass
class Curve:
    """A network whose loss grows with the rate, and whose rates drift in training.

    first_drift, drift: the factor from the aim to the rate of a first and of a further network. points_at_100: what it
    loses at rate 100. helps: points that more training at the same rate brings.
    """

    first_drift: float = 1.0
    drift: float = 1.0
    points_at_100: float = 1.0
    helps: float = 0.0
    highest: float = 1e9
    asked: list[str] = field(default_factory=list)

    def reference(self):
        return Reference(given=0.99)

    def first(self, rate):
        self.asked.append("first")
        return self._trial(rate, self.first_drift)

    def further(self, trial, rate):
        self.asked.append("further")
        longer = rate <= trial.rate * 1.02
        made = self._trial(rate, self.drift)
        return RateTrial(aim=rate, rate=max(made.rate, trial.rate), share=made.share + self.helps / 100 * longer)

    def _trial(self, aim, drift):
        if aim > self.highest:
            raise BudgetError("sparser than the caps allow")
        rate = aim * drift
        return RateTrial(aim=aim, rate=rate, share=0.99 - self.points_at_100 / 100 * (rate / 100) ** 2)


@given(st.floats(0.9, 1.6), st.floats(0.93, 1.05), st.floats(3, 300))
def test_a_rate_is_reached_and_not_by_far_exceeded(first_drift, drift, rate):
    found = search_rates(Curve(first_drift, drift), RateTarget(rate=rate), max_trials=8)
    assert found.best is not None and found.best.rate >= rate
    assert found.best.rate <= rate * max(CLOSE, 1.01 * 1.05, first_drift / 1.3) * 1.001
    assert len(found.trials) <= 5


@given(st.floats(0.8, 1.4), st.floats(0.95, 1.05), st.floats(0.1, 4.0))
def test_the_highest_rate_within_a_loss_is_found(first_drift, drift, points):
    curve = Curve(first_drift, drift, points_at_100=1.0)
    found = search_rates(curve, RateTarget(max_loss_points=points), max_trials=14)
    possible = 100 * points**0.5
    assert found.best is not None and found.loss_points(found.best) <= points + 1e-9
    assert possible / (FINE * 1.12) <= found.best.rate <= possible * 1.0001


@given(st.floats(0.05, 3.0), st.floats(0.05, 3.0))
def test_more_loss_never_gives_a_lower_rate(first, second):
    small, large = sorted((first, second))
    rates = [
        0.0 if best is None else best.rate
        for best in (search_rates(Curve(), RateTarget(max_loss_points=p), max_trials=14).best for p in (small, large))
    ]
    assert rates[0] <= rates[1] * FINE


def test_a_rate_whose_loss_is_too_high_is_not_met_and_says_what_was_reached():
    curve = Curve(first_drift=1.2)
    found = search_rates(curve, RateTarget(rate=200, max_loss_points=1.0), max_trials=8)
    assert found.best is None
    assert found.verdict.startswith("200 times smaller with at most 1 points lost asked; on held-out training rows")
    assert "202.0 times at +4.08 points" in found.verdict
    assert len(found.trials) == 3  # a training that does not help is not repeated


def test_training_on_at_the_rate_goes_on_while_it_helps():
    curve = Curve(first_drift=1.2, points_at_100=1.0, helps=0.4)
    found = search_rates(curve, RateTarget(rate=100, max_loss_points=0.7), max_trials=8)
    assert found.best is not None and found.best.rate >= 100
    assert curve.asked == ["first", "further", "further"]


def test_a_first_network_far_above_the_rate_is_made_again_lower():
    curve = Curve(first_drift=2.0)
    found = search_rates(curve, RateTarget(rate=50), max_trials=8)
    assert curve.asked[:2] == ["first", "first"]
    assert 50 <= found.best.rate <= 50 * CLOSE


def test_the_bound_on_trainings_holds():
    curve = Curve(drift=0.5)
    found = search_rates(curve, RateTarget(rate=1000), max_trials=3)
    assert len(curve.asked) == len(found.trials) == 3
    assert found.best is None


def test_caps_end_the_growth_at_the_last_network_that_was_made():
    found = search_rates(Curve(points_at_100=0.0, highest=70.0), RateTarget(max_loss_points=1), max_trials=20)
    assert 70 / FINE <= found.best.rate <= 70


def test_caps_that_a_rate_exceeds_leave_the_target_unmet():
    found = search_rates(Curve(highest=110.0), RateTarget(rate=120), max_trials=8)
    assert found.best is None and len(found.trials) == 1


def test_the_first_rate_is_lowered_until_the_loss_is_kept():
    found = search_rates(Curve(points_at_100=1e4), RateTarget(max_loss_points=12.0), max_trials=12)
    assert found.loss_points(found.best) <= 12.0
    nothing = search_rates(Curve(points_at_100=1e7), RateTarget(max_loss_points=0.1), max_trials=12)
    assert nothing.best is None and nothing.verdict.startswith("at most 0.1 points lost asked")


def test_losses_count_from_the_network_that_has_not_learnt_the_rows():
    trials = (RateTrial(aim=9, rate=10, share=0.98), RateTrial(aim=19, rate=20, share=0.96))

    def found(**shares):
        return RateFound(target=RateTarget(rate=5), reference=Reference(**shares), trials=trials)

    assert found(given=0.999).loss_points(trials[1]) == pytest.approx(3.9)
    assert found(given=0.999, unseen=0.985).loss_points(trials[1]) == pytest.approx(2.5)
    assert found(given=0.999, unseen=0.97).loss_points(trials[1]) == pytest.approx(2.0)  # a compressed one did better
    assert found(given=0.965, unseen=0.985).loss_points(trials[1]) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RateTarget(), "target: got None; allowed: a rate, a loss in points, or both"),
        (lambda: RateTarget(rate=1), "target_rate: got 1; allowed: a number above 1"),
        (lambda: RateTarget(max_loss_points=-1), "max_loss: got -1; allowed: points, 0 or more"),
        (lambda: RateRecipe(bits=9), "bits: got 9; allowed: a number from 2 to 8"),
        (lambda: RateRecipe(shots=0), "shots: got 0; allowed: a whole number, 1 or more"),
        (lambda: RateRecipe(epochs=-1), "epochs: got -1; allowed: a whole number, 0 or more, or None"),
        (lambda: RateRecipe(learning_rate=0.0), "learning_rate: got 0.0; allowed: a finite number above 0"),
        (lambda: RateRecipe(shrinkage=-0.1), "shrinkage: got -0.1; allowed: a number at least 0"),
        (lambda: RateRecipe(bias_bits=40), "bias_bits: got 40; allowed: a whole number from 2 to 16"),
        (lambda: RateRecipe(cap=1.0), "cap: got 1.0; allowed: a share between 0 and 1"),
        (lambda: RateRecipe(distill=1), "distill: got 1; allowed: True or False"),
    ],
)
def test_targets_and_recipes_out_of_range_are_refused(make, message):
    with pytest.raises(ConfigError, match=message.replace("(", r"\(").replace(")", r"\)")):
        make()


def test_defaults_follow_the_rate_and_the_rows_and_what_is_given_stays():
    many, few = RateRecipe().settled(150, 55_000), RateRecipe().settled(20, 1000)
    assert (many.bits, many.epochs, many.epochs_between, many.bias_bits) == (3.5, 15, 3, 7)
    assert (few.bits, few.epochs, few.epochs_between) == (5, 250, 50)
    own = RateRecipe(bits=3, epochs=4, epochs_further=0, shrinkage=0.0).settled(150, 1000)
    assert (own.bits, own.epochs, own.epochs_between, own.epochs_further, own.shrinkage) == (3, 4, 1, 0, 0.0)
