"""The search over rates. Pure: a maker trains the networks that it asks for. Nothing in it is random.

A network of a higher rate is made from the one before: it is pruned further and trained for a few epochs. That costs
much less than another whole training, but a network cannot be pruned less. Training moves the rate, because it empties
codes. The first network therefore aims below a wanted rate, and the others come closer.

    With a target rate     the first network aims at the rate divided by HEADROOM; further ones at the rate, corrected
                           by how far the last one missed, until one has it. A first network that ends above CLOSE times
                           the rate is made again with a lower aim. With a loss as well, the network is trained on at
                           its rate as long as it loses too much and the last training helped.
    With a loss alone      rates grow by GROWTH until a network loses too much; then the ratio between the largest rate
                           that keeps the loss and the smallest that does not is halved, until it is below FINE.
"""

from __future__ import annotations

from math import sqrt
from typing import Protocol

from compress.errors import BudgetError
from compress.rate.target import RateFound, RateTarget, RateTrial, Reference

HEADROOM = 1.3
CLOSE = 1.1
#: Aimed above the wanted rate, so that a network that drifts a little still has it.
MARGIN = 1.01
#: Least factor on the aim after a network that missed the rate.
MISSED = 1.03
FIRST_RATE, GROWTH, FINE = 16.0, 1.6, 1.1
#: A lower rate that is no better than this is not tried.
LEAST_RATE = 2.0


class RateMaker(Protocol):
    """Trains networks.

    BudgetError is raised for a rate that the layers' caps do not allow.
    """

    def reference(self) -> Reference: ...

    def first(self, rate: float) -> RateTrial:
        """A network that is pruned to this rate from the uncompressed one, in all shots of the recipe."""

    def further(self, trial: RateTrial, rate: float) -> RateTrial:
        """A network of an earlier trial, pruned to this rate (or not at all, if it has it) and trained on."""


def search_rates(maker: RateMaker, target: RateTarget, *, max_trials: int) -> RateFound:
    """The networks that a search for `target` trains; its `best` is None where none meets the target.

    Raises: what the maker raises before the first network is trained.
    """
    run = _Run(maker, target, max_trials, maker.reference())
    if target.rate is not None:
        run.reach(target.rate)
    else:
        run.grow()
    return run.found


class _Run:
    """A search in progress."""

    def __init__(self, maker: RateMaker, target: RateTarget, max_trials: int, reference: Reference) -> None:
        self.maker, self.max_trials = maker, max_trials
        self.found = RateFound(target=target, reference=reference, trials=())

    def reach(self, rate: float) -> None:
        aim = max(1.0, rate / HEADROOM)
        trial = self._keep(self.maker.first(aim))
        if trial.rate > CLOSE * rate and self._goes_on() and aim > 1:
            lower = self._keep(self.maker.first(max(1.0, aim * MARGIN * rate / trial.rate)))
            trial = trial if self.found.keeps(trial) and trial.share >= lower.share else lower
        aim = MARGIN * rate
        while trial.rate < rate and self._goes_on():
            try:
                trial = self._keep(self.maker.further(trial, aim))
            except BudgetError:  # sparser than the caps allow
                return
            aim *= max(MISSED, MARGIN * rate / trial.rate)
        while self.found.best is None and trial.rate >= rate and self._goes_on():
            longer = self._keep(self.maker.further(trial, min(trial.rate, MARGIN * rate)))
            if longer.share <= trial.share or longer.rate < rate:
                break
            trial = longer

    def grow(self) -> None:
        good = self._first_that_keeps()
        if good is None:
            return
        low, high = good.rate, None
        while self._goes_on() and (high is None or high / low > FINE):
            aim = low * GROWTH if high is None else sqrt(low * high)
            try:
                trial = self._keep(self.maker.further(good, aim))
            except BudgetError:  # sparser than the caps allow
                trial = None
            if trial is not None and self.found.keeps(trial):
                good, low = trial, max(low * 1.001, trial.rate)
            else:
                high = aim if trial is None else max(low * 1.001, min(trial.rate, aim))

    def _first_that_keeps(self) -> RateTrial | None:
        aim = FIRST_RATE
        while aim >= LEAST_RATE and self._goes_on():
            try:
                trial = self._keep(self.maker.first(aim))
            except BudgetError:
                if aim / 4 < LEAST_RATE:
                    raise
            else:
                if self.found.keeps(trial):
                    return trial
            aim /= 2
        return None

    def _keep(self, trial: RateTrial) -> RateTrial:
        self.found = RateFound(
            target=self.found.target, reference=self.found.reference, trials=(*self.found.trials, trial)
        )
        return trial

    def _goes_on(self) -> bool:
        return len(self.found.trials) < self.max_trials
