"""Residual networks of 5 and 9 squarings, for the table of accuracy and time against depth. Fast on a GPU alone.

    python -m benchmarks.depth_networks 5 DATA_DIR out/residual5

Trains one with ReLU on Fashion-MNIST padded to 32x32, converts it as `resnet9` of the zoo is, and saves it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

import cipherpress as cp
from cipherpress.zoo.networks import TWINS
from cipherpress.zoo.residual import staged
from cipherpress.zoo.training import train

CONVERSION = cp.Conversion(epochs=50, batch_size=512, images="pictures", fraction_bits=7)

#: By squarings: the residual blocks of each of the three stages.
BLOCKS = {5: (0, 1, 0), 9: (1, 1, 1)}


def main(squarings: int, data_dir: str, output: str) -> None:
    """Train, convert and save the network of so many squarings."""
    data = cp.load_data("fashion-mnist-32", data_dir)
    torch.manual_seed(0)
    twin = train(staged(BLOCKS[squarings]), data, TWINS["resnet9-relu"].recipe, seed=0)
    network = cp.convert(twin.module, data, CONVERSION, augment=True, seed=0)
    cp.save(network, Path(output))
    print(f"accuracy {twin.score_plain:.4f} with ReLU, {network.about['accuracy_after']:.4f} converted; saved {output}")


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
