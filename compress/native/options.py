"""Native: how a network for one ciphertext is shaped and trained, checked when it is made. Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf, prod

from compress.checks import is_number, is_whole
from compress.errors import ConfigError
from compress.training.schedule import check_training

#: Features of the front end where none are given and the image has as many.
DEFAULT_FEATURES = 128
#: The most hidden layers. Each takes a level, and a third one has gained nothing in trials.
MOST_LAYERS = 3
#: Passes over the training rows and rows in a step where none are given, and the fewest steps that they must make.
EPOCHS, BATCH_SIZE, LEAST_BATCH, LEAST_STEPS = 50, 512, 32, 4000
#: Fewest and most bits of a weight.
LEAST_BITS, MOST_BITS = 3, 12
#: What a network may learn from. "best": which of the two is right more often on held-out rows after a short training.
LESSONS = ("best", "labels", "teacher")


@dataclass(frozen=True, kw_only=True)
class Native:
    """How `native` shapes and trains a network.

    features: cosine coefficients of the front end; None is DEFAULT_FEATURES, or all of a smaller image. hidden: units
    of each hidden layer, which ends in a square. bits: of a weight, its sign included. epochs: passes over the training
    rows with normalization; None is EPOCHS, or as many as make LEAST_STEPS steps. rounded_epochs: passes after them
    with rounded weights, as a share of `epochs`. batch_size: rows in a step; None is BATCH_SIZE, or fewer for few rows.
    learning_rate: the highest of the one-cycle schedule; learning_rate / 4 with rounded weights. weight_decay: of
    AdamW. noise: standard deviation of what is added to every feature in training, as fresh encryption adds it.
    label_smoothing: of the cross entropy. copies: distorted copies of each image; every row of a step is the image
    itself or one of them with equal chances. distortion: their strength, relative to that of fine-tuning. learn_from:
    one of LESSONS, where the data has labels.
    Raises: ConfigError.
    """

    features: int | None = None
    hidden: tuple[int, ...] = (64,)
    bits: int = 6
    epochs: int | None = None
    rounded_epochs: float = 0.4
    batch_size: int | None = None
    learning_rate: float = 4e-3
    weight_decay: float = 0.01
    noise: float = 0.1
    label_smoothing: float = 0.02
    copies: int = 8
    distortion: float = 0.5
    learn_from: str = LESSONS[0]

    def __post_init__(self) -> None:
        if self.features is not None and not (is_whole(self.features) and self.features >= 2):
            raise ConfigError("native.features", self.features, "a whole number from 2 on, or None")
        hidden = tuple(self.hidden) if isinstance(self.hidden, Sequence) and not isinstance(self.hidden, str) else ()
        if not 1 <= len(hidden) <= MOST_LAYERS or not all(is_whole(units) and units >= 2 for units in hidden):
            raise ConfigError("native.hidden", self.hidden, f"1 to {MOST_LAYERS} whole numbers from 2 on, as (64,)")
        object.__setattr__(self, "hidden", hidden)
        if not (is_whole(self.bits) and LEAST_BITS <= self.bits <= MOST_BITS):
            raise ConfigError("native.bits", self.bits, f"a whole number from {LEAST_BITS} to {MOST_BITS}")
        check_training(
            EPOCHS if self.epochs is None else self.epochs,
            self.learning_rate,
            BATCH_SIZE if self.batch_size is None else self.batch_size,
            prefix="native.",
        )
        for field, most in (("rounded_epochs", 10.0), ("weight_decay", inf), ("noise", inf), ("label_smoothing", 0.9)):
            value = getattr(self, field)
            if not (is_number(value) and 0 <= value <= most and value < inf):
                raise ConfigError(f"native.{field}", value, f"a number from 0 to {most:g}")
        if not (is_whole(self.copies) and 0 <= self.copies <= 64):
            raise ConfigError("native.copies", self.copies, "a whole number from 0 to 64")
        from compress.conversion.options import check_distortion  # loads numpy, which a command line need not

        check_distortion(self.distortion, prefix="native.")
        if self.learn_from not in LESSONS:
            raise ConfigError("native.learn_from", self.learn_from, ", ".join(LESSONS))

    def features_of(self, shape: tuple[int, ...]) -> int:
        """The features of images of this shape.

        Raises: ConfigError for more than an image has coefficients.
        """
        most = prod(shape)
        if self.features is None:
            return min(DEFAULT_FEATURES, most)
        if self.features > most:
            raise ConfigError("native.features", self.features, f"at most {most} for images of shape {shape}, or None")
        return self.features

    def passes(self, rows: int) -> tuple[int, int]:
        """(epochs with normalization, rows in a step) for so many training rows."""
        batch = self.batch_size or max(LEAST_BATCH, min(BATCH_SIZE, rows // 16))
        steps = ceil(rows / batch)
        return (max(EPOCHS, ceil(LEAST_STEPS / steps)) if self.epochs is None else self.epochs), batch
