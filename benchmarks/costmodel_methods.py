"""What each compression method saves, in clear and encrypted, on every kind of machine: zoo networks, dense and
compressed.

    cipherpress bench methods -o out/bench          (or: python -m benchmarks.costmodel_methods out/bench [NETWORK ...])

The zoo's transformer has no encrypted form, because its norms and softmax need divisions, so its rows are in clear.
`vit-fashion` is the same network with other weights, for data that is not shipped.

Only costs are measured here. Masks and codebooks are those that the method sets before any fine-tuning, and polynomials
are fitted, not tuned; savings.py and compression.py measure accuracy. A method without effect on a plan costs as much
as the dense network.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cipherpress as cp
from benchmarks.machine import this_machine
from benchmarks.report import table_head, table_row, with_note, write_result
from cipherpress.zoo.transformers import COMPACT, TransformerShape
from compress.conversion.exporting import layer_weights
from compress.conversion.options import Conversion
from compress.dataset import Dataset, Progress
from compress.errors import CipherpressError, CostModelError
from compress.model.compressed import CompressedModel, prunable_layers
from hwmodel.architecture import ENCRYPTED, PLAIN
from hwmodel.architecture_file import load_architecture
from hwmodel.counts import LayerWork, PlainWorkload, with_weights
from hwmodel.report import Work
from hwmodel.shapes import vision_transformer
from hwmodel.variants import VariantTable, compare_variants

NETWORKS = ("mlp", "cnn", "lenet300", "lenet5", "lenet5-caffe")
#: Networks that run in clear only, and their shapes.
TRANSFORMERS = {"vit": COMPACT}
PRICED = (*NETWORKS, *TRANSFORMERS)
MACHINES = ("cpu-engine", "cpu-seal", "eyeriss", "tpu-v1", "eie", "a100", "a100-ckks", "sharp")
SEED = 0
#: Largest error of an output as a share of the largest output. Changed answers would say little before tuning.
ALLOWED_ERROR = 0.05
#: Settings are the same for every network, so that methods can be compared: the share pruned, and bits of the rest.
METHODS: Mapping[str, Callable[[Any, Any], Any]] = {
    "dense": lambda model, data: model,
    "opq 80 %, 4 bits": lambda model, data: cp.opq(model, sparsity=0.8, bits=4),
    "blocks 50 % for ciphertexts": lambda model, data: cp.prune_blocks(
        model, data, sparsity=0.5, block="residue:128", seed=SEED
    ),
    "joint, 8 bits": lambda model, data: cp.joint_quantize(model, data, bits=8, seed=SEED),
}


def run(
    output: Path, *, images: int = 0, networks: Sequence[str] = PRICED, progress: Progress | None = None
) -> dict[str, Any]:
    """Price every network and method and write methods.json and methods.md into `output`. No image is run."""
    say = progress or (lambda label, share: None)
    data = cp.load_data("mnist")
    output = Path(output)
    result: dict[str, Any] = {
        "command": "cipherpress bench methods -o DIR",
        "machine": this_machine().as_json(),
        "seed": SEED,
        "rows": [],
    }
    for position, name in enumerate(networks):
        subjects, notes = {}, {}
        for method in METHODS:
            say(f"{name}: {method}", position / len(networks))
            subject = _in_clear if name in TRANSFORMERS else _subject
            subjects[method], notes[method] = subject(name, method, data)
        machines = [one for one in MACHINES if name not in TRANSFORMERS or PLAIN in load_architecture(one).modes]
        result["rows"] += _rows(name, compare_variants(subjects, machines), notes)
        write_result(output / "methods.json", result, methods_table(result))
    return result


def _subject(name: str, method: str, data: Dataset) -> tuple[Sequence[Work], dict[str, Any]]:
    """(work in clear and encrypted, facts) of a network after a method."""
    network = cp.convert(METHODS[method](cp.load_model(name), data), data, Conversion(epochs=0), seed=SEED)
    try:
        largest = float(abs(network.run(data.calibration(64))).max())
        plan = cp.compile(network, data, cp.Limits(max_error=ALLOWED_ERROR * largest), seed=SEED).server.plan
    except CipherpressError as error:
        raise CipherpressError(f"{name}, {method}: {error}") from error
    params = plan.params
    return (network, plan), {"poly_modulus_degree": params.poly_modulus_degree, "levels": params.levels}


def _in_clear(name: str, method: str, data: Dataset) -> tuple[Sequence[Work], dict[str, Any]]:
    """Work in clear of a transformer after a method: its shape, and the weights that the method leaves.

    Raises: CostModelError for layers that the shape does not have, or the network does not.
    """
    model = METHODS[method](cp.load_model(name), data)
    module = model.module if isinstance(model, CompressedModel) else model
    weights = {layer: layer_weights(own) for layer, own in prunable_layers(module)}
    shape = transformer_shape(TRANSFORMERS[name])
    if {work.layer for work in shape if work.weights} != set(weights):
        raise CostModelError(f"network '{name}' has other layers than its shape: {', '.join(weights)}")
    counted = (with_weights(work, weights[work.layer]) if work.weights else work for work in shape)
    return (PlainWorkload(tuple(counted)),), {}


def transformer_shape(sizes: TransformerShape) -> tuple[LayerWork, ...]:
    """A transformer of the zoo in clear, dense."""
    layers = vision_transformer(
        patch=sizes.channels * sizes.patch**2, tokens=sizes.tokens, patches=sizes.tokens, width=sizes.width,
        heads=sizes.heads, depth=sizes.depth, hidden=sizes.hidden, classes=sizes.classes,
    )  # fmt: skip
    return tuple(layers)


def _rows(name: str, table: VariantTable, notes: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    overhead = table.privacy_overhead("cpu-engine", "cpu-engine")
    return [
        {"network": name, **vars(saving), **notes[saving.label], "privacy_overhead": overhead.get(saving.label)}
        for saving in table.savings()
    ]


def methods_table(result: Mapping[str, Any]) -> str:
    """Markdown: one line per network and method, with each machine's latency and how much faster than dense it is."""
    columns = [(name, mode) for name in MACHINES for mode in (PLAIN, ENCRYPTED) if _has(result, name, mode)]
    headings = [
        "network",
        "method",
        "N, primes",
        *(f"{n} {m}, ms" for n, m in columns),
        "encrypted / plain on cpu-engine",
    ]
    lines = table_head(headings)
    versions = dict.fromkeys((row["network"], row["label"]) for row in result["rows"])
    for network, label in versions:
        own = [row for row in result["rows"] if (row["network"], row["label"]) == (network, label)]
        found = {(row["architecture"], row["mode"]): row for row in own}
        ring = f"{own[0]['poly_modulus_degree']}, {own[0]['levels']}" if "levels" in own[0] else ""
        cells = [network, label, ring]
        cells += [_cell(found[column]) if column in found else "" for column in columns]
        overhead = own[0]["privacy_overhead"]
        lines.append(table_row([*cells, "" if overhead is None else f"{overhead:,.0f}"]))
    machine = result["machine"]
    note = (
        f"One image; every figure is modelled; in brackets, times faster than dense. `{result['command']}`, "
        f"{machine['date']}, seed {result['seed']}."
    )
    return with_note(lines, note)


def _has(result: Mapping[str, Any], name: str, mode: str) -> bool:
    return any((row["architecture"], row["mode"]) == (name, mode) for row in result["rows"])


def _cell(row: Mapping[str, Any]) -> str:
    faster = row["times_faster"]
    return f"{row['latency_ms']:.3g}" + (f" ({faster:.2f})" if abs(faster - 1) > 5e-3 else "")


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), networks=tuple(sys.argv[2:]) or PRICED)["rows"], indent=1))
