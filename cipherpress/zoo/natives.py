"""The networks made for one ciphertext, with the commands that made them, and all that ship converted.

Loads no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cipherpress.zoo.deep_networks import DEEP, DeepEntry
from cipherpress.zoo.deep_networks import FOLDER as DEEP_FOLDER
from compress.errors import ModelError
from compress.network import Conv, Dense, Network
from compress.network_file import load_network as read_network

FOLDER = Path(__file__).parent / "native"


@dataclass(frozen=True)
class NativeEntry:
    """A shipped network: what it is for, and the options of `cipherpress convert` that made it. `native-fast` was
    trained on a processor, `native-99` on a GPU, where the same command gives other weights."""

    name: str
    task: str
    options: str

    @property
    def command(self) -> str:
        """The command whose output is the shipped folder, on the same machine and versions."""
        return f"cipherpress convert {self.options} -o out/{self.name}"


_DIGITS = "handwritten digits (MNIST)"
NATIVES: Mapping[str, NativeEntry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            NativeEntry(
                "native-fast",
                _DIGITS,
                "cnn --data mnist --native --native-hidden 96 --native-bits 8 --native-epochs 80 --native-copies 16 "
                "--native-label-smoothing 0 --native-learn-from labels",
            ),
            NativeEntry(
                "native-99",
                _DIGITS,
                "cnn --data mnist --native --native-hidden 128 --native-hidden 64 --native-bits 8 --native-epochs 80 "
                "--native-noise 0.2 --native-copies 16 --native-learn-from labels",
            ),
        )
    }
)


#: Everything that ships converted.
CONVERTED: Mapping[str, NativeEntry | DeepEntry] = MappingProxyType({**NATIVES, **DEEP})


def load_network(name: str) -> Network:
    """The converted network of a zoo name.

    Raises: ModelError for any other name.
    """
    if name not in CONVERTED:
        raise ModelError(
            f"network '{name}': no converted network of the zoo; there are {', '.join(CONVERTED)}; `load` reads folders"
        )
    return read_network((FOLDER if name in NATIVES else DEEP_FOLDER) / name)


def describe_converted() -> list[dict[str, Any]]:
    """One row per network, as `cipherpress models` shows them."""
    rows = []
    for entry in CONVERTED.values():
        network = load_network(entry.name)
        layers = [node for node in network.nodes if isinstance(node, (Conv, Dense))]
        rows.append(
            {
                "name": entry.name,
                "task": f"{entry.task}, converted",
                "input_shape": list(network.input_shape),
                "parameters": sum(layer.weights.codes.size + layer.bias.size for layer in layers),
                "accuracy_plain": network.about["accuracy_after"],
                "images": network.about["test_images"],
            }
        )
    return rows
