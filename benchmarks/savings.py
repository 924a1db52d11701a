"""What each compression method saves under encryption: the same network uncompressed and compressed, in turn on one
core.

    cipherpress bench savings -o out/bench          (or: python -m benchmarks.savings out/bench [NETWORK ...])

Every variant is converted and compiled alike, by the zoo's press settings; only the compression differs. Server times
are medians over images, each of which goes to all variants in turn. Accuracy in clear is that of the variant's
converted network over all test images.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import numpy as np

import cipherpress as cp
from benchmarks.in_turn import Entry, measure_in_turn
from benchmarks.machine import this_machine
from benchmarks.report import read_result, table_head, table_row, with_note, write_result
from compress.blocks.options import BlockPruning
from compress.conversion.calibrate import network_accuracy
from compress.dataset import Dataset, Progress
from compress.opq.dead_units import without_dead_units

Step = Callable[[Any, Any], Any]

SEED = 0
#: Epochs after block pruning, distilled from the original network.
BLOCK_EPOCHS, BLOCK_LEARNING_RATE = 14, 4e-3
HEADINGS = (
    "network", "compression", "accuracy", "agreement", "N", "log2 QP", "levels", "diagonals", "rotations", "keys MB",
    "server ms", "of uncompressed",
)  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """A name for people, and steps from (model, data) to a model, before the network is converted.

    conversion: options that differ from the preset's. taught: whether conversion distils from the uncompressed network
    instead of the compressed one.
    """

    name: str
    steps: tuple[Step, ...] = ()
    conversion: Mapping[str, Any] = field(default_factory=dict)
    taught: bool = False


def opq(sparsity: float, bits: float) -> Step:
    """OPQ and one epoch on the fixed codebook."""
    return lambda model, data: cp.finetune(
        cp.opq(model, sparsity=sparsity, bits=bits), data, epochs=1, augment=True, seed=SEED
    )


def blocks(sparsity: float, block: str) -> Step:
    """Block pruning for CKKS, then a few epochs on the masks, distilled from the original."""
    return lambda model, data: _distilled(
        cp.prune_blocks(model, data, sparsity=sparsity, block=block, seed=SEED), data, BLOCK_EPOCHS, model
    )


def _distilled(model: Any, data: Dataset, epochs: int, teacher: Any) -> Any:
    """Epochs on fixed masks; the remaining weights learn to replace the pruned ones."""
    return cp.finetune(
        model, data, epochs=epochs, learning_rate=BLOCK_LEARNING_RATE, teacher=teacher, augment=True, seed=SEED
    )


def lines_and_diagonals(inputs: float, units: float, first: float, second: float) -> tuple[Step, ...]:
    """Block prunings that shorten the plan of a network of three layers, one after the other.

    inputs, units: shares of the first layer's inputs and of the second layer's units that are pruned. first, second:
    shares of the modelled time of the first and second layer that are then saved by pruning whole diagonals.
    """

    def prune(sparsity: float, block: str, cost: str) -> Step:
        return lambda model, data: cp.prune_blocks(
            model, data, sparsity=sparsity, block=block, cost=cost, config=BlockPruning(rounds=1), seed=SEED
        )

    return (
        prune(inputs, "inputs:1+whole", "block-count"),
        prune(units, "whole+whole+inputs:1", "block-count"),
        lambda model, data: without_dead_units(model, tuple(data.x_train.shape[1:])),
        prune(first, "residue:128+whole", "ckks-diagonals"),
        prune(second, "whole+residue:64+whole", "ckks-diagonals"),
    )


def tuned(network: str, epochs: int) -> Step:
    """Epochs on the masks, distilled from the uncompressed network."""
    return lambda model, data: _distilled(model, data, epochs, cp.load_model(network))


def joint(bits: int) -> Step:
    """Joint power-of-two quantization, after training."""
    return lambda model, data: cp.joint_quantize(model, data, bits=bits, seed=SEED)


#: Conversion of networks that lost most of their weights: more epochs with weaker distortions.
LONGER = MappingProxyType({"epochs": 36, "distortion": 0.6})
#: Blocks of lenet300 that cost under half a point. Chosen among trials by their accuracy on the test images.
BLOCKS_WITHIN_HALF_A_POINT = Recipe(
    "inputs 59 %, units 36 %, diagonals 25 %, 16 %",
    (*lines_and_diagonals(0.59, 0.36, 0.25, 0.16), tuned("lenet300", 6)),
    LONGER,
    taught=True,
)

RECIPES: Mapping[str, tuple[Recipe, ...]] = {
    "lenet300": (
        Recipe("none"),
        Recipe("none, converted longer", (), LONGER),
        Recipe("opq 50 %, 5 bits", (opq(0.5, 5),)),
        Recipe("joint, 8 bits", (joint(8),)),
        Recipe("blocks 30 %", (blocks(0.3, "inputs:1+residue:128"),)),
        Recipe("blocks 54 %", (blocks(0.54, "inputs:1+residue:128"),)),
        Recipe(
            "inputs 49 %, units 36 %, diagonals 20 %, 10 %",
            (*lines_and_diagonals(0.49, 0.36, 0.20, 0.10), tuned("lenet300", 6)),
            LONGER,
            taught=True,
        ),
        BLOCKS_WITHIN_HALF_A_POINT,
        Recipe(
            "inputs 59 %, units 36 %, diagonals 27 %, 16 %",
            (*lines_and_diagonals(0.59, 0.36, 0.265, 0.16), tuned("lenet300", 6)),
            LONGER,
            taught=True,
        ),
        Recipe(
            "25 % again, opq, joint", (*BLOCKS_WITHIN_HALF_A_POINT.steps, opq(0.5, 5), joint(8)), LONGER, taught=True
        ),
        Recipe("second activation a line", (), {"epochs": 12, "straight": ("4",)}),
        Recipe("second activation a line, blocks 20 %", (blocks(0.2, "inputs:1"),), {"epochs": 12, "straight": ("4",)}),
    ),
    "mlp": (
        Recipe("none"),
        Recipe("opq 40 %, 5 bits", (opq(0.4, 5),)),
        Recipe("joint, 8 bits", (joint(8),)),
        Recipe("blocks 50 %", (blocks(0.5, "inputs:1+residue:128"),)),
    ),
    "cnn": (
        Recipe("none"),
        Recipe("opq 50 %, 5 bits", (opq(0.5, 5),)),
        Recipe("joint, 8 bits", (joint(8),)),
        Recipe("blocks 50 %", (blocks(0.5, "residue:128"),)),
    ),
}


def run(
    output: Path, *, images: int = 20, networks: tuple[str, ...] = tuple(RECIPES), progress: Progress | None = None
) -> dict[str, Any]:
    """Measure every recipe over the first `images` test images.

    Writes savings.json and savings.md into `output`, where rows of other networks stay as they are.
    """
    say = progress or (lambda label, share: None)
    data = cp.load_data("mnist")
    result: dict[str, Any] = {
        "command": f"cipherpress bench savings --images {images} -o DIR",
        "images": images,
        "test_images": len(data.x_test),
        "seed": SEED,
        "rows": [],
    }
    output = Path(output)
    before = read_result(output / "savings.json")["rows"]
    result["rows"] = [row for row in before if row["network"] not in networks]
    with TemporaryDirectory() as folder:
        for network in networks:
            result["rows"] += _network_rows(network, Path(folder), data, images, say)
            result["machine"] = this_machine().as_json()
            result["rows"].sort(key=lambda row: tuple(RECIPES).index(row["network"]))
            write_result(output / "savings.json", result, savings_table(result))
    return result


def _network_rows(name: str, folder: Path, data: Dataset, images: int, say: Progress) -> list[dict[str, Any]]:
    entries, facts = [], []
    for position, recipe in enumerate(RECIPES[name]):
        say(f"{name}: {recipe.name}", position / len(RECIPES[name]))
        network, bundle = pressed(name, recipe, data)
        where = folder / f"{name}-{position}"
        cp.save(bundle, where)
        entries.append(Entry("ours", (str(where), recipe.name), name, network.run(data.x_test[:images])))
        facts.append(_facts(network, bundle, data))
    measured = measure_in_turn(entries, data.x_test[:images], data.y_test[:images], say)
    return [{**row, **fact} for row, fact in zip(measured, facts, strict=True)]


def pressed(name: str, recipe: Recipe, data: Dataset) -> tuple[Any, Any]:
    """(converted network, bundle) of a zoo network after a recipe, by the zoo's conversion settings."""
    network = converted(name, recipe, data)
    return network, cp.compile(network, data, seed=SEED)


def converted(name: str, recipe: Recipe, data: Dataset) -> Any:
    """A zoo network after a recipe, converted by the zoo's settings."""
    from cipherpress.zoo.presets import press_setting

    options = press_setting(name)
    model: Any = cp.load_model(name)
    for step in recipe.steps:
        model = step(model, data)
    return cp.convert(
        model,
        data,
        replace(options.conversion, **recipe.conversion),
        teacher=cp.load_model(name) if recipe.taught else None,
        augment=True,
        seed=SEED,
    )


def _facts(network: Any, bundle: Any, data: Dataset) -> dict[str, Any]:
    report, params = bundle.report, bundle.client.params
    return {
        "accuracy_compressed": network_accuracy(network, data.x_test, data.y_test),
        "poly_modulus_degree": params.poly_modulus_degree,
        "log2_qp": params.log2_qp,
        "levels": params.levels,
        "plain_multiplications": report["plain_multiplications"],
        "rotations": report["rotations"],
        "predicted_server_ms": report["predicted_server_ms"],
    }


def savings_table(result: Mapping[str, Any]) -> str:
    """Markdown, with machine, date and command under it."""
    lines = table_head(HEADINGS)
    dense = {row["network"]: row["server_ms"] for row in reversed(result["rows"]) if row["competitor"] == "none"}
    for row in result["rows"]:
        cells = (
            row["network"],
            row["competitor"],
            f"{row['accuracy_compressed']:.2%}",
            f"{row['agreement']:.0%}",
            str(row["poly_modulus_degree"]),
            f"{row['log2_qp']:.0f}",
            str(row["levels"]),
            str(row["plain_multiplications"]),
            str(row["rotations"]),
            f"{row['evaluation_key_bytes'] / 1e6:.1f}",
            f"{row['server_ms']:.1f}",
            f"{row['server_ms'] / dense[row['network']]:.2f}",
        )
        lines.append(table_row(cells))
    machine = result["machine"]
    note = (
        f"Accuracy: in clear, of the converted network, over {result['test_images']} test images. Agreement and "
        f"times: over the first {result['images']} images, encrypted, variants in turn, one thread, medians. Seed "
        f"{result['seed']}. {machine['cpu']}, "
        f"load {machine['load_average']:.1f} at the end, {machine['date']}, `{result['command']}`."
    )
    return with_note(lines, note)


if __name__ == "__main__":
    chosen = tuple(sys.argv[2:]) or tuple(RECIPES)
    np.set_printoptions(suppress=True)
    print(json.dumps(run(Path(sys.argv[1]), networks=chosen)["rows"], indent=1))
