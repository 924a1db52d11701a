"""vit-quadratic-pruned: the attentions that LPViT's objective can spare go, then conversion. Fast on a GPU alone.

    python -m benchmarks.pruned_vit DATA_DIR out/vit-quadratic-pruned

A block is the output layer of an attention. Pruned, it takes the attention with it: two products of ciphertexts, four
levels, and the queries, keys and values of the block. Blocks within those layers save little under encryption: the
exact mean of each normalization and the layers before it are combined with them, which fills pruned diagonals again.
"""

from __future__ import annotations

import sys
from pathlib import Path

from torch import nn

import cipherpress as cp
from benchmarks.pruned_resnet20 import prune_and_convert
from compress.blocks.options import BlockPruning

#: Of the blocks of all twenty layers; two of the three attentions.
SHARE = 0.1
#: Blocks are scored by the second order alone, on few images: what is lost is trained back.
PRUNING = BlockPruning(curves="taylor", images=256, rounds=1, reconstruct=False)
CONVERSION = cp.Conversion(epochs=60, batch_size=512, images="pictures", fraction_bits=8)
PRUNED = "attention.output"


def families(model: nn.Module) -> str:
    """The family of blocks of every layer, in the order in which they run."""
    layers = [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)]
    return "+".join("branch" if name.endswith(PRUNED) else "whole" for name in layers)


def main(data_dir: str, output: str) -> None:
    """Prune and convert the zoo's transformer for clothes."""
    model, data = cp.load_model("vit-fashion"), cp.load_data("fashion-mnist", data_dir)
    print(prune_and_convert(model, data, families(model), SHARE, CONVERSION, Path(output), PRUNING))


if __name__ == "__main__":
    main(*sys.argv[1:])
