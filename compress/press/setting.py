"""Setting: everything that is done to a model on its way to a converted network. Loads no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from compress.blocks.options import COST_NAMES, check_blocks
from compress.checks import is_number, is_whole, tuple_of_names
from compress.conversion.options import Conversion, check_conversion_training, check_distortion
from compress.errors import ConfigError
from compress.opq.options import DEFAULT_BITS, DEFAULT_SPARSITY, check_opq


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is done to a model: block pruning, OPQ, fine-tuning and conversion, in this order.

    block, share, cost: the family of blocks, the share of the modelled cost that is pruned, and the cost model (see
    `prune_blocks`); block None and share 0 prune no blocks. straight: names of activations that become straight lines.
    sparsity, bits: options of `opq`; bits None leaves the weights floats, and then sparsity has to be 0.
    shots: steps in which OPQ prunes, weighted by curvature, with an epoch of fine-tuning between two. Conversion
    then distils from the model as it was given, not from the compressed one. That is for strong pruning and few
    bits. None is one unweighted step.
    finetune_epochs: epochs of fine-tuning after OPQ; without OPQ there is no fine-tuning.
    convert_epochs, convert_learning_rate, convert_batch_size, convert_distortion: options of `convert`.
    None lets epochs and batch size follow the training rows.
    Raises: ConfigError.
    """

    block: str | None = None
    share: float = 0.0
    cost: str = "ckks-diagonals"
    straight: tuple[str, ...] = ()
    sparsity: float = DEFAULT_SPARSITY
    bits: float | None = DEFAULT_BITS
    shots: int | None = None
    finetune_epochs: int = 1
    convert_epochs: int | None = None
    convert_learning_rate: float = 2e-2
    convert_batch_size: int | None = None
    convert_distortion: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "straight", tuple_of_names("straight", self.straight))
        if not (is_number(self.share) and 0 <= self.share < 1):
            raise ConfigError("share", self.share, "a share in [0, 1)")
        if (self.block is None) != (self.share == 0.0):
            raise ConfigError("share", self.share, "above 0 with a block, 0 without one; give both")
        if self.cost not in COST_NAMES:
            raise ConfigError("cost", self.cost, f"one of {', '.join(COST_NAMES)}")
        if self.block is not None:
            check_blocks(sparsity=self.share, block=self.block, cost=self.cost)
        if self.bits is not None:
            check_opq(sparsity=self.sparsity, bits=self.bits)
        elif self.sparsity != 0.0:
            raise ConfigError("sparsity", self.sparsity, "0 when bits is None, because then OPQ does not run")
        if self.shots is not None and not (is_whole(self.shots) and self.shots >= 1 and self.bits is not None):
            raise ConfigError("shots", self.shots, "a whole number, 1 or more, with bits; or None")
        if not (is_whole(self.finetune_epochs) and self.finetune_epochs >= 0):
            raise ConfigError("finetune_epochs", self.finetune_epochs, "a whole number, 0 or more")
        check_conversion_training(
            self.convert_epochs, self.convert_learning_rate, self.convert_batch_size, prefix="convert_"
        )
        check_distortion(self.convert_distortion, prefix="convert_")

    @property
    def conversion(self) -> Conversion:
        """The options of `convert`."""
        return Conversion(
            straight=self.straight,
            epochs=self.convert_epochs,
            learning_rate=self.convert_learning_rate,
            batch_size=self.convert_batch_size,
            distortion=self.convert_distortion,
        )

    def uncompressed(self) -> Setting:
        """The same training without pruning, quantization and straight lines, which is where a search starts."""
        return Setting(
            sparsity=0.0,
            bits=None,
            finetune_epochs=0,
            convert_epochs=self.convert_epochs,
            convert_learning_rate=self.convert_learning_rate,
            convert_batch_size=self.convert_batch_size,
            convert_distortion=self.convert_distortion,
        )

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values by field name."""
        return asdict(self)
