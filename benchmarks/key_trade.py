"""What fewer rotation keys cost: bytes of keys beside predicted time, for the deep networks of the zoo.

    cipherpress bench key-trade -o out/bench      (or: python -m benchmarks.key_trade out/bench)

Every network is laid out in the ring that carries it, and its rotations are split with several weights of a key
(`Choice.key_weight`): 0 makes a key for every different rotation that is fastest, larger ones make baby steps from one
another. Nothing is run, and no data is needed: keys and work follow from the network's weights. Primes are not chosen
either; keys are counted for primes of PRIME_BITS bits and digits of three.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import this_machine
from benchmarks.report import table_head, table_row, with_note, write_result
from cipherpress.timing.cache import default_times
from cipherpress.zoo.deep_networks import DATA, DEEP, FOLDER
from compress.dataset import Progress
from compress.network_file import load_network
from secure.compiling.search import DEEP_KEY_WEIGHT
from secure.drafting.draft import Choice, Draft, Rescaling, gather_evidence
from secure.drafting.work import draft_keys, draft_milliseconds, draft_operations
from secure.kernels.counts import KernelTimes
from secure.params import MOST_DIGIT_PRIMES, Params
from secure.passes.arrange import arrange
from secure.passes.choose_rotations import choose_rotations
from secure.passes.place_rescales import place_rescales
from secure.plan import Kind
from secure.seal.sizes import client_keys_bytes
from secure.stages.stages import network_stages
from secure.stages.trim import trimmed

#: Weights of a key, in digit decompositions.
WEIGHTS = (0, 0.5, DEEP_KEY_WEIGHT, 1)
#: Data primes of a typical size, and images of which only the shape matters.
PRIME_BITS, IMAGES = 38, 8
#: The most squarings that a ring of 16384 carries; deeper networks need one of 32768.
MOST_IN_16384 = 9


def run(output: Path, *, images: int = IMAGES, progress: Progress | None = None) -> dict[str, Any]:
    """Split the rotations of every deep residual network; write key-trade.json and key-trade.md into `output`."""
    say = progress or (lambda label, share: None)
    rows = []
    times = default_times().engine
    names = [name for name, entry in DEEP.items() if entry.data == DATA]
    for position, name in enumerate(names):
        say(name, position / len(names))
        rows += _rows(name, images, times)
    command = "cipherpress bench key-trade -o DIR"
    result = {"machine": this_machine().as_json(), "command": command, "prime_bits": PRIME_BITS, "rows": rows}
    write_result(Path(output) / "key-trade.json", result, key_trade_table(result))
    return result


def key_trade_table(result: Mapping[str, Any]) -> str:
    """The rows as a Markdown table."""
    lines = table_head(
        ("network", "N", "weight of a key", "keys", "MB sent", "rotations", "predicted ms", "beside weight 0")
    )
    fastest = {row["network"]: row["milliseconds"] for row in result["rows"] if row["weight"] == 0}
    for row in result["rows"]:
        more = row["milliseconds"] / fastest[row["network"]] - 1
        cells = (
            row["network"],
            str(row["degree"]),
            f"{row['weight']:g}",
            str(row["keys"]),
            f"{row['key_bytes'] / 1e6:.0f}",
        )
        lines.append(table_row((*cells, str(row["rotations"]), f"{row['milliseconds']:.0f}", f"{more:+.1%}")))
    note = (
        f"Digits of three primes, {result['prime_bits']} bits each; the relinearization key is counted. "
        f"Unless keys are limited, the compiler takes weight {DEEP_KEY_WEIGHT:g} for networks this deep."
    )
    return with_note(lines, note)


def _choice(name: str) -> Choice:
    """Two data primes are left at the end, and every square is rescaled before."""
    degree = 16384 if DEEP[name].squarings <= MOST_IN_16384 else 32768
    return Choice(degree=degree, rescaling=Rescaling.BEFORE, base_primes=2, rotate_input=True)


def _rows(name: str, images: int, times: KernelTimes) -> list[dict[str, Any]]:
    """The rows of one network."""
    network, choice = load_network(FOLDER / name), _choice(name)
    stages = trimmed(network_stages(network))
    inputs = np.random.default_rng(0).uniform(0, 1, (images, *network.input_shape))
    start = Draft(stages=stages, evidence=gather_evidence(stages, inputs), choice=choice, times=times)
    arranged = arrange(start)
    rows = []
    for weight in WEIGHTS:
        draft = place_rescales(choose_rotations(replace(arranged, choice=replace(choice, key_weight=weight))))
        keys = draft_keys(draft)
        rotations = sum(count for (kind, _), count in draft_operations(draft).items() if kind is Kind.ROTATE)
        row = {
            "network": name,
            "degree": choice.degree,
            "weight": weight,
            "keys": len(keys.galois_elements),
            "rotations": rotations,
        }
        key_bytes = client_keys_bytes(_typical(choice.degree, draft.levels), keys)
        rows.append({**row, "key_bytes": key_bytes, "milliseconds": draft_milliseconds(draft, times)})
    return rows


def _typical(degree: int, levels: int) -> Params:
    """Stand-ins for the primes that a draft will get. Only their sizes matter for a number of bytes."""
    prime = 2**PRIME_BITS - 1
    ends = accumulate([MOST_DIGIT_PRIMES] * -(-levels // MOST_DIGIT_PRIMES))
    digits = tuple(MOST_DIGIT_PRIMES - max(0, end - levels) for end in ends)
    return Params(
        poly_modulus_degree=degree,
        data_primes=(prime,) * levels,
        special_prime=prime,
        more_special_primes=(prime,) * (MOST_DIGIT_PRIMES - 1),
        digits=digits,
    )


if __name__ == "__main__":
    run(Path(sys.argv[1]))
