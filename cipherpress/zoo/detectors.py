"""The digit detector as it ships: converted, with its grid and the selection that suits it. Loads no torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cipherpress.detection.anchors import Anchors
from cipherpress.detection.grid import Grid
from cipherpress.zoo.scenes import SIDE
from compress.network import Network
from compress.network_file import load_network

NAME = "digit-detector"
FOLDER = Path(__file__).parent / "digit-detector"
#: What made the shipped network.
COMMAND = "python -m benchmarks.train_detector --device cuda"
#: Anchors of 12, 18 and 27 pixels as squares and twice as high as wide, on cells of 8 pixels.
ANCHORS = Anchors(image=(SIDE, SIDE), areas=(12.0**2, 18.0**2, 27.0**2), ratios=(1.0, 2.0), stride=8.0)
GRID = Grid(ANCHORS, lines=8, columns=8, classes=10)
#: What each selection takes on this detector, chosen on scenes that no table is made from (benchmarks/detection.py).
PSRR_ANCHORS = replace(ANCHORS, stride=1.0, kernel=0.4)
PSRR_SHIFTS = "three"
GREEDY_OVERLAP = 0.5
MAXPOOL_ANCHORS = replace(ANCHORS, kernel=2.0)
MAXPOOL_POOLS = ("single", "cross-ratio", "cross-scale")


def load_detector() -> Network:
    """The converted detector: (1, 64, 64) to the outputs of GRID."""
    return load_network(FOLDER)
