"""The reference networks, and the recipes that made their weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import nn

from cipherpress.zoo.residual import resnet9, resnet20
from cipherpress.zoo.transformers import DEIT_B, DEIT_S, deit_b, deit_s, vit
from compress.errors import ModelError

WEIGHTS = Path(__file__).parent / "weights"
MANIFEST = WEIGHTS / "weights.json"


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: one-cycle AdamW on cross-entropy with label smoothing.

    augment: change training images at random, as `images` ("handwriting" or "pictures") needs it.
    """

    epochs: int
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    batch_size: int = 128
    label_smoothing: float = 0.02
    augment: bool = True
    images: str = "handwriting"


@dataclass(frozen=True)
class ZooEntry:
    """A reference network: a factory without arguments, its task, input shape (without batch), recipe and data set."""

    name: str
    task: str
    input_shape: tuple[int, ...]
    factory: Callable[[], nn.Module]
    recipe: Recipe
    data: str = "mnist"


def mlp() -> nn.Module:
    """784-64-10, one hidden layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))


def cnn() -> nn.Module:
    """One convolution (8 channels, 5x5, stride 2) and two dense layers: 8x12x12-64-10."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 12 * 12, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def lenet300() -> nn.Module:
    """LeNet-300-100: 784-300-100-10."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)
    )


def lenet5() -> nn.Module:
    """LeNet-5 with max pooling: two 5x5 convolutions, then 400-120-84-10."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


def lenet5_caffe() -> nn.Module:
    """Caffe's LeNet-5, which published compression rates refer to: 20 and 50 maps, 800-500-10, one ReLU."""
    return nn.Sequential(
        nn.Conv2d(1, 20, 5),
        nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(800, 500),
        nn.ReLU(),
        nn.Linear(500, 10),
    )


#: Attention needs more epochs with a smaller learning rate and more weight decay.
_ATTENTION = Recipe(epochs=24, learning_rate=2e-3, weight_decay=0.05)
_DIGITS = "handwritten digits (MNIST)"
_CLOTHES = "clothes (Fashion-MNIST)"
_PHOTOS = "photographs (random weights: for cost only)"
ZOO: Mapping[str, ZooEntry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            ZooEntry("mlp", _DIGITS, (1, 28, 28), mlp, Recipe(epochs=40)),
            ZooEntry("cnn", _DIGITS, (1, 28, 28), cnn, Recipe(epochs=20)),
            ZooEntry("lenet300", _DIGITS, (1, 28, 28), lenet300, Recipe(epochs=30)),
            ZooEntry("lenet5", _DIGITS, (1, 28, 28), lenet5, Recipe(epochs=15)),
            ZooEntry("lenet5-caffe", _DIGITS, (1, 28, 28), lenet5_caffe, Recipe(epochs=15)),
            ZooEntry("vit", _DIGITS, (1, 28, 28), vit, _ATTENTION),
            ZooEntry("vit-fashion", _CLOTHES, (1, 28, 28), vit, _ATTENTION, "fashion-mnist"),
        )
    }
)


#: Deep networks are trained with large batches, on a GPU where there is one.
_RESIDUAL = Recipe(epochs=60, learning_rate=4e-3, weight_decay=0.05, batch_size=512, images="pictures")
_PADDED = (1, 32, 32)
#: Networks with ReLU that ship without weights: the converted networks of the zoo were made from them.
TWINS: Mapping[str, ZooEntry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            ZooEntry("resnet20-relu", _CLOTHES, _PADDED, resnet20, _RESIDUAL, "fashion-mnist-32"),
            ZooEntry("resnet9-relu", _CLOTHES, _PADDED, resnet9, _RESIDUAL, "fashion-mnist-32"),
        )
    }
)


@dataclass(frozen=True)
class ShapeEntry:
    """A network without trained weights. It only shows what a network of its size costs and how fast it is."""

    name: str
    task: str
    input_shape: tuple[int, ...]
    factory: Callable[[], nn.Module]
    parameters: int


SHAPES: Mapping[str, ShapeEntry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            ShapeEntry("deit-s", _PHOTOS, (3, 224, 224), deit_s, DEIT_S.parameters),
            ShapeEntry("deit-b", _PHOTOS, (3, 224, 224), deit_b, DEIT_B.parameters),
        )
    }
)


@cache
def weights_manifest() -> Mapping[str, Any]:
    """weights.json: per network the accuracy on all test images, their number, the seed, the command and the file hash.

    Raises: ModelError when the installation lacks it.
    """
    try:
        return dict(json.loads(MANIFEST.read_text()))
    except (OSError, json.JSONDecodeError) as error:
        raise ModelError(
            f"{MANIFEST}: the list of trained weights is missing or damaged; reinstall cipherpress"
        ) from error


def describe_models() -> list[dict[str, Any]]:
    """One row per network, as `cipherpress models` shows them.

    For a network without weights accuracy_plain is None and images is 0; it is not built for this list.
    """
    rows = []
    for entry in ZOO.values():
        made = weights_manifest()[entry.name]
        parameters = sum(parameter.numel() for parameter in entry.factory().parameters())
        rows.append(_row(entry, parameters, made["accuracy_plain"], made["images"]))
    return rows + [_row(entry, entry.parameters, None, 0) for entry in SHAPES.values()]


def _row(entry: ZooEntry | ShapeEntry, parameters: int, accuracy_plain: float | None, images: int) -> dict[str, Any]:
    return {
        "name": entry.name,
        "task": entry.task,
        "input_shape": list(entry.input_shape),
        "parameters": parameters,
        "accuracy_plain": accuracy_plain,
        "images": images,
    }
