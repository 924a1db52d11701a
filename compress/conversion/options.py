"""Conversion: how a model is converted, checked when it is made. Loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from compress.checks import check_flag, is_number, is_whole, tuple_of_names
from compress.conversion.limits import FRACTION_BITS, IMAGES
from compress.errors import ConfigError
from compress.graph.polynomial import DEGREES
from compress.training.schedule import check_training

#: Largest degree of polynomials where none is given, but for networks of regression that gain by another.
DEFAULT_DEGREE = 2

#: Passes over the training rows where none are given, if they make LEAST_STEPS.
EPOCHS = 8

#: Steps of training where no epochs are given: 8 epochs of 256 rows are 8 steps for 200 rows and 96 for 3,000.
LEAST_STEPS = 1000

#: Rows in a step where none are given: the most with which EPOCHS make LEAST_STEPS, otherwise the fewest.
BATCH_SIZES = (256, 128, 64, 32)

#: Strongest distortion, relative to that of fine-tuning. Beyond it, digits leave the image.
LARGEST_DISTORTION = 2.0


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """How `convert` turns a model into a Network.

    degree: the largest one of the polynomials that replace activations: 2, or 3 or 4 with twice the levels. A smaller
    one is taken where its fit is about as close. None is 2, or 4 for shallow networks of regression that gain by it
    (`compress.conversion.degrees`). per_channel: fit one polynomial per channel, not one per activation.
    straight: names of activations that become straight lines instead of polynomials; each saves a level,
    and the layers around it merge when the network is compiled. epochs: passes over the training rows; 0 keeps the
    polynomials as they were fitted. None is EPOCHS, or more where few rows would make fewer than LEAST_STEPS steps.
    learning_rate: the highest one of the one-cycle schedule. batch_size: rows in a step; None is 256, or fewer for few
    rows. distortion: strength of the random distortions of training images, relative to those of fine-tuning. images:
    "handwriting", whose training images are turned, sheared and bent, or "pictures", which are moved and mirrored.
    fraction_bits: weights become whole multiples of 2^-fraction_bits, and activations plain squares, by further
    training (`compress.squares`); None keeps them as they were trained. Pruned weights of a compressed model stay zero,
    its codebook is replaced.
    Raises: ConfigError.
    """

    degree: int | None = None
    per_channel: bool = False
    straight: tuple[str, ...] = ()
    epochs: int | None = None
    learning_rate: float = 2e-2
    batch_size: int | None = None
    distortion: float = 1.0
    images: str = "handwriting"
    fraction_bits: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "straight", tuple_of_names("straight", self.straight))
        check_flag("per_channel", self.per_channel)
        if self.degree is not None and not (is_whole(self.degree) and self.degree in DEGREES):
            raise ConfigError("degree", self.degree, f"one of {', '.join(map(str, DEGREES))}")
        check_conversion_training(self.epochs, self.learning_rate, self.batch_size)
        check_distortion(self.distortion)
        if self.images not in IMAGES:
            raise ConfigError("images", self.images, f"one of {', '.join(IMAGES)}")
        bits = self.fraction_bits
        if bits is not None and not (is_whole(bits) and bits in FRACTION_BITS):
            raise ConfigError("fraction_bits", bits, f"None, or {FRACTION_BITS.start} to {FRACTION_BITS.stop - 1}")

    def passes(self, rows: int) -> dict[str, int]:
        """The epochs and the batch size for so many training rows, by the names of `Schedule`."""
        batch = self.batch_size or fitting_batch(rows)
        epochs = max(EPOCHS, ceil(LEAST_STEPS / ceil(rows / batch))) if self.epochs is None else self.epochs
        return {"epochs": epochs, "batch_size": batch}


def fitting_batch(rows: int) -> int:
    """The rows in a step for so many training rows: see BATCH_SIZES."""
    enough = (batch for batch in BATCH_SIZES if EPOCHS * ceil(rows / batch) >= LEAST_STEPS)
    return next(enough, BATCH_SIZES[-1])


def check_conversion_training(
    epochs: int | None, learning_rate: float, batch_size: int | None, *, prefix: str = ""
) -> None:
    """`check_training`, where None stands for values that follow the data.

    Raises: ConfigError.
    """
    check_training(
        EPOCHS if epochs is None else epochs,
        learning_rate,
        BATCH_SIZES[0] if batch_size is None else batch_size,
        prefix=prefix,
    )


def check_distortion(distortion: float, *, prefix: str = "") -> None:
    """Refuse a strength of distortions that is out of range; the error names the field with `prefix` before it.

    Raises: ConfigError.
    """
    if not (is_number(distortion) and 0 <= distortion <= LARGEST_DISTORTION):
        raise ConfigError(f"{prefix}distortion", distortion, f"a factor from 0 to {LARGEST_DISTORTION:g}")
