"""The compressed detector: channels pruned by blocks, then OPQ, then fine-tuned on scenes; converted, and measured.

    python -m benchmarks.compress_detector

It starts from the shipped detector and takes about two minutes of one core. Pruned channels are cut out of the
convolutions; OPQ then leaves a few levels per layer and more zeros.
"""

from __future__ import annotations

import argparse
import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import cipherpress as cp
from benchmarks.detections import found_in, precision_of
from cipherpress.zoo.detector import detector_module, narrowed
from cipherpress.zoo.detector_training import detector_loss, targets_of
from cipherpress.zoo.detectors import DETECTORS, GREEDY_OVERLAP, load_detector
from cipherpress.zoo.scenes import SIDE, Scenes, joined_scenes, make_scenes
from compress.conversion.exporting import export_network
from compress.dataset import Dataset
from compress.model.compressed import CompressedModel
from compress.network import Network
from compress.opq.opq import allocation_table
from compress.training.loop import fit_
from compress.training.schedule import Schedule

NAME = "detector-compressed"
#: Scenes of the fine-tuning, by seed and number; those that ranges are measured on; those held out.
SEEDS, EACH, CALIBRATION, HELD_OUT, HELD_OUT_SEED = range(100, 105), 2000, 512, 1000, 1
#: Of blocks, turn by turn: their families and the share that goes, which leaves 32 of 48 channels of the third and then
#: of the fourth convolution; the scenes that score them. A power of two fills the slots of a ciphertext.
BLOCKS, SCORED = (("whole+whole+whole+inputs:1+whole", 16 / 52), ("whole+whole+whole+whole+inputs:1", 16 / 52)), 256
#: Of OPQ: the share of weights that is pruned, and the mean bits of the others.
SPARSITY, BITS = 0.3, 6.0
#: Of the fine-tunings after blocks and after OPQ.
AFTER_BLOCKS = Schedule(epochs=6, learning_rate=3e-3, batch_size=64, gradient_clip=1.0)
AFTER_OPQ = Schedule(epochs=4, learning_rate=1e-3, batch_size=64, gradient_clip=1.0)


def compressed() -> Network:
    """The converted network, with a record of how it was made."""
    scenes = joined_scenes([make_scenes(EACH, seed=seed) for seed in SEEDS])
    narrow = _narrow(detector_module(load_detector()), scenes)
    _tuned_(narrow, scenes, AFTER_BLOCKS)
    small = cp.opq(narrow, sparsity=SPARSITY, bits=BITS)
    module = copy.deepcopy(small.module)
    _tuned_(module, scenes, AFTER_OPQ)
    network = export_network(module, (1, SIDE, SIDE), make_scenes(CALIBRATION, seed=0).images.astype(np.float64))
    held_out = make_scenes(HELD_OUT, seed=HELD_OUT_SEED, held_out=True)
    record = {
        "name": NAME,
        "command": DETECTORS[NAME].command,
        "blocks": [list(turn) for turn in BLOCKS],
        "channels": [len(layer.weight) for layer in narrow[::2]],
        "opq": {"sparsity": SPARSITY, "bits": [row["bits"] for row in allocation_table(small)]},
        "scenes": len(scenes.images),
        "epochs": AFTER_BLOCKS.epochs + AFTER_OPQ.epochs,
        "held_out_scenes": HELD_OUT,
        **measured(network, held_out),
        "uncompressed": measured(load_detector(), held_out),
    }
    return replace(network, about={**network.about, "detector": record})


def _narrow(module: nn.Sequential, scenes: Scenes) -> nn.Sequential:
    """The module without the channels that block pruning takes, the survivors refitted."""
    rows = scenes.images[:SCORED]
    data = Dataset("scenes", rows, None, rows, None, task="none")
    options = cp.BlockPruning(images=SCORED, rounds=1, curves="taylor")
    model: nn.Module | CompressedModel = module
    for block, share in BLOCKS:
        model = cp.prune_blocks(model, data, sparsity=share, block=block, cost="block-count", config=options)
    return narrowed(model.export())


def measured(network: Network, scenes: Scenes) -> dict[str, Any]:
    """AP50 and AP50:95 of a network with GreedyNMS."""
    found = found_in(network, scenes)
    kept = [cp.greedy_nms(one.boxes, one.scores, one.classes, overlap=GREEDY_OVERLAP) for one in found]
    return precision_of(found, kept, scenes)


def _tuned_(module: nn.Module, scenes: Scenes, schedule: Schedule) -> None:
    """Train in place on the objects, moves and classes of scenes; masks and steps stay."""
    parts = targets_of(scenes)
    shapes = [part.shape[1:] for part in parts]
    sizes = [shape.numel() for shape in shapes]

    def loss(outputs: Tensor, targets: Tensor, inputs: Tensor) -> Tensor:
        objects, moves, classes = (
            part.reshape(-1, *shape) for part, shape in zip(targets.split(sizes, dim=1), shapes, strict=True)
        )
        return detector_loss(outputs, objects, moves, classes.long())

    flat = torch.cat([part.flatten(1).float() for part in parts], dim=1)
    fit_(module, torch.from_numpy(scenes.images), flat, schedule, loss=loss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=DETECTORS[NAME].folder)
    options = parser.parse_args()
    network = compressed()
    cp.save(network, options.output, force=True)
    print(network.about["detector"])


if __name__ == "__main__":
    main()
