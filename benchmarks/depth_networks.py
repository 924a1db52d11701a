"""Residual networks of 3, 5 and 9 squarings, for the table of accuracy and time against depth. Fast on a GPU alone.

    python -m benchmarks.depth_networks 5 DATA_DIR out/residual5

Trains one with ReLU on Fashion-MNIST padded to 32x32, converts it as `resnet9` of the zoo is, and saves it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

import cipherpress as cp
from cipherpress.zoo.networks import TWINS
from cipherpress.zoo.residual import WIDTHS, Residual, activated, classifier
from cipherpress.zoo.training import train

CONVERSION = cp.Conversion(epochs=50, batch_size=512, images="pictures", fraction_bits=7)

#: By squarings: the residual blocks of each of the three stages. A stage begins with a convolution of its own.
BLOCKS = {3: (0, 0, 0), 5: (0, 1, 0), 9: (1, 1, 1)}


def residual(blocks: Sequence[int]) -> nn.Module:
    """A stem, two convolutions with a stride of 2, and so many residual blocks after each; images (1, 32, 32)."""
    parts: list[nn.Module] = []
    inputs = 1
    for outputs, count in zip(WIDTHS, blocks, strict=True):
        parts.append(activated(inputs, outputs, 1 if inputs == 1 else 2))
        parts += [Residual(outputs, outputs) for _ in range(count)]
        inputs = outputs
    return classifier(parts, 10)


def main(squarings: int, data_dir: str, output: str) -> None:
    """Train, convert and save the network of so many squarings."""
    data = cp.load_data("fashion-mnist-32", data_dir)
    torch.manual_seed(0)
    twin = train(residual(BLOCKS[squarings]), data, TWINS["resnet9-relu"].recipe, seed=0)
    network = cp.convert(twin.module, data, CONVERSION, augment=True, seed=0)
    cp.save(network, Path(output))
    print(f"accuracy {twin.score_plain:.4f} with ReLU, {network.about['accuracy_after']:.4f} converted; saved {output}")


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
