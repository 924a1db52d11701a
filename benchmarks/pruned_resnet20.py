"""resnet20-pruned: the blocks that LPViT's objective can spare go, then conversion for depth. Fast on a GPU alone.

    cipherpress train resnet20-relu --data fashion-mnist-32 --epochs 30 -o out/resnet20-relu
    python -m benchmarks.pruned_resnet20 out/resnet20-relu DATA_DIR out/resnet20-pruned [BRANCHES]

What is pruned is the last layer before a sum with an unchanged skip, which takes its residual block with it: two
convolutions, two squares and two levels. Blocks that change the resolution stay, since their skip is a convolution.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from torch import nn

import cipherpress as cp
from cipherpress.commands.artifacts import load_artifact
from compress.blocks.options import BlockPruning

#: Residual blocks that go, of the seven that keep their resolution.
BRANCHES = 5
CONVERSION = cp.Conversion(epochs=30, batch_size=512, images="pictures", fraction_bits=7)
#: By what the answers lose once means and deviations are put right; one block goes in a round.
PRUNING = BlockPruning(images=512, reconstruct=False, hold_statistics=True)


def families(model: nn.Module) -> str:
    """The family of blocks of every layer, in the order in which they run."""
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, (nn.Conv2d, nn.Linear))}
    unchanged = {f"{name}.second.conv" for name, block in model.named_modules() if _keeps_resolution(block)}
    return "+".join("branch" if name in unchanged else "whole" for name in layers)


def _keeps_resolution(block: nn.Module) -> bool:
    return isinstance(getattr(block, "skip", None), nn.Identity)


def prune_and_convert(
    model: nn.Module,
    data: cp.Dataset,
    block: str,
    share: float,
    conversion: cp.Conversion,
    output: Path,
    pruning: BlockPruning,
) -> str:
    """Remove a share of the blocks of `model`, convert what is left with `model` as its teacher, and save it. Returns
    what to say of it."""
    pruned = cp.prune_blocks(model, data, sparsity=share, block=block, cost="block-count", config=pruning, seed=0)
    network = cp.convert(pruned, data, conversion, teacher=model, augment=True, seed=0)
    cp.save(network, output)
    return f"accuracy {network.about['accuracy_after']:.4f}; saved {output}"


def main(twin: str, data_dir: str, output: str, branches: int) -> None:
    """Prune and convert the twin in a folder that `cipherpress train` wrote."""
    model = load_artifact(twin)
    assert isinstance(model, nn.Module)
    data = cp.load_data("fashion-mnist-32", data_dir)
    block = families(model)
    share, pruning = branches / len(block.split("+")), replace(PRUNING, rounds=branches)
    print(prune_and_convert(model, data, block, share, CONVERSION, Path(output), pruning))


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]) if len(sys.argv) > 4 else BRANCHES)
