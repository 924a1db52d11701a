"""Key switches with one special prime and with several, in turn, and what keys take.

    cipherpress bench hybrid -o out/bench        (or: python -m benchmarks.hybrid out/bench [BUNDLE ...])

A rotation at the top level of two rings, on one thread, with keys made by a client: digits, product with the key,
division by the special primes. All chains of a ring have the same data primes and pass the security table. Bundles that
are named are run whole: with one special prime, and with the key switches that make their keys smallest. Times are
processor time, so other work on the machine counts less; every chain has its turn in every round.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log2, sqrt
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np
import tenseal.sealapi as sealapi
from numpy.typing import NDArray

from benchmarks.machine import this_machine
from benchmarks.report import table_head, with_note, write_result
from compress.dataset import Progress
from secure.bundle.files import load_server
from secure.bundle.specs import ServerSpec
from secure.compiling.switching import switching_choices
from secure.engine.evaluator import EngineBackend, Residues
from secure.key_shape import KeyShape
from secure.noise import centred_key_switch_variance
from secure.params import Params, check_security, make_params
from secure.plan import Kind, Op, Plan
from secure.seal.context import make_ring, to_bytes
from secure.seal.sizes import client_keys_bytes
from secure.switching.loading import load_for_engine
from secure.switching.making import KeyMaker

#: Rounds of a rotation, after one that is not counted.
ROUNDS = 25
STEPS = 5
#: Memory for encoded constants of a plan.
CONSTANT_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Chain:
    """Key switches that are measured. data_bits, special_bits: of the primes. digits: see `Params`."""

    degree: int
    data_bits: tuple[float, ...]
    special_bits: tuple[float, ...]
    digits: tuple[int, ...] = ()

    @property
    def params(self) -> Params:
        """Raises: InsecureParametersError."""
        params = make_params(self.degree, self.data_bits, self.special_bits, self.digits)
        check_security(params)
        return params


LARGE, MIDDLE = (50.0, *[36.0] * 19), (38.0, *[34.0] * 8)
CHAINS = (
    Chain(32768, LARGE, (50,)),
    Chain(32768, LARGE, (39, 38.5), (1, *[2] * 9, 1)),
    Chain(32768, LARGE, (38, 38, 38), (2, *[3] * 6)),
    Chain(16384, MIDDLE, (38,)),
    Chain(16384, MIDDLE, (37, 37), (1, 2, 2, 2, 2)),
    Chain(16384, MIDDLE, (37, 36.5, 36.5), (3, 3, 3)),
)


def run(output: Path, *, images: int = ROUNDS, progress: Progress | None = None) -> dict[str, Any]:
    """Measure rotations over `images` rounds; write hybrid.json and hybrid.md into `output`. No image is run."""
    return measure({}, output, images, "cipherpress bench hybrid -o DIR", progress or (lambda label, share: None))


def measure(plans: Mapping[str, Plan], output: Path, rounds: int, command: str, say: Progress) -> dict[str, Any]:
    """Measure rotations, and plans by name. command: the command that the note names."""
    rows: list[dict[str, Any]] = []
    for degree in dict.fromkeys(chain.degree for chain in CHAINS):
        say(f"rotations, N={degree}", 0.5 * len(rows) / len(CHAINS))
        rows += _rotations([chain.params for chain in CHAINS if chain.degree == degree], rounds)
    result = {
        "command": command,
        "rounds": rounds,
        "rotations": rows,
        "plans": [row for name, plan in plans.items() for row in _plan_rows(name, plan, rounds)],
        "machine": this_machine().as_json(),
    }
    write_result(output / "hybrid.json", result, hybrid_table(result))
    return result


def _rotations(chains: Sequence[Params], rounds: int) -> list[dict[str, Any]]:
    """One row per chain of a ring; the first is the one that the others are compared with."""
    turns = [_rotation(params) for params in chains]
    times = in_turn(turns, rounds)
    rows = []
    for params, own in zip(chains, times, strict=True):
        shape = KeyShape(params, params.levels)
        noise = centred_key_switch_variance(params, params.levels) / params.poly_modulus_degree
        rows.append(
            {
                "poly_modulus_degree": params.poly_modulus_degree,
                "levels": params.levels,
                "special_primes": len(params.special_primes),
                "digits": len(shape.digits),
                "log2_qp": params.log2_qp,
                "log2_p": sum(log2(prime) for prime in params.special_primes),
                "noise_deviation": sqrt(noise),
                "rotation_ms": median(own),
                "times_faster": median(one / other for one, other in zip(times[0], own, strict=True)),
                "key_bytes": shape.packed_bytes,
                "key_memory_bytes": shape.memory_bytes,
            }
        )
    return rows


def in_turn(turns: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Milliseconds of processor time of every turn in every round, after one round that is not counted."""
    times: list[list[float]] = [[] for _ in turns]
    for number in range(rounds + 1):
        for turn, own in zip(turns, times, strict=True):
            start = process_time()
            turn()
            if number:
                own.append((process_time() - start) * 1e3)
    return times


def _plan_rows(name: str, plan: Plan, rounds: int) -> list[dict[str, Any]]:
    """A plan with one special prime, and with the key switches that make its keys smallest."""
    manifest = plan.key_manifest
    choices = [plan.params, *switching_choices(plan.params, manifest)]
    ways = [plan.params, min(choices, key=lambda params: client_keys_bytes(params, manifest))]
    times = in_turn([_runner(replace(plan, params=params)) for params in ways], rounds)
    return [
        {
            "network": name,
            "poly_modulus_degree": params.poly_modulus_degree,
            "special_primes": len(params.special_primes),
            "digits": list(params.digits),
            "server_ms": median(own),
            "times_faster": median(one / other for one, other in zip(times[0], own, strict=True)),
            "key_bytes": client_keys_bytes(params, manifest),
            "seal_key_bytes": client_keys_bytes(plan.params, manifest.whole),
        }
        for params, own in zip(ways, times, strict=True)
    ]


def _rotation(params: Params) -> Callable[[], object]:
    """A rotation at the top level, with a key that a client made, of uniform residues."""
    op = Op(kind=Kind.ROTATE, args=(0,), layer="rotation", level=params.levels, scale=1.0, steps=STEPS)
    plan = Plan(
        params=params, inputs=1, input_level=params.levels, input_scale=1.0, ops=(op,), constants=(), outputs=(1,)
    )
    return _runner(plan)


def _runner(plan: Plan) -> Callable[[], object]:
    """What runs a plan on uniform residues, with keys that a client made."""
    ring, manifest = make_ring(plan.params), plan.key_manifest
    maker = KeyMaker(plan.params, to_bytes(sealapi.KeyGenerator(ring.context).secret_key()))
    items = maker.relin_item(manifest.relin_level), maker.galois_item(manifest.galois_elements, manifest.galois_levels)
    backend = EngineBackend(ring, plan, CONSTANT_BYTES, None)
    runner = backend.evaluator(load_for_engine(items, manifest, ring))
    inputs = [Residues(_uniform(plan.params, plan.input_level)) for _ in range(plan.inputs)]
    return lambda: backend.run(runner, inputs)


def _uniform(params: Params, level: int) -> NDArray[np.float64]:
    """(2, level, N): uniform residues."""
    rng = np.random.default_rng(0)
    primes = params.data_primes[:level]
    rows = [rng.integers(-(prime // 2), prime // 2, (2, params.poly_modulus_degree)) for prime in primes]
    return np.stack(rows, axis=1).astype(np.float64)


def hybrid_table(result: Mapping[str, Any]) -> str:
    """Markdown, with machine, date and command under it."""
    lines = table_head(
        ("N", "levels", "special primes", "digits", "bits of P", "bits of QP", "noise", "rotation, ms", "times faster",
         "key on the wire, MB", "key in memory, MB")
    )  # fmt: skip
    lines += [
        f"| {row['poly_modulus_degree']} | {row['levels']} | {row['special_primes']} | {row['digits']} | "
        f"{row['log2_p']:.0f} | {row['log2_qp']:.0f} | {row['noise_deviation']:.0f} | {row['rotation_ms']:.1f} | "
        f"{row['times_faster']:.2f} | {row['key_bytes'] / 1e6:.1f} | {row['key_memory_bytes'] / 1e6:.1f} |"
        for row in result["rotations"]
    ]
    if result["plans"]:
        lines += [
            "",
            *table_head(("plan", "N", "special primes", "server, ms", "times faster", "keys, MB", "SEAL's, MB")),
        ]
        lines += [
            f"| {row['network']} | {row['poly_modulus_degree']} | {row['special_primes']} | {row['server_ms']:.1f} | "
            f"{row['times_faster']:.2f} | {row['key_bytes'] / 1e6:.1f} | {row['seal_key_bytes'] / 1e6:.1f} |"
            for row in result["plans"]
        ]
    machine = result["machine"]
    note = (
        f"Medians of {result['rounds']} rounds in turn, processor time of one thread; times faster than one special "
        "prime in the same round. Noise: predicted standard deviation of a coefficient. SEAL's: whole keys in SEAL's "
        "bytes, estimated. "
        f"{machine['cpu']}, {machine['date']}, `{result['command']}`."
    )
    return with_note(lines, note)


def _latency_plan(folder: Path) -> Plan:
    """The plan of a bundle for latency."""
    spec = load_server(folder)
    assert isinstance(spec, ServerSpec), f"{folder}: a bundle for throughput switches no keys"
    return spec.plan


if __name__ == "__main__":
    folder, *paths = sys.argv[1:]
    named = {Path(path).name: _latency_plan(Path(path)) for path in paths}
    told = "python -m benchmarks.hybrid DIR BUNDLE ..." if named else "python -m benchmarks.hybrid DIR"
    found = measure(named, Path(folder), ROUNDS, told, lambda label, share: None)
    print(json.dumps(found, indent=1))
