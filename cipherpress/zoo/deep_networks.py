"""Deep networks that ship converted: weights of few bits and squares, and the commands that made them.

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
    """A shipped network. squarings: squares and products of two values in a row. twin: the accuracy of the network that
    it was made from, with ReLU or softmax, on the same test images. data: what both were trained on.

    commands: what trained the twin and converted it into the shipped folder; fast on a GPU alone.
    """

    name: str
    task: str
    squarings: int
    twin: float
    data: str
    commands: tuple[str, ...]


def _train(twin: str, epochs: int) -> str:
    return f"cipherpress train {twin} --data {DATA} --epochs {epochs} -o out/{twin}"


def _convert(model: str, name: str, data: str, epochs: int, fraction_bits: int) -> str:
    return (
        f"cipherpress convert {model} --data {data} --images pictures --epochs {epochs} --batch-size 512 "
        f"--fraction-bits {fraction_bits} -o out/{name}"
    )


def _convert_twin(name: str, epochs: int) -> str:
    return _convert(f"out/{name}-relu", name, DATA, epochs, 7)


DATA = "fashion-mnist-32"
TOKENS_DATA = "fashion-mnist"
_CLOTHES = "clothes (Fashion-MNIST, 32x32)"
_PRUNING = "python -m benchmarks.pruned_resnet20 out/resnet20-relu DATA_DIR out/resnet20-pruned"
_TRANSFORMER = _convert("vit-fashion", "vit-quadratic", TOKENS_DATA, 60, 8)
_TRANSFORMER_PRUNING = "python -m benchmarks.pruned_vit DATA_DIR out/vit-quadratic-pruned"


def _residual(name: str, squarings: int, twin: float, *commands: str) -> DeepEntry:
    return DeepEntry(name, _CLOTHES, squarings, twin, DATA, commands)


def _transformer(name: str, squarings: int, command: str) -> DeepEntry:
    return DeepEntry(name, "clothes (Fashion-MNIST)", squarings, 0.9043, TOKENS_DATA, (command,))


DEEP: Mapping[str, DeepEntry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            _residual("resnet20", 19, 0.9486, _train("resnet20-relu", 30), _convert_twin("resnet20", 30)),
            _residual("resnet20-pruned", 9, 0.9513, _train("resnet20-relu", 30), _PRUNING),
            _residual("resnet9", 7, 0.9440, _train("resnet9-relu", 40), _convert_twin("resnet9", 50)),
            _transformer("vit-quadratic", 9, _TRANSFORMER),
            _transformer("vit-quadratic-pruned", 5, _TRANSFORMER_PRUNING),
        )
    }
)
