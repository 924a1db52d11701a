"""What a search has to reach, what it tried, and what it found. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from compress.checks import is_number
from compress.errors import ConfigError
from compress.pareto import pareto_front
from compress.press.setting import Setting


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a plan is predicted to cost for one input: in batches, one image's share of a full block, without keys."""

    server_ms: float
    keys_bytes: float
    upload_bytes: float


@dataclass(frozen=True, kw_only=True)
class Target:
    """What has to be reached. Without server_ms the search looks for the fastest network that is accurate enough.

    min_accuracy: the least accuracy; where outputs are numbers, the least R2: to the labels, or without any to what the
    given network answers.
    """

    min_accuracy: float
    server_ms: float | None = None
    keys_bytes: float | None = None
    upload_bytes: float | None = None

    def __post_init__(self) -> None:
        if not (is_number(self.min_accuracy) and 0 <= self.min_accuracy <= 1):
            raise ConfigError("min_accuracy", self.min_accuracy, "a share in [0, 1], such as 0.98")
        for field_name in ("server_ms", "keys_bytes", "upload_bytes"):
            value = getattr(self, field_name)
            if value is not None and not (is_number(value) and value > 0):
                raise ConfigError(field_name, value, "a number above 0, or None for no limit")

    def excesses(self, costs: Costs) -> dict[str, float]:
        """Each cost divided by its limit; a limit is kept where the quotient is at most 1."""
        wanted = (
            ("server_ms", self.server_ms, costs.server_ms),
            ("keys_bytes", self.keys_bytes, costs.keys_bytes),
            ("upload_bytes", self.upload_bytes, costs.upload_bytes),
        )
        return {name: found / limit for name, limit, found in wanted if limit is not None}

    def affords(self, costs: Costs | None) -> bool:
        """Whether the costs keep every limit; False where no plan could be made."""
        return costs is not None and all(excess <= 1 for excess in self.excesses(costs).values())

    def missed(self, costs: Costs, accuracy: float) -> list[str]:
        """The constraints that fail."""
        failed = [name for name, excess in self.excesses(costs).items() if excess > 1]
        return failed + ["accuracy"] * (accuracy < self.min_accuracy)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a setting is expected to cost, before training; None when no plan exists."""

    setting: Setting
    costs: Costs | None


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A setting, trained and compiled. accuracy: on held-out training images. outcome: what the maker keeps."""

    setting: Setting
    costs: Costs
    accuracy: float
    outcome: Any = field(default=None, repr=False, compare=False)

    @property
    def point(self) -> tuple[float, ...]:
        """All quantities that should be small, with the accuracy negated."""
        return (self.costs.server_ms, self.costs.keys_bytes, self.costs.upload_bytes, -self.accuracy)


@dataclass(frozen=True, kw_only=True)
class Found:
    """The result of a search.

    trials: in the order of training, the uncompressed network first. stopped: the limit that ended the search early, or
    "". bundle: the compiled best network.
    """

    target: Target
    trials: tuple[Trial, ...]
    estimates: tuple[Estimate, ...]
    stopped: str = ""
    bundle: Any = field(default=None, repr=False, compare=False)

    def with_bundle(self, bundle: Any) -> Found:
        """The same result with the bundle of the best network."""
        return replace(self, bundle=bundle)

    @property
    def meeting(self) -> list[Trial]:
        return [trial for trial in self.trials if not self.target.missed(trial.costs, trial.accuracy)]

    @property
    def met(self) -> bool:
        return bool(self.meeting)

    @property
    def front(self) -> list[Trial]:
        """The trials that no other beats in server time, keys, upload and accuracy together (the Pareto front)."""
        return [self.trials[index] for index in pareto_front([trial.point for trial in self.trials])]

    @property
    def best(self) -> Trial:
        """The fastest trial that meets the target; without one the closest.

        The closest has the smallest largest excess; one point of accuracy counts as ten percent of a cost.
        """
        if self.met:
            return min(self.meeting, key=lambda trial: (trial.costs.server_ms, -trial.accuracy))
        return min(self.trials, key=self._distance)

    @property
    def verdict(self) -> str:
        """One line: which setting met the target, or what failed and how close the closest trial came."""
        best, wanted = self.best, _wanted(self.target)
        reached = f"{described(best.setting)} reaches {_reached(best)}"
        if self.met:
            return f"target met ({wanted}): {reached}"
        failed = ", ".join(_NAMES[name] for name in self.target.missed(best.costs, best.accuracy))
        stopped = f"; the search stopped at {self.stopped}" if self.stopped else ""
        if self.expectation is not None:
            stopped += f"; the cheapest setting is expected to take {self.expectation}"
        return (
            f"target not met ({wanted}): {failed} failed; the closest of {len(self.trials)} trained networks, "
            f"{reached}{stopped}; ask for less, or search longer"
        )

    @property
    def expectation(self) -> str | None:
        """The cheapest estimate in words, where no setting was trained that was expected to meet the target."""
        priced = [(one.costs, one.setting) for one in self.estimates if one.costs is not None]
        tried = {trial.setting for trial in self.trials}
        if not priced or any(self.target.affords(costs) and setting in tried for costs, setting in priced):
            return None
        costs, setting = min(priced, key=lambda one: max(self.target.excesses(one[0]).values(), default=0.0))
        return f"{_costs(costs)} ({described(setting)})"

    def as_json(self) -> dict[str, Any]:
        front = {id(trial) for trial in self.front}
        return {
            "target": {name: value for name, value in vars(self.target).items() if value is not None},
            "met": self.met,
            "verdict": self.verdict,
            "stopped": self.stopped,
            "trials": [
                {
                    **vars(trial.costs),
                    "accuracy_held_out": trial.accuracy,
                    "missed": self.target.missed(trial.costs, trial.accuracy),
                    "pareto": id(trial) in front,
                    "best": trial is self.best,
                    "described": described(trial.setting),
                    "setting": trial.setting.as_json(),
                }
                for trial in self.trials
            ],
            "estimates": [
                {
                    **(vars(estimate.costs) if estimate.costs is not None else {"server_ms": None}),
                    "setting": estimate.setting.as_json(),
                }
                for estimate in self.estimates
            ],
        }

    def _distance(self, trial: Trial) -> float:
        worst = max(self.target.excesses(trial.costs).values(), default=0.0) - 1
        return max(worst, 10 * (self.target.min_accuracy - trial.accuracy))


_NAMES = {"server_ms": "server time", "keys_bytes": "keys", "upload_bytes": "upload", "accuracy": "accuracy"}


def described(setting: Setting) -> str:
    """A setting in a few words."""
    blocks = f"blocks {setting.block} {setting.share:.0%}" if setting.block else "no blocks pruned"
    blocks += f", {', '.join(setting.straight)} straight" if setting.straight else ""
    bits = f", {setting.bits:g} bits" if setting.bits is not None else ""
    return f"{blocks}{bits}, {setting.convert_epochs} epochs"


def _reached(trial: Trial) -> str:
    return f"{_costs(trial.costs)} and {trial.accuracy:.2%} on held-out images"


def _costs(costs: Costs) -> str:
    keys, uploads = f"{costs.keys_bytes / 1e6:.1f} MB", f"{costs.upload_bytes / 1e3:.0f} kB"
    time = f"{costs.server_ms:.1f}" if costs.server_ms >= 1 else f"{costs.server_ms:.3g}"
    return f"{time} ms, keys of {keys}, uploads of {uploads}"


def _wanted(target: Target) -> str:
    parts = [f"accuracy at least {target.min_accuracy:.2%}"]
    if target.server_ms is not None:
        parts.append(f"at most {target.server_ms:g} ms")
    if target.keys_bytes is not None:
        parts.append(f"keys of at most {target.keys_bytes / 1e6:g} MB")
    if target.upload_bytes is not None:
        parts.append(f"uploads of at most {target.upload_bytes / 1e3:g} kB")
    return ", ".join(parts)
