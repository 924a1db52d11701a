"""The options of `prune_blocks` and their checks. Loads no torch, and numpy only when it checks a family of blocks.

Commands can therefore check before they load data, and `cipherpress --help` loads neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Literal, get_args

from compress.checks import check_flag, is_number, is_whole
from compress.errors import ConfigError

if TYPE_CHECKING:
    from compress.blocks.cost import BlockCost

#: How the budget is shared out over layers. hardware-aware: the least objective within the time of all layers together.
#: uniform-time: every layer is cut to the same share of its own time, each by its best mask. uniform and
#: global-magnitude are baselines (see `compress.blocks.baselines`).
Allocation = Literal["hardware-aware", "uniform-time", "uniform", "global-magnitude"]
#: The power in the objective: see `compress.blocks.objective.power_term`.
PowerTerm = Literal["corrected", "released", "none"]
#: What is differentiated to score blocks. labels: the loss with the data's labels. sampled: the loss with labels drawn
#: from the model's own answers (the true Fisher information). outputs: random signs on the outputs, whose expectation
#: is the squared change of the outputs.
Gradient = Literal["sampled", "labels", "outputs"]
#: How the distortion of a layer's choices is found: see `compress.blocks.curves`.
Curves = Literal["measured", "taylor"]

#: Cost models by name (see `compress.blocks.cost.COSTS`); the first is the default.
COST_NAMES = ("ckks-diagonals", "plain-blocks", "block-count")


@dataclass(frozen=True, kw_only=True)
class BlockPruning:
    """The options of `prune_blocks` that seldom change.

    power_weight: how much power weighs beside distortion; 1 is the balance of the released code. images: training
    images that score blocks. rounds: how many equal parts the share goes in; blocks are scored and survivors refitted
    anew in each. reconstruct: refit the survivors by least squares on the images. hold_statistics: layers' outputs
    keep their means and deviations by channel (`compress.blocks.statistics`), in measured curves too; a branch that
    goes leaves its mean behind. slots: slots per ciphertext, for counting diagonals.
    Raises: ConfigError.
    """

    allocation: Allocation = "hardware-aware"
    power_term: PowerTerm = "corrected"
    power_weight: float = 0.0
    gradient: Gradient = "sampled"
    curves: Curves = "measured"
    images: int = 2048
    rounds: int = 3
    reconstruct: bool = True
    hold_statistics: bool = False
    slots: int = 4096

    def __post_init__(self) -> None:
        for field, kind in (
            ("allocation", Allocation),
            ("power_term", PowerTerm),
            ("gradient", Gradient),
            ("curves", Curves),
        ):
            if getattr(self, field) not in get_args(kind):
                raise ConfigError(field, getattr(self, field), f"one of {', '.join(get_args(kind))}")
        if not (is_number(self.power_weight) and 0 <= self.power_weight < inf):
            raise ConfigError("power_weight", self.power_weight, "a number at least 0")
        for field in ("images", "rounds"):
            if not (is_whole(getattr(self, field)) and getattr(self, field) >= 1):
                raise ConfigError(field, getattr(self, field), "a whole number, 1 or more")
        check_flag("reconstruct", self.reconstruct)
        check_flag("hold_statistics", self.hold_statistics)
        if not is_whole(self.slots) or self.slots < 1 or self.slots & (self.slots - 1):
            raise ConfigError("slots", self.slots, "a power of two")


def check_blocks(*, sparsity: float, block: str, cost: str | BlockCost) -> None:
    """Refuse options that `prune_blocks` cannot take, whatever the model is.

    Raises: ConfigError.
    """
    from compress.blocks.patterns import parse_patterns  # imports numpy, which `cipherpress --help` does not need

    if not (is_number(sparsity) and 0 <= sparsity < 1):
        raise ConfigError("sparsity", sparsity, "a share in [0, 1)")
    parse_patterns(block)
    if isinstance(cost, str) and cost not in COST_NAMES:
        raise ConfigError("cost", cost, f"one of {', '.join(COST_NAMES)}, or an object with of_layer")
