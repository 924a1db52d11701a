"""Deep networks that ship converted: weights of few bits and plain squares, and the commands that made them.

Loads no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

FOLDER = Path(__file__).parent / "deep"


@dataclass(frozen=True)
class DeepEntry:
    """A shipped network. squarings: in a row. relu: the accuracy of its twin with ReLU, on the same test images.

    commands: what trained the twin and converted it into the shipped folder; fast on a GPU alone.
    """

    name: str
    task: str
    squarings: int
    relu: float
    commands: tuple[str, ...]


def _train(twin: str, epochs: int) -> str:
    return f"cipherpress train {twin} --data {DATA} --epochs {epochs} -o out/{twin}"


def _convert(name: str, epochs: int) -> str:
    return (
        f"cipherpress convert out/{name}-relu --data {DATA} --images pictures --epochs {epochs} --batch-size 512 "
        f"--fraction-bits 7 -o out/{name}"
    )


DATA = "fashion-mnist-32"
_CLOTHES = "clothes (Fashion-MNIST, 32x32)"
_PRUNING = "python -m benchmarks.pruned_resnet20 out/resnet20-relu DATA_DIR out/resnet20-pruned"
DEEP: Mapping[str, DeepEntry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            DeepEntry("resnet20", _CLOTHES, 19, 0.9486, (_train("resnet20-relu", 30), _convert("resnet20", 30))),
            DeepEntry("resnet20-pruned", _CLOTHES, 19, 0.9486, (_train("resnet20-relu", 30), _PRUNING)),
            DeepEntry("resnet9", _CLOTHES, 7, 0.9440, (_train("resnet9-relu", 40), _convert("resnet9", 50))),
        )
    }
)
