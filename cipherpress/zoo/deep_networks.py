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
    """A shipped network. squarings: in a row. epochs: of its twin with ReLU, and of its conversion."""

    name: str
    task: str
    squarings: int
    epochs: tuple[int, int]
    data: str

    @property
    def commands(self) -> tuple[str, str]:
        """What trains the twin, and what converts it into the shipped folder; fast on a GPU alone."""
        trained, converted = self.epochs
        return (
            f"cipherpress train {self.name}-relu --data {self.data} --epochs {trained} -o out/{self.name}-relu",
            f"cipherpress convert out/{self.name}-relu --data {self.data} --images pictures --epochs {converted} "
            f"--batch-size 512 --fraction-bits 7 -o out/{self.name}",
        )


_CLOTHES, _DATA = "clothes (Fashion-MNIST, 32x32)", "fashion-mnist-32"
DEEP: Mapping[str, DeepEntry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            DeepEntry("resnet20", _CLOTHES, 19, (30, 30), _DATA),
            DeepEntry("resnet9", _CLOTHES, 7, (40, 50), _DATA),
        )
    }
)
