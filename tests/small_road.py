"""A small user network and its data, taken through all commands from training to decryption."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner, Result

from cli import main

ROOT = Path(__file__).parents[1]

FACTORY = '''"""A network that cipherpress does not know."""

from torch import nn


def small() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 4))
'''


@dataclass(frozen=True)
class Road:
    """The artifacts of one small network, each made by its command; `results` holds each command's JSON output."""

    folder: Path
    results: dict[str, dict[str, Any]]

    @property
    def data(self) -> str:
        return str(self.folder / "data.npz")

    @property
    def factory(self) -> str:
        return f"{self.folder / 'own.py'}:small"

    def path(self, name: str) -> str:
        return str(self.folder / name)


def write_data(path: Path) -> None:
    """Four classes of noisy 8 x 8 pictures, each with one bright quarter: 320 to train, 80 to test."""
    rng = np.random.default_rng(5)
    labels = np.arange(400) % 4
    pictures = rng.uniform(0.0, 0.5, (400, 1, 8, 8)).astype(np.float32)
    for picture, label in zip(pictures, labels, strict=True):
        row, column = divmod(int(label), 2)
        picture[0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 0.4
    np.savez(path, x_train=pictures[:320], y_train=labels[:320], x_test=pictures[320:], y_test=labels[320:])


def call(*arguments: str | Path) -> Result:
    """Runs one command in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def call_json(*arguments: str | Path) -> dict[str, Any]:
    """Runs one command, which has to succeed and print exactly one JSON object on stdout."""
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    value = json.loads(result.stdout)
    assert isinstance(value, dict)
    assert result.stdout.count("\n") == 1
    return value


def process(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs Python in a process of its own, with the project importable."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd or ROOT, env=environment, capture_output=True, text=True, timeout=120)


def take_road(folder: Path) -> Road:
    """Runs train, compress, convert, compile, keygen, encrypt, run and decrypt, all as commands."""
    (folder / "own.py").write_text(FACTORY)
    road = Road(folder, {})
    write_data(folder / "data.npz")
    pictures = np.load(road.data)["x_test"]
    np.save(folder / "x.npy", pictures[0])
    data, model = ("--data", road.data), ("--model", road.factory)
    road.results["train"] = call_json(
        "train", road.factory, *data, "--epochs", 20, "--learning-rate", 0.02, "-o", folder / "plain"
    )
    compress = ("--sparsity", 0.5, "--bits", 5, "--epochs", 1, "--no-augment")
    convert = ("--epochs", 2, "--no-augment")
    small, bundle, keys = folder / "small", folder / "bundle", folder / "keys"
    secret, evaluation = keys / "secret.key", keys / "evaluation.key"
    for name, arguments in {
        "compress": (folder / "plain", *data, *model, *compress, "-o", small),
        "convert": (small, *data, *model, *convert, "-o", folder / "friendly"),
        "compile": (folder / "friendly", *data, "--max-error", 0.5, "-o", bundle),
        "keygen": (bundle, "-o", keys),
        "encrypt": (bundle, "--key", secret, "--input", folder / "x.npy", "-o", folder / "x.ct"),
        "run": (bundle, "--key", evaluation, "--input", folder / "x.ct", "-o", folder / "y.ct"),
        "decrypt": (bundle, "--key", secret, "--input", folder / "y.ct", "-o", folder / "y.npy"),
    }.items():
        road.results[name] = call_json(name, *arguments)
    return road
