"""selftest: random networks of every family, end to end and encrypted, against everything that was promised."""

from __future__ import annotations

from typing import Any

import click

from cipherpress.commands.command import command, process_cores
from cipherpress.commands.console import Output, fail, table
from compress.errors import ConfigError

COLUMNS = [
    "family", "compiled", "refused", "failed", "inputs", "outside", "error_over_bound", "seal_error_over_bound",
    "changed", "promised", "score_lost", "seconds", "peak_mb",
]  # fmt: skip


@command("selftest", "cipherpress selftest --networks 15 --inputs 50")
@click.option("--networks", default=60, show_default=True, type=click.IntRange(1), help="Random networks in all.")
@click.option("--inputs", default=200, show_default=True, type=click.IntRange(1), help="Test rows run encrypted each.")
@click.option("--family", "chosen", multiple=True, help="Only this family; repeats.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the first network.")
@click.option("--workers", type=click.IntRange(1), help="Networks at the same time (default: one per core).")
def selftest_command(
    out: Output, networks: int, inputs: int, chosen: tuple[str, ...], seed: int, workers: int | None
) -> None:
    """Train, convert and compile random networks, run them encrypted, and hold every promise against the answers.

    Prints by family: compiled or refused networks, inputs outside the error bound, the largest error over the bound
    under the engine and under SEAL, classes changed and promised, the largest loss of score, seconds and peak memory.
    Exit status 1 when anything is wrong.
    """
    from cipherpress.selftest.families import FAMILIES
    from cipherpress.selftest.judging import by_family, wrongs
    from cipherpress.selftest.processes import run_cases

    unknown = [name for name in chosen if name not in FAMILIES]
    if unknown:
        raise ConfigError("family", unknown[0], f"one of {', '.join(FAMILIES)}")
    names = chosen or tuple(FAMILIES)
    cases = [(names[number % len(names)], seed + number // len(names)) for number in range(networks)]
    with out.progress("selftest") as progress:
        results = run_cases(cases, inputs, workers or process_cores(), progress)
    rows, broken = by_family(results), wrongs(results)
    result: dict[str, Any] = {
        "networks": len(results),
        "inputs": sum(one.inputs for one in results),
        "rows": rows,
        "cases": [one.as_json() for one in results],
        "wrong": broken,
    }
    refused = [f"refused: {one.family}, seed {one.seed}: {one.reason}" for one in results if one.outcome == "refused"]
    verdict = "nothing is wrong" if not broken else f"wrong: {len(broken)}"
    out.result(result, "\n".join([table(rows, COLUMNS), *refused, verdict]))
    if broken:
        fail("; ".join(broken))
