"""resnet20-pruned: channel shifts pruned by LPViT's objective, then conversion for depth. Fast on a GPU alone.

    cipherpress train resnet20-relu --data fashion-mnist-32 --epochs 30 -o out/resnet20-relu
    python -m benchmarks.pruned_resnet20 out/resnet20-relu DATA_DIR out/resnet20-pruned

A block is one tap of a 3x3 convolution for all pairs of channels whose difference is the same modulo the period that
blocks have in a ciphertext: an encrypted product that is left out. The stem, projections and the dense layer stay.
"""

from __future__ import annotations

import sys
from pathlib import Path

from torch import nn

import cipherpress as cp
from cipherpress.commands.artifacts import load_artifact
from compress.blocks.options import BlockPruning

SHARE = 0.5
#: Blocks are scored by the second order alone, on few images: what is lost is trained back.
PRUNING = BlockPruning(curves="taylor", images=256, rounds=1, reconstruct=False)
CONVERSION = cp.Conversion(epochs=16, batch_size=512, images="pictures", fraction_bits=7)
#: Blocks of a convolution's taps by channel shifts.
FAMILY = "residue:16"


def families(model: nn.Module) -> str:
    """The family of blocks of every layer, in the order in which they run."""
    layers = [layer for layer in model.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    pruned = [isinstance(one, nn.Conv2d) and one.kernel_size == (3, 3) and one.in_channels > 1 for one in layers]
    return "+".join(FAMILY if chosen else "whole" for chosen in pruned)


def prune_and_convert(
    model: nn.Module, data: cp.Dataset, block: str, share: float, conversion: cp.Conversion, output: Path
) -> str:
    """Remove a share of the blocks of `model`, convert what is left with `model` as its teacher, and save it. Returns
    what to say of it."""
    pruned = cp.prune_blocks(model, data, sparsity=share, block=block, cost="block-count", config=PRUNING, seed=0)
    network = cp.convert(pruned, data, conversion, teacher=model, augment=True, seed=0)
    cp.save(network, output)
    return f"accuracy {network.about['accuracy_after']:.4f}; saved {output}"


def main(twin: str, data_dir: str, output: str) -> None:
    """Prune and convert the twin in a folder that `cipherpress train` wrote."""
    model = load_artifact(twin)
    assert isinstance(model, nn.Module)
    data = cp.load_data("fashion-mnist-32", data_dir)
    print(prune_and_convert(model, data, families(model), SHARE, CONVERSION, Path(output)))


if __name__ == "__main__":
    main(*sys.argv[1:])
