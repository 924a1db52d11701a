"""Weights of the network in TenSEAL's MNIST tutorial: conv 1->4 (7x7, stride 3), square, 256-64, square, 64-10.

python -m benchmarks.train_tutorial
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from cipherpress.zoo.datasets import load_data
from compress.training.loop import accuracy, fit_
from compress.training.schedule import Schedule

WEIGHTS = Path(__file__).parent / "weights"
SEED, EPOCHS, LEARNING_RATE = 0, 10, 3e-3


class Square(nn.Module):
    """x * x."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x


def tutorial_network() -> nn.Module:
    """The torch module, input (1, 28, 28)."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 7, stride=3),
        Square(),
        nn.Flatten(),
        nn.Linear(256, 64),
        Square(),
        nn.Linear(64, 10),
    )


def main() -> None:
    data = load_data("mnist")
    torch.manual_seed(SEED)
    module = tutorial_network()
    loss = nn.CrossEntropyLoss()
    fit_(
        module,
        torch.from_numpy(data.x_train),
        torch.from_numpy(data.y_train),
        Schedule(epochs=EPOCHS, learning_rate=LEARNING_RATE, gradient_clip=1.0),
        loss=lambda outputs, targets, _: loss(outputs, targets),
        seed=SEED,
    )
    found = accuracy(module, data.x_test, data.y_test)
    WEIGHTS.mkdir(exist_ok=True)
    save_file(module.state_dict(), WEIGHTS / "tutorial.safetensors")
    record = {"accuracy_plain": found, "images": len(data.x_test), "seed": SEED, "epochs": EPOCHS}
    (WEIGHTS / "tutorial.json").write_text(
        json.dumps({**record, "command": "python -m benchmarks.train_tutorial"}, indent=1) + "\n"
    )
    print(f"accuracy {found:.4f}")


if __name__ == "__main__":
    main()
