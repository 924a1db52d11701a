"""This project against TenSEAL's own public API: same machine, same images, one thread each, in turn.

    cipherpress bench peers -o out/bench          (or: python -m benchmarks.peers out/bench)

Every competitor lives in a child process pinned to one core, and images go round the competitors
(`benchmarks.in_turn`). Times are medians over all images, and ratios are of medians. Afterwards each of this project's
bundles alone classifies more images (`agreement` of `run`), which measures its agreement more finely. Accuracy in clear
is over all test images.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cipherpress as cp
from benchmarks.in_turn import Entry, measure_in_turn
from benchmarks.machine import this_machine
from benchmarks.report import write_result
from benchmarks.table import peers_table
from compress.completed_square import complete_square
from compress.dataset import Dataset, Progress
from compress.errors import ConfigError
from compress.network import Dense, Network, Polynomial
from secure.bundle.files import load_bundle
from secure.limits import ACCEPTABLE_DISAGREEMENT
from secure.verify.roundtrip import round_trip

LEAST_IMAGES = 20


#: Names of networks in the table.
SHOWN = {"lenet300": "lenet300, blocks pruned"}
#: Limits of the bundles that need other ones than the default. For mlp an agreement of 99 % is asked, which allows
#: twice the default disagreement. The tutorial's network shall name every class of a thousand
#: images as it does in clear.
LIMITS: Mapping[str, cp.Limits] = {
    "tutorial": cp.Limits(max_disagreement=1e-4),
    "mlp": cp.Limits(keys_bytes=2e6, upload_bytes=90e3, max_disagreement=5e-3),
}
#: This project's networks, made by the zoo's press settings or by a recipe of `benchmarks.savings`.
NETWORKS = ("mlp", "cnn", "lenet300", "lenet5")


def run(output: Path, *, images: int = 100, agreement: int = 1000, progress: Progress | None = None) -> dict[str, Any]:
    """Measure all competitors over the first `images` test images, and the agreement of our own over `agreement`
    images.

    Writes peers.json and peers.md into `output`.

    Raises: ConfigError for fewer than 20 images, whose median says little.
    """
    if images < LEAST_IMAGES:
        raise ConfigError("images", images, f"{LEAST_IMAGES} or more")
    say = progress or (lambda label, share: None)
    from cipherpress.zoo.datasets import load_data

    data = load_data("mnist")
    with TemporaryDirectory() as folder:
        say("prepare the networks", 0.0)
        entries = _entries(Path(folder), data, images)
        result = {
            "machine": this_machine().as_json(),
            "command": f"cipherpress bench peers --images {images} -o DIR",
            "images": images,
            "threads": 1,
            "limits": limits_by_network(),
            "default_max_disagreement": ACCEPTABLE_DISAGREEMENT,
            "rows": measure_in_turn(entries, data.x_test[:images], data.y_test[:images], say),
        }
        for entry, row in zip(entries, result["rows"], strict=True):
            row |= {"accuracy_compressed": entry.accuracy_compressed, "test_images": len(data.x_test)}
            if entry.kind == "ours":
                say(f"agreement of {entry.network}", 0.9)
                row |= _agreement(Path(entry.arguments[0]), data, agreement)
    output = Path(output)
    write_result(output / "peers.json", result, peers_table(result))
    return result


def limits_by_network() -> dict[str, dict[str, float]]:
    """What the plans of networks in the table had to keep to, where it is not the default."""
    default = cp.Limits()
    names = {"tutorial": "TenSEAL's tutorial"}
    return {
        names.get(name, name): {
            field: value for field, value in asdict(limits).items() if value != getattr(default, field)
        }
        for name, limits in LIMITS.items()
    }


def _entries(folder: Path, data: Dataset, images: int) -> list[Entry]:
    import torch

    from benchmarks.train_tutorial import WEIGHTS, tutorial_network
    from compress.conversion.calibrate import network_accuracy
    from compress.conversion.exporting import export_network

    torch.set_num_threads(1)
    tutorial = tutorial_network()
    from safetensors.torch import load_file

    tutorial.load_state_dict(load_file(WEIGHTS / "tutorial.safetensors"))
    test = data.x_test[:images]
    tutorial_net = export_network(tutorial.eval(), (1, 28, 28), data.calibration(512))
    cp.save(cp.compile(tutorial_net, data, LIMITS["tutorial"]), folder / "tutorial")
    tutorial_clear = tutorial_net.run(test)
    right = network_accuracy(tutorial_net, data.x_test, data.y_test)
    rows = [Entry("tenseal_tutorial", (), "TenSEAL's tutorial", tutorial_clear, right)]
    rows.append(Entry("ours", (str(folder / "tutorial"), "cipherpress"), "TenSEAL's tutorial", tutorial_clear, right))
    for name in NETWORKS:
        network = _converted(name, data)
        cp.save(cp.compile(network, data, LIMITS.get(name)), folder / name)
        clear, right = network.run(test), network_accuracy(network, data.x_test, data.y_test)
        if name == "mlp":
            np.savez(folder / "mlp.npz", **two_layers(network))
            rows.append(Entry("tenseal_mlp", (str(folder / "mlp.npz"),), "mlp", clear, right))
        rows.append(Entry("ours", (str(folder / name), "cipherpress"), SHOWN.get(name, name), clear, right))
    return rows


def _converted(name: str, data: Dataset) -> Network:
    """A zoo network compressed and converted by its preset; lenet300 with whole blocks pruned first."""
    from benchmarks.savings import BLOCKS_WITHIN_HALF_A_POINT, converted
    from cipherpress.zoo.presets import press_setting
    from compress.press.pressing import pressed

    if name == "lenet300":
        return converted(name, BLOCKS_WITHIN_HALF_A_POINT, data)
    return pressed(cp.load_model(name), data, press_setting(name))


def _agreement(bundle: Path, data: Dataset, images: int) -> dict[str, Any]:
    """One bundle alone, by the same round trip as `cipherpress infer`."""
    found = round_trip(load_bundle(bundle), data.x_test[:images], data.y_test[:images])
    return {
        "agreement_images": images,
        "agreement": found["agreement"],
        "accuracy_encrypted": found["accuracy_encrypted"],
        "accuracy_clear": found["accuracy_compressed"],
        "max_logit_error": found["max_logit_error"],
        "predicted_logit_error": found["predicted_logit_error"],
    }


def two_layers(network: Network) -> dict[str, NDArray[np.float64]]:
    """w1, b1, w2, b2 of a network Dense, Polynomial of degree 2, Dense, with the polynomial completed to a square.

    y = w2 (w1 x + b1)^2 + b2; the signs of the leading coefficients go into w2.
    """
    first, second = [node for node in network.nodes if isinstance(node, Dense)]
    polynomial = next(node for node in network.nodes if isinstance(node, Polynomial))
    square = complete_square(np.broadcast_to(polynomial.coefficients, (3, len(first.bias))))
    root = np.sqrt(np.abs(square.scale))
    w2 = second.weights.values()
    return {
        "w1": first.weights.values() * root[:, None],
        "b1": (first.bias + square.centre) * root,
        "w2": w2 * np.sign(square.scale),
        "b2": second.bias + w2 @ square.offset,
    }


if __name__ == "__main__":
    result = run(Path(sys.argv[1]), images=int(sys.argv[2]) if len(sys.argv) > 2 else 100)
    print(json.dumps(result["rows"], indent=1))
