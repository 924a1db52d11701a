"""The plan that the search chooses beside ten fixed ones.

    cipherpress bench plans -o out/bench          (or: python -m benchmarks.fixed_plans out/bench [NETWORK ...])

A fixed plan is a choice that somebody could make once for every network: a ring, one or two inputs per slot, the first
or the last layout that is offered for each layer, and one way to rotate. Its scales and primes are chosen as for any
plan, so the plan is precise enough if its ring allows that. All plans of a network that are precise enough run
encrypted, in turn, on one core. The others are listed with the reason.

For a pruned network the search runs twice more. First, units that no layer reads stay in place, so the others do not
move together. Second, every zero counts as a weight too, so no diagonal is dropped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from scipy import sparse

import cipherpress as cp
from benchmarks.machine import this_machine
from benchmarks.report import table_head, with_note, write_result
from benchmarks.savings import BLOCKS_WITHIN_HALF_A_POINT, Recipe, converted
from cipherpress.timing.cache import current_times
from compress.dataset import Dataset, Progress
from compress.errors import CipherpressError
from compress.network import Network
from secure.bounds.headroom import largest_coefficients
from secure.bounds.ranking import is_right
from secure.bundle.specs import Bundle
from secure.compiling.compile import bundle_of
from secure.compiling.search import START, search
from secure.drafting.draft import Choice, Draft, Rescaling, gather_evidence
from secure.drafting.layouts import Source, first_layouts, next_layouts
from secure.kernels.counts import KernelTimes
from secure.limits import Limits
from secure.parties.client import Client
from secure.parties.server import Server
from secure.passes.choose_parameters import choose_parameters
from secure.passes.choose_rotations import choose_rotations
from secure.passes.emit import emit
from secure.passes.place_rescales import place_rescales
from secure.stages.stages import Stage, network_stages
from secure.stages.trim import trimmed

FIRST, LAST = 0, -1
#: Replaces a zero that shall count as a weight.
NEXT_TO_NOTHING = 1e-12
PLAIN = Recipe("none")
NETWORKS: Mapping[str, tuple[str, Recipe]] = {
    "mlp": ("mlp", PLAIN),
    "cnn": ("cnn", PLAIN),
    "lenet300, blocks pruned": ("lenet300", BLOCKS_WITHIN_HALF_A_POINT),
}


@dataclass(frozen=True)
class FixedPlan:
    """A name for people, the choices, and which of the offered layouts is taken."""

    name: str
    degree: int
    planes: int
    layout: int
    rotate_input: bool
    share_giants: bool
    key_weight: int
    rescaling: Rescaling = Rescaling.EVERY
    base_primes: int = 1


def _fixed() -> Iterator[FixedPlan]:
    for degree in (8192, 16384):
        yield FixedPlan(f"textbook, N={degree}", degree, 1, FIRST, True, True, 16)
        yield FixedPlan(f"own keys and paired folds, N={degree}", degree, 1, FIRST, True, False, 0)
        yield FixedPlan(f"two inputs a slot, N={degree}", degree, 2, FIRST, True, True, 0)
        yield FixedPlan(f"most shares, N={degree}", degree, 2, LAST, True, True, 0)
    yield FixedPlan("sums rotated, N=8192", 8192, 2, FIRST, False, True, 0)
    yield FixedPlan("no rescale, two base primes, N=4096", 4096, 1, FIRST, True, True, 0, Rescaling.NOT_LAST, 2)


FIXED = tuple(_fixed())


def run(
    output: Path, *, images: int = 20, networks: tuple[str, ...] = tuple(NETWORKS), progress: Progress | None = None
) -> dict[str, Any]:
    """Measure every network's plans over the first `images` test images; writes plans.json and plans.md."""
    say = progress or (lambda label, share: None)
    data = cp.load_data("mnist")
    result: dict[str, Any] = {
        "command": f"cipherpress bench plans --images {images} -o DIR",
        "images": images,
        "rows": [],
    }
    output = Path(output)
    for position, name in enumerate(networks):
        say(f"train {name}", position / len(networks))
        network = converted(*NETWORKS[name], data)
        say(f"plans of {name}", (position + 0.5) / len(networks))
        result["rows"] += [{"network": name, **row} for row in network_rows(network, data, images)]
        result["machine"] = this_machine().as_json()
        write_result(output / "plans.json", result, plans_table(result))
    return result


def network_rows(network: Network, data: Dataset, images: int) -> list[dict[str, Any]]:
    """The chosen plan, then the fixed ones: predicted and measured milliseconds, or why a plan cannot be used."""
    times = current_times().engine
    calibration = data.calibration(512, 0)
    rows: list[dict[str, Any]] = []
    bundles: list[Bundle | None] = []
    chosen = cp.compile(network, data)
    rows.append({"plan": "chosen by the search", "predicted_ms": chosen.report["predicted_server_ms"]})
    bundles.append(chosen)
    others: dict[str, Callable[[], Bundle]] = {
        name: partial(_searched, network, stages, calibration)
        for name, stages in _without_pruning_in_mind(network).items()
    }
    others |= {fixed.name: partial(fixed_bundle, network, calibration, fixed, times) for fixed in FIXED}
    for name, make in others.items():
        try:
            bundle = make()
        except CipherpressError as error:
            rows.append({"plan": name, "why_not": str(error)})
            bundles.append(None)
            continue
        rows.append({"plan": name, "predicted_ms": bundle.report["predicted_server_ms"]})
        bundles.append(bundle)
    measured = _in_turn([bundle for bundle in bundles if bundle is not None], data.x_test[:images])
    for row, bundle in zip(rows, bundles, strict=True):
        if bundle is not None:
            row |= {"server_ms": measured.pop(0), "rotations": bundle.report["rotations"]}
            row["plain_multiplications"] = bundle.report["plain_multiplications"]
    return rows


def fixed_bundle(network: Network, calibration: Any, fixed: FixedPlan, times: KernelTimes) -> Bundle:
    """The bundle of a fixed plan.

    Raises: CipherpressError when the plan does not fit its ring or is not precise enough in it.
    """
    stages = trimmed(network_stages(network))
    choice = Choice(
        degree=fixed.degree, planes=fixed.planes, rotate_input=fixed.rotate_input, share_giants=fixed.share_giants,
        key_weight=fixed.key_weight, rescaling=fixed.rescaling, base_primes=fixed.base_primes,
    )  # fmt: skip
    evidence = gather_evidence(stages, np.asarray(calibration, dtype=np.float64))
    draft = place_rescales(
        choose_rotations(_laid_out(Draft(stages=stages, evidence=evidence, choice=choice, times=times), fixed.layout))
    )
    done = choose_parameters(draft)
    if done is None or not is_right(done):
        raise CipherpressError("not precise enough in this ring")
    return bundle_of(network, emit(done), (), times)


def _without_pruning_in_mind(network: Network) -> dict[str, tuple[Stage, ...]]:
    """Name -> stages of a pruned network that ignore a part of the pruning; empty for a network without dead units."""
    stages = network_stages(network)
    if [stage.size for stage in trimmed(stages)] == [stage.size for stage in stages]:
        return {}
    filled = tuple(
        replace(stage, maps={atom: _filled(matrix) for atom, matrix in stage.maps.items()}) for stage in stages
    )
    return {"chosen, units left in place": stages, "chosen, nothing dropped": filled}


def _filled(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    dense = matrix.toarray()
    return sparse.csr_matrix(np.where(dense == 0, NEXT_TO_NOTHING, dense))


def _searched(network: Network, stages: tuple[Stage, ...], calibration: Any) -> Bundle:
    """The bundle that the search finds for these stages.

    Raises: CipherpressError when no plan is precise enough.
    """
    times = current_times()
    start = Draft(
        stages=stages,
        evidence=gather_evidence(stages, np.asarray(calibration, dtype=np.float64)),
        choice=START,
        times=times.engine,
    )
    outcome = search(start, times.engine, times.seal, Limits())
    if outcome.best is None or outcome.times is None:
        raise CipherpressError("no plan is precise enough")
    return bundle_of(network, emit(outcome.best), (), outcome.times)


def _laid_out(draft: Draft, layout: int) -> Draft:
    """The first or the last layout that is offered, layer after layer."""
    offers = list(first_layouts(draft))
    if not offers:
        raise CipherpressError("no layout of the input fits this ring")
    source, placed = offers[layout]
    sources, tables = [Source(source), _source(draft.stages[0], placed)], [placed.table]
    for index in range(1, len(draft.stages)):
        read = {atom: sources[atom] for atom in draft.stages[index].maps}
        placed = list(next_layouts(draft, index, read))[layout]
        sources.append(_source(draft.stages[index], placed))
        tables.append(placed.table)
    atoms = 1 + sum(stage.squared for stage in draft.stages)
    maps = tuple(one.slot_map for one in sources[:atoms])
    done = replace(draft, atom_maps=maps, tables=tuple(tables), offers=tuple(() for _ in tables))
    squares, values = largest_coefficients(done)
    return replace(done, coefficients=squares, value_coefficients=values)


def _source(stage: Stage, placed: Any) -> Source:
    return Source(placed.table.output_map, placed.blocks, stage.grid)


def _in_turn(bundles: list[Bundle], images: Any) -> list[float]:
    """Median milliseconds of every bundle's server; each image goes to all bundles in turn."""
    parties = []
    for bundle in bundles:
        client, server = Client(bundle.client), Server(bundle.server)
        server.register(client.evaluation_key)
        parties.append((client, server))
    times: list[list[float]] = [[] for _ in bundles]
    for image in images:
        for own, (client, server) in zip(times, parties, strict=True):
            key_id, ciphertexts = server.load_request(client.encrypt(image))
            start = perf_counter()
            server.run_ciphertexts(key_id, ciphertexts)
            own.append((perf_counter() - start) * 1e3)
    return [median(own) for own in times]


def plans_table(result: Mapping[str, Any]) -> str:
    """Markdown, with machine, date and command under it."""
    lines = table_head(("network", "plan", "rotations", "products", "predicted ms", "server ms", "times the chosen"))
    for row in result["rows"]:
        chosen = next(one["server_ms"] for one in result["rows"] if one["network"] == row["network"])
        if "server_ms" not in row:
            lines.append(f"| {row['network']} | {row['plan']} | | | | {row['why_not']} | |")
            continue
        lines.append(
            f"| {row['network']} | {row['plan']} | {row['rotations']} | {row['plain_multiplications']} | "
            f"{row['predicted_ms']:.1f} | {row['server_ms']:.1f} | {row['server_ms'] / chosen:.2f} |"
        )
    machine = result["machine"]
    note = (
        f"Medians over the first {result['images']} test digits, encrypted, plans in turn, one thread. "
        f"{machine['cpu']}, load {machine['load_average']:.1f} at the end, {machine['date']}, `{result['command']}`."
    )
    return with_note(lines, note)


if __name__ == "__main__":
    chosen_networks = tuple(sys.argv[2:]) or tuple(NETWORKS)
    print(json.dumps(run(Path(sys.argv[1]), networks=chosen_networks)["rows"], indent=1))
