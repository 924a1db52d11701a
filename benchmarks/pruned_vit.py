"""vit-quadratic-pruned: diagonals of keys and values pruned by LPViT's objective, then conversion. Fast on a GPU alone.

    python -m benchmarks.pruned_vit DATA_DIR out/vit-quadratic-pruned

A block is all pairs of an input and an output feature with the same difference modulo the width. Encrypted, a block of
a key or of a value is one product for every difference between two tokens, sixteen in all, and a block of any other
layer is one product. So only the layers of keys and values are pruned: they hold a quarter of the weights of a block
of the transformer, and nearly all of its products.
"""

from __future__ import annotations

import sys
from pathlib import Path

from torch import nn

import cipherpress as cp
from benchmarks.pruned_resnet20 import prune_and_convert
from cipherpress.zoo.transformers import COMPACT

SHARE = 0.6
CONVERSION = cp.Conversion(epochs=60, batch_size=512, images="pictures", fraction_bits=8)
FAMILY = f"residue:{COMPACT.width}"
PRUNED = ("key", "value")


def families(model: nn.Module) -> str:
    """The family of blocks of every layer, in the order in which they run."""
    layers = [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)]
    return "+".join(FAMILY if name.endswith(PRUNED) else "whole" for name in layers)


def main(data_dir: str, output: str) -> None:
    """Prune and convert the zoo's transformer for clothes."""
    model, data = cp.load_model("vit-fashion"), cp.load_data("fashion-mnist", data_dir)
    prune_and_convert(model, data, families(model), SHARE, CONVERSION, Path(output))


if __name__ == "__main__":
    main(*sys.argv[1:])
