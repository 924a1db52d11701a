"""Products of two values as products of ciphertexts, beside two squares each: plans of the same networks, in turn.

    cipherpress bench products --images 10 -o out/bench

The networks have random weights: what a product costs does not depend on them. Both plans of a network keep to the same
error. Times are processor time of one thread, so other work on the machine counts less; the plans take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import cipherpress as cp
from benchmarks.hybrid import in_turn
from benchmarks.machine import this_machine
from benchmarks.report import read_result, table_head, table_row, with_note, write_result
from compress.conversion.exporting import export_network
from compress.dataset import Progress
from compress.graph.importing import import_model
from compress.network import Network
from compress.robust import input_range
from secure.bundle.specs import Bundle
from secure.compiling.compile import bundle_of, chosen_draft
from secure.compiling.ways import Way
from secure.kernels.counts import TYPICAL_TIMES
from secure.kernels.requests import TYPICAL_PRICES
from secure.limits import Limits
from secure.plan import Kind

#: Rows that plans are made for, and the error that they may have, as a share of the answers' root mean square.
ROWS, SHARE = 256, 0.3
WAYS = (Way.PRODUCTS, Way.SQUARES)


class Gated(nn.Module):
    """Layers whose values are multiplied by a map of the same input, as in gated units."""

    def __init__(self, *sizes: int) -> None:
        super().__init__()
        pairs = list(zip(sizes[:-2], sizes[1:-1], strict=True))
        self.up = nn.ModuleList(nn.Linear(*pair) for pair in pairs)
        self.gate = nn.ModuleList(nn.Linear(*pair) for pair in pairs)
        self.last = nn.Linear(sizes[-2], sizes[-1])

    def forward(self, x: Tensor) -> Any:
        for up, gate in zip(self.up, self.gate, strict=True):
            x = up(x) * (0.5 + gate(x))
        return self.last(x)


class Attention(nn.Module):
    """Linear attention of several heads with a skip, and ten outputs: two products of matrices, of 3 levels."""

    def __init__(self, tokens: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.tokens = heads, tokens
        self.q, self.k, self.v, self.mix = (nn.Linear(width, width) for _ in range(4))
        self.last = nn.Linear(tokens * width, 10)

    def forward(self, x: Tensor) -> Any:
        q, k, v = (own(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for own in (self.q, self.k, self.v))
        weights = (q @ k.transpose(-2, -1)) * 0.3 + 1 / self.tokens
        return self.last((x + self.mix((weights @ v).transpose(1, 2).flatten(2))).flatten(1))


@dataclass(frozen=True)
class Case:
    """A network and the shape of its input."""

    module: Callable[[], nn.Module]
    shape: tuple[int, ...]

    def made(self) -> tuple[Network, np.ndarray]:
        """The network and rows for it."""
        torch.manual_seed(0)
        module = self.module().double().eval()
        rows = np.random.default_rng(0).normal(size=(ROWS, *self.shape))
        return export_network(import_model(module, self.shape).graph_module, self.shape, rows), rows


CASES: Mapping[str, Case] = MappingProxyType(
    {
        "gated layers 196-64-32-10": Case(lambda: Gated(196, 64, 32, 10), (196,)),
        "attention, 8 tokens of 8": Case(lambda: Attention(8, 8, 2), (8, 8)),
        "attention, 16 tokens of 16": Case(lambda: Attention(16, 16, 2), (16, 16)),
    }
)


def run(
    output: Path, *, images: int = 10, cases: Sequence[str] = tuple(CASES), progress: Progress | None = None
) -> dict[str, Any]:
    """Plan and run both ways; writes products.json and products.md into `output`, where rows of other networks stay."""
    say = progress or (lambda label, share: None)
    path = Path(output) / "products.json"
    rows = [row for row in read_result(path)["rows"] if row["network"] not in cases]
    for number, name in enumerate(cases):
        say(name, number / len(cases))
        rows += _measured(name, CASES[name], images)
        rows.sort(key=lambda row: (list(CASES).index(row["network"]), row["way"]))
        result = {
            "command": f"cipherpress bench products --images {images} -o DIR",
            "machine": this_machine().as_json(),
            "rows": rows,
        }
        write_result(path, result, products_table(result))
    return {"rows": rows}


def planned(network: Network, rows: np.ndarray, way: Way) -> Bundle:
    """The bundle of a network planned in one way."""
    wanted = network.run(rows)
    accepted = input_range(rows)
    draft, outcome = chosen_draft(
        network, rows, None, accepted, limits=Limits(max_error=SHARE * float(np.sqrt(np.mean(wanted**2)))),
        times=(TYPICAL_TIMES, TYPICAL_TIMES), requests=TYPICAL_PRICES, progress=lambda label, share: None,
        ways=(way,),
    )  # fmt: skip
    return bundle_of(network, draft, outcome.weighed, TYPICAL_TIMES, accepted)


def _measured(name: str, case: Case, images: int) -> list[dict[str, Any]]:
    network, rows = case.made()
    wanted = network.run(rows[:images])
    found, turns = [], []
    for way in WAYS:
        bundle = planned(network, rows, way)
        client, server = cp.Client(bundle.client), cp.Server(bundle.server)
        key = client.evaluation_key
        server.register(key)
        errors = [
            float(np.abs(client.decrypt(server.run(client.encrypt(row))) - answer).max())
            for row, answer in zip(rows[:images], wanted, strict=True)
        ]
        held = server.load_request(client.encrypt(rows[0]))
        turns.append(lambda server=server, held=held: server.run_ciphertexts(*held))
        plan = bundle.server.plan
        found.append(
            {
                "network": name,
                "way": way.value,
                "predicted_ms": bundle.report["predicted_server_ms"],
                "ciphertext_products": plan.count(Kind.MULTIPLY),
                "squares": plan.count(Kind.SQUARE),
                "plain_products": plan.count(Kind.MULTIPLY_PLAIN),
                "rotations": plan.rotations,
                "galois_keys": len(plan.key_manifest.galois_elements),
                "key_bytes": len(key.to_bytes()),
                "poly_modulus_degree": plan.params.poly_modulus_degree,
                "log2_qp": plan.params.log2_qp,
                "levels": plan.input_level,
                "bound": bundle.client.predicted_logit_error,
                "largest_error": max(errors),
                "images": images,
            }
        )
    times = in_turn(turns, images)
    return [{**row, "server_ms": median(own)} for row, own in zip(found, times, strict=True)]


def products_table(result: Mapping[str, Any]) -> str:
    """One line per plan."""
    head = (
        "network", "as", "server, ms", "predicted, ms", "products", "squares", "plain products", "rotations", "keys",
        "keys, MB", "N", "log2 QP", "bound", "largest error",
    )  # fmt: skip
    lines = table_head(head)
    for row in result["rows"]:
        cells = (
            row["network"], row["way"], f"{row['server_ms']:.1f}", f"{row['predicted_ms']:.1f}",
            str(row["ciphertext_products"]), str(row["squares"]), str(row["plain_products"]), str(row["rotations"]),
            str(row["galois_keys"]), f"{row['key_bytes'] / 1e6:.1f}", str(row["poly_modulus_degree"]),
            f"{row['log2_qp']:.0f}", f"{row['bound']:.3g}", f"{row['largest_error']:.3g}",
        )  # fmt: skip
        lines.append(table_row(cells))
    note = (
        "Products: of two ciphertexts, each with a relinearization, as squares have. Keys: of rotations; their bytes "
        "are of all keys as a client sends them. Bounds and errors are of answers. Processor time of one thread, "
        f"medians, the plans of a network in turn. {result['machine']['cpu']}, {result['machine']['date']}, "
        f"`{result['command']}`."
    )
    return with_note(lines, note)
