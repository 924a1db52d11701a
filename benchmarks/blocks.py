"""Block pruning's accuracy: allocations and power terms at equal modelled cost, families, and the largest removal.

    python -m benchmarks.blocks lenet300 mnist --part allocation
    python -m benchmarks.blocks lenet300 mnist --part families
    python -m benchmarks.blocks lenet300 mnist --part removal
    python -m benchmarks.blocks vit-fashion fashion-mnist --part allocation --data-dir FOLDER
    python -m benchmarks.blocks vit-fashion fashion-mnist --part removal --data-dir FOLDER
    python -m benchmarks.blocks vit mnist --part packing

packing: families at equal multiplications, with the diagonals and rotations of every projection that are left on
ciphertexts.

Every row is written as soon as it is measured. Rows that exist are not measured again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

import cipherpress as cp
from benchmarks.machine import this_machine
from benchmarks.report import has_row, read_result, table_head, write_result
from compress.blocks.cost import CkksDiagonals, LayerPlace
from compress.blocks.options import BlockPruning
from compress.blocks.places import layer_places
from compress.blocks.prune import block_table, prune_blocks
from compress.dataset import Dataset
from compress.errors import BudgetError
from compress.training.finetune import finetune
from compress.training.loop import accuracy

RESULT = Path(__file__).parent / "results" / "blocks.json"
SEEDS = (0, 1, 2)
HEADINGS = (
    "allocation", "blocks", "cost model", "share asked", "rounds", "post-training %", "fine-tuned %", "epochs",
    "modelled time left", "multiplications left", "seeds",
)  # fmt: skip
#: What `prune_blocks` does unless told otherwise.
ROUNDS = 3
FINETUNE = {"epochs": 1, "learning_rate": 4e-3}
LONG_FINETUNE = {"epochs": 20, "learning_rate": 4e-3}
MIDDLE_FINETUNE = {"epochs": 14, "learning_rate": 4e-3}
TRANSFORMER_FINETUNE = {"epochs": 4, "learning_rate": 2e-3}

#: Allocations and power terms that are compared at equal modelled cost. The released code has a power weight of 1.
VARIANTS: Mapping[str, dict[str, Any]] = {
    "hardware-aware": {"allocation": "hardware-aware"},
    "uniform": {"allocation": "uniform"},
    "global-magnitude": {"allocation": "global-magnitude"},
    "hardware-aware, power corrected": {"power_term": "corrected", "power_weight": 1.0},
    "hardware-aware, power released": {"power_term": "released", "power_weight": 1.0},
    "uniform share of time": {"allocation": "uniform-time"},
    "hardware-aware, Taylor curves": {"curves": "taylor"},
}
#: Families at equal modelled cost on ciphertexts.
FAMILIES = ("residue:128", "band:8", "tile:8x8", "inputs:1+residue:128", "inputs:4", "outputs:4")
#: Families that packing is compared for: blocks of 64 weights of a 64 x 64 projection, then of 512.
PACKED_FAMILIES = ("tile:8x8", "residue:64", "tile:16x32", "band:8", "residue:8")
PACKED_SHARES = (0.5, 0.75, 0.9)
#: Slots of a ciphertext at N = 8192.
SLOTS = 4096


def jobs(network: str, part: str) -> Iterator[dict[str, Any]]:
    """What a part measures, as options of `prune_blocks` under a name, with the fine-tuning that follows."""
    if part == "allocation":
        options = {"cost": "ckks-diagonals", "block": "residue:128", "sparsity": 0.4}
        if network != "lenet300":
            options = {"cost": "plain-blocks", "block": "tile:8x8", "sparsity": 0.5}
        for name, variant in VARIANTS.items():
            for seed in SEEDS:
                tuning = FINETUNE if network == "lenet300" else None
                yield _job(name, seed, tuning, {"rounds": 1, "images": 1024, **options, **variant})
    elif part == "families":
        for block in FAMILIES:
            yield _job("hardware-aware", 0, None, {"cost": "ckks-diagonals", "block": block, "sparsity": 0.4})
    elif part == "packing":
        for share in PACKED_SHARES:
            for block in PACKED_FAMILIES:
                options = {"cost": "plain-blocks", "block": block, "sparsity": share, "rounds": 1, "images": 1024}
                yield _job("hardware-aware", 0, None, options)
    elif network == "lenet300":
        for share in (0.5, 0.75, 0.875):
            options = {"cost": "block-count", "block": "residue:128", "sparsity": share, "slots": 4096}
            yield _job("share of the classes", 0, LONG_FINETUNE, {"rounds": 1, "images": 1024, **options})
        for share in (0.3, 0.4):
            options = {"cost": "ckks-diagonals", "block": "residue:128", "sparsity": share}
            yield _job("share of the time", 0, LONG_FINETUNE, {"rounds": 1, "images": 1024, **options})
        for block, share in (("residue:128", 0.5), ("inputs:1+residue:128", 0.5)):
            options = {"cost": "ckks-diagonals", "block": block, "sparsity": share}
            yield _job("share of the time", 0, MIDDLE_FINETUNE, options)
    else:
        for block in ("tile:8x8", "tile:4x4"):
            options = {"cost": "plain-blocks", "block": block, "sparsity": 0.5, "images": 4096}
            yield _job("hardware-aware", 0, TRANSFORMER_FINETUNE, options)
        options = {"cost": "plain-blocks", "block": "tile:2x2", "sparsity": 0.5, "images": 4096}
        yield _job("hardware-aware", 0, None, options)


def _job(name: str, seed: int, tuning: Mapping[str, Any] | None, options: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "seed": seed, "finetune": tuning, "options": dict(options)}


def measure(model: Any, data: Dataset, job: dict[str, Any]) -> dict[str, Any]:
    """One row: accuracy on all test images after pruning and after fine-tuning, and what every layer keeps."""
    started = time.monotonic()
    try:
        named = {name: job["options"][name] for name in ("sparsity", "block", "cost")}
        rest = BlockPruning(**{name: value for name, value in job["options"].items() if name not in named})
        small = prune_blocks(model, data, **named, config=rest, seed=job["seed"])
    except BudgetError as error:
        return {"refused": str(error)}
    pruned_s = time.monotonic() - started
    step = small.history[-1]
    tuned = None
    if job["finetune"]:
        tuned = finetune(small, data, seed=job["seed"], teacher=model, augment=data.name == "mnist", **job["finetune"])
    return {
        "post_training": accuracy(small.module, data.x_test, data.y_test),
        "fine_tuned": accuracy(tuned.module, data.x_test, data.y_test) if tuned else None,
        "time_share": step["cost_pruned"] / step["cost_dense"],
        "kept": {row["layer"]: f"{row['kept']}/{row['blocks']}" for row in block_table(small)},
        "macs_share": _macs_share(small, layer_places(model, data.x_test)),
        "packing": packing(small, layer_places(model, data.x_test)),
        "prune_s": pruned_s,
        "seconds": time.monotonic() - started,
    }


def run(network: str, data_name: str, part: str, output: Path = RESULT, data_dir: Path | None = None) -> None:
    """Measure what is missing of a part, then write the table."""
    torch.set_num_threads(1)
    data = cp.load_data(data_name, data_dir)
    model = cp.load_model(network)
    plain = accuracy(model, data.x_test, data.y_test)
    for job in jobs(network, part):
        key = {"network": network, "data": data_name, "part": part, **job}
        if has_row(read_result(output), key):
            continue
        row = {**key, "accuracy_plain": plain, "images": len(data.x_test), **measure(model, data, job)}
        rows = [*read_result(output)["rows"], row]  # another part may have been measured meanwhile
        result = {"machine": this_machine().as_json(), "rows": rows}
        write_result(output, result, tables(result))
        print(json.dumps(row), flush=True)


def tables(result: Mapping[str, Any]) -> str:
    """Mean over seeds of every job, one table per network and part."""
    groups: dict[tuple[str, ...], dict[str, list[dict[str, Any]]]] = {}
    for row in result["rows"]:
        options = row["options"]
        name = f"{row['name']} | {options['block']} | {options['cost']} | {options['sparsity']:.3g}"
        name += f" | {options.get('rounds', ROUNDS)}"
        groups.setdefault((row["network"], row["data"], row["part"]), {}).setdefault(name, []).append(row)
    lines = ["# Block pruning: accuracy", ""]
    for (network, data, part), named in groups.items():
        plain = next(iter(named.values()))[0]["accuracy_plain"]
        lines += [f"## {network} on {data}, {part}: {plain:.2%} before", ""]
        if part == "packing":
            lines += [*packing_table([row for same in named.values() for row in same]), ""]
            continue
        lines += table_head(HEADINGS)
        for name, same in named.items():
            if "refused" in same[0]:
                lines.append(f"| {name} | refused: sparser than the layers allow | | | | | {len(same)} |")
                continue
            post = [row["post_training"] for row in same]
            tuned = [row["fine_tuned"] for row in same if row["fine_tuned"] is not None]
            time_share, macs = (statistics.mean(row[key] for row in same) for key in ("time_share", "macs_share"))
            lines.append(
                f"| {name} | {_spread(post)} | {_spread(tuned) if tuned else '-'} | "
                f"{(same[0]['finetune'] or {}).get('epochs', '-')} | {time_share:.3f} | "
                f"{macs:.3f} | {len(same)} |"
            )
        lines.append("")
    machine = result["machine"]
    lines.append(
        f"All {result['rows'][0]['images']} test images; means over seeds with the lowest and highest in brackets. "
        "Share asked: of the cost model's time that is saved. Epochs: of fine-tuning, distilled from the network "
        "before pruning; the dense network had no such extra training. Times are modelled, not measured. "
        f"{machine['cpu']}, Python {machine['python']}, torch {machine['packages']['torch']}, {machine['date']}. "
        "Commands: `python -m benchmarks.blocks NETWORK DATA --part PART`."
    )
    return "\n".join(lines) + "\n"


def _spread(values: list[float]) -> str:
    mean = f"{100 * statistics.mean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ({100 * min(values):.2f}-{100 * max(values):.2f})"


def _macs_share(small: Any, places: list[LayerPlace]) -> float:
    masks = small.masks()
    dense = sum(place.positions * masks[place.name].size for place in places)
    return float(sum(place.positions * int(masks[place.name].sum()) for place in places) / dense)


def packing(small: Any, places: list[LayerPlace]) -> dict[str, dict[str, int]]:
    """Layer -> diagonals with a weight (products) and rotations by baby and giant steps, dense and as pruned."""
    masks, found = small.masks(), {}
    for place in places:
        mask = masks[place.name].ravel()
        single = np.arange(mask.size, dtype=np.int32).reshape(place.shape)  # every weight a block of its own
        cost = CkksDiagonals(slots=SLOTS).of_layer(place, single)
        (dense_rotations, dense), (rotations, left) = cost.operations(np.ones_like(mask)), cost.operations(mask)
        found[place.name] = {
            "diagonals_dense": dense, "diagonals": left, "rotations_dense": dense_rotations, "rotations": rotations,
        }  # fmt: skip
    return found


def packing_table(rows: list[dict[str, Any]]) -> list[str]:
    """Markdown by family: the diagonals and rotations that are left of the dense network's, and the accuracy."""
    lines = table_head(
        ("blocks", "multiplications left", "diagonals left", "rotations left", "layers with a diagonal less",
         "post-training %")
    )  # fmt: skip
    for row in rows:
        block, share = row["options"]["block"], row["options"]["sparsity"]
        if "refused" in row:
            lines.append(f"| {block} | {1 - share:.2f} asked: coarser than the layers allow | | | | |")
            continue
        layers = row["packing"].values()
        total = {key: sum(layer[key] for layer in layers) for key in next(iter(layers))}
        fewer = sum(layer["diagonals"] < layer["diagonals_dense"] for layer in layers)
        lines.append(
            f"| {block} | {row['macs_share']:.3f} | {total['diagonals']} of {total['diagonals_dense']} | "
            f"{total['rotations']} of {total['rotations_dense']} | {fewer} of {len(layers)} | "
            f"{100 * row['post_training']:.2f} |"
        )
    return lines


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network")
    parser.add_argument("data")
    parser.add_argument("--part", choices=("allocation", "families", "removal", "packing"), required=True)
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--data-dir", type=Path)
    arguments = parser.parse_args()
    run(arguments.network, arguments.data, arguments.part, arguments.output, arguments.data_dir)


if __name__ == "__main__":
    main()
