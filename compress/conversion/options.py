"""Conversion: how a model is converted, checked when it is made. Loads no torch."""

from __future__ import annotations

from dataclasses import dataclass

from compress.checks import check_flag, is_number, is_whole, tuple_of_names
from compress.errors import ConfigError
from compress.graph.polynomial import DEGREES
from compress.training.schedule import check_training

#: Strongest distortion, relative to that of fine-tuning. Beyond it, digits leave the image.
LARGEST_DISTORTION = 2.0


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """How `convert` turns a model into a Network.

    degree: the largest one of the polynomials that replace activations: 2, or 3 or 4 with twice the levels. A smaller
    one is taken where its fit is about as close. per_channel: fit one polynomial per channel, not one per activation.
    straight: names of activations that become straight lines instead of polynomials; each saves a level,
    and the layers around it merge when the network is compiled. epochs: passes over the training images; 0 keeps the
    polynomials as they were fitted. learning_rate: the highest one of the one-cycle schedule. distortion: strength of
    the random distortions of training images, relative to those of fine-tuning.
    Raises: ConfigError.
    """

    degree: int = 2
    per_channel: bool = False
    straight: tuple[str, ...] = ()
    epochs: int = 8
    learning_rate: float = 2e-2
    batch_size: int = 256
    distortion: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "straight", tuple_of_names("straight", self.straight))
        check_flag("per_channel", self.per_channel)
        if not (is_whole(self.degree) and self.degree in DEGREES):
            raise ConfigError("degree", self.degree, f"one of {', '.join(map(str, DEGREES))}")
        check_training(self.epochs, self.learning_rate, self.batch_size)
        check_distortion(self.distortion)


def check_distortion(distortion: float, *, prefix: str = "") -> None:
    """Refuse a strength of distortions that is out of range; the error names the field with `prefix` before it.

    Raises: ConfigError.
    """
    if not (is_number(distortion) and 0 <= distortion <= LARGEST_DISTORTION):
        raise ConfigError(f"{prefix}distortion", distortion, f"a factor from 0 to {LARGEST_DISTORTION:g}")
