"""selftest: random networks of every family, end to end and encrypted, against everything that was promised."""

from __future__ import annotations

import click

from cipherpress.commands.command import command, process_cores
from cipherpress.commands.console import Output, fail, table
from compress.errors import ConfigError

COLUMNS = [
    "family", "compiled", "refused", "failed", "inputs", "outside", "error_over_bound", "loosest_error_over_bound",
    "seal_networks", "seal_second_plans", "seal_error_over_bound", "changed", "promised", "score_lost", "seconds",
    "peak_mb",
]  # fmt: skip
BATCH_COLUMNS = ["family", "compiled", "refused", "inputs", "outside", "error_over_bound", "changed", "promised"]


@command("selftest", "cipherpress selftest --networks 16 --inputs 50")
@click.option("--networks", default=64, show_default=True, type=click.IntRange(1), help="Random networks in all.")
@click.option("--inputs", default=200, show_default=True, type=click.IntRange(1), help="Test rows run encrypted each.")
@click.option("--family", "chosen", multiple=True, help="Only this family; repeats.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the first network.")
@click.option("--workers", type=click.IntRange(1), help="Networks at the same time (default: one per core).")
def selftest_command(
    out: Output, networks: int, inputs: int, chosen: tuple[str, ...], seed: int, workers: int | None
) -> None:
    """Train, convert and compile random networks, run them encrypted, and hold every promise against the answers.

    Prints by family: compiled or refused networks, inputs outside the error bound, the largest error over the bound
    under the engine (of the network with most of it and of the one with least) and under SEAL, classes changed and
    promised, the largest loss of score, seconds of processor time and peak memory.
    SEAL runs a tenth of the inputs. Where it cannot run the plan, it runs a second one, of --backends both.
    A second table is of the same networks in throughput mode, where all test rows go as one batch. What is too deep for
    a plan without rescales is refused there.
    Exit status 1 when anything is wrong.
    """
    from cipherpress.selftest.families import FAMILIES
    from cipherpress.selftest.judging import remarks, summary
    from cipherpress.selftest.processes import run_cases

    unknown = [name for name in chosen if name not in FAMILIES]
    if unknown:
        raise ConfigError("family", unknown[0], f"one of {', '.join(FAMILIES)}")
    names = chosen or tuple(FAMILIES)
    cases = [(names[number % len(names)], seed + number // len(names)) for number in range(networks)]
    with out.progress("selftest") as progress:
        results = run_cases(cases, inputs, workers or process_cores(), progress)
    result = summary(results)
    broken = result["wrong"]
    verdict = f"wrong: {len(broken)}" if broken else "nothing is wrong"
    tables = [table(result["rows"], COLUMNS)]
    if result["batch_rows"]:
        tables += ["", "in batches (throughput mode)", table(result["batch_rows"], BATCH_COLUMNS)]
    out.result(result, "\n".join([*tables, *remarks(result), verdict]))
    if broken:
        fail("; ".join(broken))
