"""The digit detector as it ships: converted, with its grid and the selection that suits it. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cipherpress.detection.anchors import Anchors
from cipherpress.detection.grid import Grid
from cipherpress.zoo.scenes import SIDE
from compress.errors import ConfigError
from compress.network import Conv, Network
from compress.network_file import load_network

NAME = "digit-detector"


@dataclass(frozen=True)
class DetectorEntry:
    """A shipped detector: its name, what it is, and the command that made it."""

    name: str
    task: str
    command: str

    @property
    def folder(self) -> Path:
        """Where the converted network lies."""
        return Path(__file__).parent / self.name


#: The shipped detectors. All have the same grid.
DETECTORS: Mapping[str, DetectorEntry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            DetectorEntry(NAME, "digits in scenes", "python -m benchmarks.train_detector --device cuda"),
            DetectorEntry(
                "detector-compressed", "digits in scenes, compressed", "python -m benchmarks.compress_detector"
            ),
        )
    }
)
#: Anchors of 12, 18 and 27 pixels as squares and twice as high as wide, on cells of 8 pixels.
ANCHORS = Anchors(image=(SIDE, SIDE), areas=(12.0**2, 18.0**2, 27.0**2), ratios=(1.0, 2.0), stride=8.0)
GRID = Grid(ANCHORS, lines=8, columns=8, classes=10)
#: What each selection takes on this detector, chosen on scenes that no table is made from (benchmarks/detection.py).
PSRR_ANCHORS = replace(ANCHORS, stride=1.0, kernel=0.4)
PSRR_SHIFTS = "three"
GREEDY_OVERLAP = 0.5
MAXPOOL_ANCHORS = replace(ANCHORS, kernel=2.0)
MAXPOOL_POOLS = ("single", "cross-ratio", "cross-scale")
#: Of the selection that runs on ciphertexts too: 17 x 17 cells for boxes of all sizes and classes, windows of 2 x 2.
CELL_ANCHORS = Anchors(image=(SIDE, SIDE), areas=(16.0**2,), ratios=(1.0,), stride=4.0, kernel=0.5)


def entry_of(name: str) -> DetectorEntry:
    """The shipped detector of a name. Raises: ConfigError for a name that is none of DETECTORS."""
    if name not in DETECTORS:
        raise ConfigError("detector", name, ", ".join(DETECTORS))
    return DETECTORS[name]


def load_detector(name: str = NAME) -> Network:
    """A converted detector: (1, 64, 64) to the outputs of GRID. Raises: ConfigError for an unknown name."""
    return load_network(entry_of(name).folder)


def describe_detectors() -> list[dict[str, Any]]:
    """One row per detector, as `cipherpress models` shows them; ap50 is that of GreedyNMS on held-out scenes."""
    rows = []
    for entry in DETECTORS.values():
        network = load_detector(entry.name)
        layers = [node for node in network.nodes if isinstance(node, Conv)]
        record = network.about["detector"]
        rows.append(
            {
                "name": entry.name,
                "task": f"{entry.task}, converted",
                "input_shape": list(network.input_shape),
                "parameters": sum(layer.weights.codes.size + layer.bias.size for layer in layers),
                "nonzeros": sum(layer.weights.nonzeros for layer in layers),
                "ap50": record["ap50"],
                "images": record["held_out_scenes"],
            }
        )
    return rows
