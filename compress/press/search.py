"""The search for a compressed network that meets a target: accuracy, and predicted server time, keys and upload. Pure.

The cost of a setting is estimated before anything is trained, so that only settings expected to meet the target are
trained:

    1. The uncompressed network is converted and compiled. The search starts there.
    2. Activations become straight lines one by one; each time the line that leaves the highest accuracy after one epoch
       is added. Sets of lines whose estimate meets the target are trained, the most accurate after one epoch first.
    3. If none of them meets the target, each remaining set of lines (also the empty one) is combined with each family
       of blocks. Halving finds the smallest share whose estimate meets the target, and those settings are trained in
       the same order.
    4. A share that costs too much after training grows by one step. A network that is not accurate enough is trained
       once more, for longer and without a codebook.
    5. Without a target for the time, lines are added as long as the accuracy allows. Halving then finds the largest
       share of blocks that is accurate enough.

Every trained network is kept. Nothing in the search is random.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from time import monotonic
from typing import Protocol

from compress.checks import is_number, is_whole
from compress.conversion.options import EPOCHS
from compress.dataset import Progress
from compress.errors import ConfigError
from compress.press.setting import Setting
from compress.press.target import Estimate, Found, Target, Trial, described

#: The shares of the modelled cost that are tried.
SHARE_STEP, LARGEST_SHARE = 0.05, 0.9
SHARES = tuple(round(SHARE_STEP * count, 2) for count in range(1, round(LARGEST_SHARE / SHARE_STEP) + 1))
#: Factor on the epochs of a setting that was not accurate enough.
LONGER = 2


class Maker(Protocol):
    """Makes what a setting describes; None where a family cannot give up that share, or where no plan exists."""

    @property
    def activations(self) -> tuple[str, ...]: ...

    def estimate(self, setting: Setting) -> Estimate | None: ...

    def glimpse(self, setting: Setting) -> float:
        """Accuracy on held-out images after one epoch."""

    def train(self, setting: Setting) -> Trial | None: ...


def search(
    maker: Maker,
    target: Target,
    start: Setting,
    families: Sequence[str],
    *,
    max_trials: int = 8,
    minutes: float = 30.0,
    progress: Progress | None = None,
) -> Found:
    """Search from `start`, a setting without pruned blocks, over the families of blocks.

    max_trials: how many networks may be trained, the uncompressed one included. minutes: time limit of the search. No
    training starts that would end later if it takes as long as the longest so far. Only this limit makes the result
    depend on the machine.
    Raises: ConfigError; what the maker raises.
    """
    if not (is_whole(max_trials) and max_trials >= 1):
        raise ConfigError("max_trials", max_trials, "a whole number, 1 or more")
    if not (is_number(minutes) and minutes > 0):
        raise ConfigError("minutes", minutes, "a number above 0")
    run = _Search(maker, target, max_trials, monotonic() + 60 * minutes, progress or (lambda label, share: None))
    stopped = ""
    try:
        run.go(start, families)
    except _Stop as stop:
        stopped = str(stop)
    return Found(
        target=target,
        trials=tuple(run.trials),
        estimates=tuple(estimate for estimate in run.estimates.values() if estimate is not None),
        stopped=stopped,
    )


def more_training(setting: Setting) -> Setting:
    """The same blocks and lines, trained longer and without a codebook."""
    epochs = EPOCHS if setting.convert_epochs is None else setting.convert_epochs
    return replace(setting, bits=None, sparsity=0.0, convert_epochs=LONGER * epochs)


class _Stop(Exception):
    """A limit of the search is reached; the message says which one."""


class _Search:
    """A search in progress: what was trained and estimated so far."""

    def __init__(self, maker: Maker, target: Target, max_trials: int, deadline: float, report: Progress) -> None:
        self.maker, self.target, self.max_trials, self.deadline, self.report = (
            maker, target, max_trials, deadline, report,
        )  # fmt: skip
        self.trials: list[Trial] = []
        self.estimates: dict[Setting, Estimate | None] = {}
        self.longest_s = 0.0

    def go(self, start: Setting, families: Sequence[str]) -> None:
        first = self._train(start.uncompressed())
        if self.target.server_ms is None:
            if self._accurate(first):
                self._fastest(start, families)
            return
        if self._met(first):
            return
        roads = [replace(start, straight=lines) for lines in self._lines(start)]
        alone = [road for road in roads if road.straight and self._affordable(road)]
        if self._reach_one(alone):
            return
        rest = [(road, family) for road in roads if road not in alone for family in families]
        self._reach_one([found for pair in rest if (found := self._smallest_share(*pair)) is not None])

    def _reach_one(self, offers: Sequence[Setting]) -> bool:
        """Train settings expected to meet the target, the most accurate after one epoch first, until one does."""
        ranked = sorted(offers, key=lambda one: -self._glimpse(one)) if len(offers) > 1 else offers
        return any(self._reach(setting) for setting in ranked)

    def _train(self, setting: Setting) -> Trial | None:
        if len(self.trials) >= self.max_trials:
            raise _Stop(f"its bound of {self.max_trials} trainings")
        if self.trials and monotonic() + self.longest_s > self.deadline:
            raise _Stop("its bound on time")
        started = monotonic()
        self._say("train", setting)
        trial = self.maker.train(setting)
        self.longest_s = max(self.longest_s, monotonic() - started)
        if trial is not None:
            self.trials.append(trial)
        return trial

    def _estimate(self, setting: Setting) -> Estimate | None:
        if setting not in self.estimates:
            self._check_time()
            self._say("estimate", setting)
            self.estimates[setting] = self.maker.estimate(setting)
        return self.estimates[setting]

    def _glimpse(self, setting: Setting) -> float:
        self._check_time()
        self._say("one epoch of", setting)
        return self.maker.glimpse(setting)

    def _lines(self, start: Setting) -> Iterator[tuple[str, ...]]:
        """Growing sets of activations that become lines, the empty set first; at least one activation stays."""
        chosen: tuple[str, ...] = ()
        yield chosen
        while len(chosen) + 1 < len(self.maker.activations):
            sets = [(*chosen, name) for name in self.maker.activations if name not in chosen]
            chosen = max(sets, key=lambda names: self._glimpse(replace(start, straight=names))) if sets[1:] else sets[0]
            yield chosen

    def _smallest_share(self, setting: Setting, family: str) -> Setting | None:
        """The setting with the smallest share of a family's blocks pruned whose estimate is within the target.

        By halving, because estimates fall as shares grow.
        """
        most = self._estimate(replace(setting, block=family, share=SHARES[-1]))
        if most is not None and not self.target.affords(most.costs):
            return None
        low, high = 0, len(SHARES)
        while low < high:
            middle = (low + high) // 2
            tried = replace(setting, block=family, share=SHARES[middle])
            too_much = self._estimate(tried) is None  # the family cannot give up so much
            low, high = (low, middle) if too_much or self._affordable(tried) else (middle + 1, high)
        found = replace(setting, block=family, share=SHARES[low]) if low < len(SHARES) else None
        return found if found is not None and self._affordable(found) else None

    def _reach(self, setting: Setting) -> bool:
        """Train the setting, then larger shares, until the target is met or the family has no larger share."""
        trial = self._train(setting)
        while trial is not None and self._accurate(trial) and not self._met(trial):
            larger = [share for share in SHARES if share > setting.share]
            if setting.block is None or not larger:
                return False
            setting = replace(setting, share=larger[0])
            trial = self._train(setting)
        if trial is not None and not self._accurate(trial) and self.target.affords(trial.costs):
            trial = self._train(more_training(setting))
        return self._met(trial)

    def _fastest(self, start: Setting, families: Sequence[str]) -> None:
        best = start
        for lines in self._lines(start):
            if lines:
                setting = self._accurate_at(replace(start, straight=lines))
                if setting is None:
                    break
                best = setting
        offers = []
        for family in families:
            middle = replace(best, block=family, share=SHARES[len(SHARES) // 2])
            estimate = self._estimate(middle)
            if estimate is not None and estimate.costs is not None:
                offers.append((estimate.costs.server_ms / max(self._glimpse(middle), 1e-9), family))
        if not offers:
            return
        low, high = -1, len(SHARES)
        while high - low > 1:
            middle_share = (low + high) // 2
            tried = replace(best, block=min(offers)[1], share=SHARES[middle_share])
            low, high = (low, middle_share) if self._accurate_at(tried) is None else (middle_share, high)

    def _accurate_at(self, setting: Setting) -> Setting | None:
        """The setting if it is accurate enough, at once or with more training; otherwise None."""
        for tried in dict.fromkeys((setting, more_training(setting))):
            if self._accurate(self._train(tried)):
                return setting
        return None

    def _affordable(self, setting: Setting) -> bool:
        estimate = self._estimate(setting)
        return estimate is not None and self.target.affords(estimate.costs)

    def _met(self, trial: Trial | None) -> bool:
        return trial is not None and not self.target.missed(trial.costs, trial.accuracy)

    def _accurate(self, trial: Trial | None) -> bool:
        return trial is not None and trial.accuracy >= self.target.min_accuracy

    def _check_time(self) -> None:
        if monotonic() > self.deadline:
            raise _Stop("its bound on time")

    def _say(self, what: str, setting: Setting) -> None:
        self.report(f"{what} {described(setting)}", len(self.trials) / self.max_trials)
