"""The digit detector's weights: trained on made-up scenes of MNIST's training images, converted, and measured.

    python -m benchmarks.train_detector [--device cuda] [--state FILE]

Two minutes on a GPU; on one core about ten, and other weights of about the same precision.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

import cipherpress as cp
from benchmarks.detections import found_in, precision_of
from cipherpress.zoo.detector import digit_detector
from cipherpress.zoo.detector_training import EPOCHS, train_detector, training_scenes
from cipherpress.zoo.detectors import DETECTORS, GREEDY_OVERLAP, NAME
from cipherpress.zoo.scenes import SIDE, make_scenes
from compress.conversion.exporting import export_network
from compress.network import Network

#: Scenes that ranges are measured on, and held-out scenes that the record's precision is from.
CALIBRATION, HELD_OUT = 512, 1000
HELD_OUT_SEED = 1


def converted(module: nn.Module) -> Network:
    """The frozen network with a record of how it was made."""
    network = export_network(module, (1, SIDE, SIDE), make_scenes(CALIBRATION, seed=0).images.astype(np.float64))
    held_out = make_scenes(HELD_OUT, seed=HELD_OUT_SEED, held_out=True)
    found = found_in(network, held_out)
    kept = [cp.greedy_nms(one.boxes, one.scores, one.classes, overlap=GREEDY_OVERLAP) for one in found]
    precision = precision_of(found, kept, held_out)
    about = {
        "name": NAME,
        "command": DETECTORS[NAME].command,
        "epochs": EPOCHS,
        "held_out_scenes": HELD_OUT,
        **precision,
    }
    return replace(network, about={**network.about, "detector": about})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="where torch trains: cpu or cuda")
    parser.add_argument("--state", type=Path, help="convert this state dict in place of training")
    parser.add_argument("-o", "--output", type=Path, default=DETECTORS[NAME].folder)
    options = parser.parse_args()
    if options.state is None:
        module = train_detector(
            training_scenes(), device=options.device, progress=lambda loss, share: print(f"{share:.0%} {loss}")
        )
    else:
        module = digit_detector()
        module.load_state_dict(torch.load(options.state, weights_only=True))
        module.eval()
    network = converted(module)
    cp.save(network, options.output, force=True)
    print(network.about["detector"])


if __name__ == "__main__":
    main()
