"""What a search for a small network has to reach, what it trained and what it found. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from compress.checks import is_number
from compress.errors import ConfigError
from compress.pareto import pareto_front


@dataclass(frozen=True, kw_only=True)
class RateTarget:
    """A compression rate, the most that may be lost, or both.

    rate: how many times smaller, every bit counted. Alone: the most accurate network at this rate. max_loss_points:
    points of accuracy, or hundredths of R2. Alone: the smallest network that loses no more.
    Raises: ConfigError.
    """

    rate: float | None = None
    max_loss_points: float | None = None

    def __post_init__(self) -> None:
        if self.rate is not None and not (is_number(self.rate) and self.rate > 1):
            raise ConfigError("target_rate", self.rate, "a number above 1, or None (32-bit weights have rate 1)")
        if self.max_loss_points is not None and not (is_number(self.max_loss_points) and self.max_loss_points >= 0):
            raise ConfigError("max_loss", self.max_loss_points, "points, 0 or more, or None")
        if self.rate is None and self.max_loss_points is None:
            raise ConfigError("target", None, "a rate, a loss in points, or both")


@dataclass(frozen=True, kw_only=True)
class RateTrial:
    """A network that was trained.

    aim: the rate that was pruned for. rate: what it came to after training, everything counted. share: its score on the
    held-out rows as a number that is 1 at best (accuracy or R2). outcome: what the maker keeps.
    """

    aim: float
    rate: float
    share: float
    outcome: Any = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Scores of the uncompressed network on the held-out rows, as shares.

    given: of the given network, which may have learnt these rows. unseen: after training on the other rows only, or
    None where it was not trained. The lower of the two is what a network loses from; where a compressed network did
    better than `unseen`, its score takes that place.
    """

    given: float
    unseen: float | None = None

    def share(self, trials: tuple[RateTrial, ...]) -> float:
        """What losses are counted from."""
        if self.unseen is None:
            return self.given
        return min(self.given, max([self.unseen, *(trial.share for trial in trials)]))


@dataclass(frozen=True, kw_only=True)
class RateFound:
    """The result of a search: every network that was trained, in order, and the best one."""

    target: RateTarget
    reference: Reference
    trials: tuple[RateTrial, ...]

    def loss_points(self, trial: RateTrial) -> float:
        """Points that a network loses on the held-out rows; below 0 where it is better."""
        return 100 * (self.reference.share(self.trials) - trial.share)

    def keeps(self, trial: RateTrial) -> bool:
        """Whether a network loses no more than the target allows."""
        most = self.target.max_loss_points
        return most is None or self.loss_points(trial) <= most + 1e-9

    def reaches(self, trial: RateTrial) -> bool:
        """Whether a network has the rate of the target."""
        return self.target.rate is None or trial.rate >= self.target.rate

    @property
    def best(self) -> RateTrial | None:
        """With a target rate the most accurate network that has it, of equals the smaller; otherwise the smallest.

        None where no network meets the target.
        """
        meeting = [trial for trial in self.trials if self.reaches(trial) and self.keeps(trial)]
        if self.target.rate is None:
            return max(meeting, key=lambda trial: (trial.rate, trial.share), default=None)
        return max(meeting, key=lambda trial: (trial.share, trial.rate), default=None)

    @property
    def verdict(self) -> str:
        """What was asked and what was reached, in one line."""
        wanted = [] if self.target.rate is None else [f"{self.target.rate:g} times smaller"]
        if self.target.max_loss_points is not None:
            wanted.append(f"at most {self.target.max_loss_points:g} points lost")
        reached = "; ".join(f"{trial.rate:.1f} times at {self.loss_points(trial):+.2f} points" for trial in self.front)
        return (
            f"{' with '.join(wanted)} {'asked' if self.best is None else 'met'}; on held-out training rows "
            f"{len(self.trials)} trained networks reach {reached}"
        )

    @property
    def front(self) -> list[RateTrial]:
        """The networks than which no other is smaller and better, smallest rate first."""
        chosen = pareto_front([(-trial.rate, -trial.share) for trial in self.trials])
        return sorted((self.trials[index] for index in chosen), key=lambda trial: trial.rate)

    def as_json(self) -> dict[str, Any]:
        """The search in plain JSON values."""
        return {
            "target_rate": self.target.rate,
            "max_loss_points": self.target.max_loss_points,
            "share_given": self.reference.given,
            "share_unseen": self.reference.unseen,
            "share_reference": self.reference.share(self.trials),
            "trials": [
                {"aim": trial.aim, "rate": trial.rate, "share": trial.share, "loss_points": self.loss_points(trial)}
                for trial in self.trials
            ],
        }
