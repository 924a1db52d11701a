"""Every part of the recipe for small networks as one checked value, with defaults by rate. Loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf

from compress.checks import is_number, is_whole
from compress.errors import ConfigError
from compress.joint.options import check_joint
from compress.opq.options import check_opq
from compress.training.schedule import check_training

#: Epochs of the last shot on many rows. Few rows get more, so that there are LEAST_STEPS steps of STEP_ROWS rows.
EPOCHS = 15
LEAST_STEPS, STEP_ROWS = 1000, 256
#: Share of the epochs of the last shot that other trainings take: between the shots, for the reference, and for each
#: further step of the search.
BETWEEN, REFERENCE, FURTHER = 0.2, 0.2, 0.4
#: Defaults by rate: (from this rate on, mean bits of a weight that stays, learning rate, shrinkage, bits of a bias).
#: They are those of the rows of `benchmarks/results/compression-targets.md`, which were chosen in trials on held-out
#: training images.
BY_RATE = ((0.0, 5.0, 8e-3, 0.01, 8), (50.0, 4.0, 8e-3, 0.01, 8), (100.0, 3.5, 16e-3, 0.03, 7))


@dataclass(frozen=True, kw_only=True)
class RateRecipe:
    """How networks are made small and trained. None stands for a value that follows the rate or the number of rows.

    bits: mean bits of a weight that stays. shots: steps of pruning up to the first network that is measured.
    epochs_between: of fine-tuning after all shots but the last one. epochs: after the last one. epochs_further: after
    each further step of the search. epochs_reference: of the uncompressed network on the rows that are not held out;
    0 compares with the given network as it is. learning_rate, shrinkage: as of `finetune`. bias_bits, activation_bits:
    of the grids that joint quantization gives them. cap: largest pruning rate of a layer. distill: learn from the given
    network as well as from labels. held_out: training rows that are set aside. max_trials: most networks that are
    trained.
    Raises: ConfigError.
    """

    bits: float | None = None
    shots: int = 5
    epochs_between: int | None = None
    epochs: int | None = None
    epochs_further: int | None = None
    epochs_reference: int | None = None
    learning_rate: float | None = None
    shrinkage: float | None = None
    bias_bits: int | None = None
    activation_bits: int = 8
    cap: float = 0.998
    distill: bool = False
    held_out: int = 5000
    max_trials: int = 8

    def __post_init__(self) -> None:
        check_opq(sparsity=0.0, bits=BY_RATE[0][1] if self.bits is None else self.bits, cap=self.cap)
        check_joint(bits=self.activation_bits, bias_bits=self.bias_bits)
        for field in ("shots", "held_out", "max_trials"):
            if not (is_whole(value := getattr(self, field)) and value >= 1):
                raise ConfigError(field, value, "a whole number, 1 or more")
        for field in ("epochs_between", "epochs", "epochs_further", "epochs_reference"):
            value = getattr(self, field)
            if value is not None and not (is_whole(value) and value >= 0):
                raise ConfigError(field, value, "a whole number, 0 or more, or None")
        if self.learning_rate is not None:
            check_training(0, self.learning_rate, STEP_ROWS)
        if self.shrinkage is not None and not (is_number(self.shrinkage) and 0 <= self.shrinkage < inf):
            raise ConfigError("shrinkage", self.shrinkage, "a number at least 0, or None")
        if not isinstance(self.distill, bool):
            raise ConfigError("distill", self.distill, "True or False")

    def settled(self, rate: float, rows: int) -> Settled:
        """The recipe for a rate and so many training rows, without any None."""
        _, bits, learning_rate, shrinkage, bias_bits = [row for row in BY_RATE if rate >= row[0]][-1]
        enough = ceil(LEAST_STEPS / ceil(rows / STEP_ROWS))
        epochs = max(EPOCHS, enough) if self.epochs is None else self.epochs

        def share(wanted: int | None, of_all: float) -> int:
            return ceil(of_all * epochs) if wanted is None else wanted

        return Settled(
            bits=bits if self.bits is None else self.bits,
            shots=self.shots,
            epochs_between=share(self.epochs_between, BETWEEN),
            epochs=epochs,
            epochs_further=share(self.epochs_further, FURTHER),
            epochs_reference=share(self.epochs_reference, REFERENCE),
            learning_rate=learning_rate if self.learning_rate is None else self.learning_rate,
            shrinkage=shrinkage if self.shrinkage is None else self.shrinkage,
            bias_bits=bias_bits if self.bias_bits is None else self.bias_bits,
            activation_bits=self.activation_bits,
            cap=self.cap,
        )


@dataclass(frozen=True, kw_only=True)
class Settled:
    """The parts of a recipe that one network is made with; see `RateRecipe`."""

    bits: float
    shots: int
    epochs_between: int
    epochs: int
    epochs_further: int
    epochs_reference: int
    learning_rate: float
    shrinkage: float
    bias_bits: int
    activation_bits: int
    cap: float
