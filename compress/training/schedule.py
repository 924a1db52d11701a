"""Schedule: how long and how fast a module is trained, checked when it is made. Loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from compress.checks import is_number, is_whole
from compress.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Epochs, the highest learning rate of the one-cycle schedule, batch size, and what else changes a step.

    gradient_clip: largest norm of a step's gradient; None does not clip. shrinkage: strength of the L1 penalty on the
    parameters that `fit_` gets as `shrunk`.
    Raises: ConfigError.
    """

    epochs: int
    learning_rate: float
    batch_size: int = 256
    weight_decay: float = 0.0
    gradient_clip: float | None = None
    shrinkage: float = 0.0

    def __post_init__(self) -> None:
        check_training(self.epochs, self.learning_rate, self.batch_size)
        if not (is_number(self.weight_decay) and 0 <= self.weight_decay < inf):
            raise ConfigError("weight_decay", self.weight_decay, "a number at least 0")
        if self.gradient_clip is not None and not (is_number(self.gradient_clip) and self.gradient_clip > 0):
            raise ConfigError("gradient_clip", self.gradient_clip, "a number above 0, or None")
        if not (is_number(self.shrinkage) and 0 <= self.shrinkage < inf):
            raise ConfigError("shrinkage", self.shrinkage, "a number at least 0")


def check_training(epochs: int, learning_rate: float, batch_size: int, *, prefix: str = "") -> None:
    """Refuse options that no training can take; the error names the field with `prefix` before it.

    Raises: ConfigError.
    """
    if not (is_whole(epochs) and epochs >= 0):
        raise ConfigError(f"{prefix}epochs", epochs, "a whole number, 0 or more")
    if not (is_number(learning_rate) and 0 < learning_rate < inf):
        raise ConfigError(f"{prefix}learning_rate", learning_rate, "a finite number above 0")
    if not (is_whole(batch_size) and batch_size >= 1):
        raise ConfigError(f"{prefix}batch_size", batch_size, "a whole number, 1 or more")
