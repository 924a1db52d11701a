"""calibrate, bench: what this machine takes."""

from __future__ import annotations

import sys
from dataclasses import asdict
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

import click

import cipherpress as cp
from cipherpress.commands.artifacts import Destination
from cipherpress.commands.command import command
from cipherpress.commands.console import Output, table
from cipherpress.commands.options import output_options
from compress.errors import ConfigError


@command("calibrate", "cipherpress calibrate")
@click.option("--force", is_flag=True, help="Measure again, and replace a damaged file.")
def calibrate_command(out: Output, force: bool) -> None:
    """Measure what operations take on this machine, for compile and press to choose plans by.

    Takes about a minute on one thread; the first time also a minute or two for compiling the engine's kernels.
    Leave the machine alone meanwhile. The times are kept per user, for this processor and these versions;
    CIPHERPRESS_CACHE names another folder than the user's cache.
    """
    from datetime import date

    from cipherpress.timing.cache import cache_path, load_times, save_times

    path = cache_path()
    errors, seconds = {}, 0.0
    if force or not path.exists():
        from cipherpress.timing.measuring import measure_engine, measure_requests, measure_seal
        from cipherpress.timing.residue_kernels import measure_residues

        out.note("measuring on one thread, about a minute; leave the machine alone meanwhile")
        start = perf_counter()
        with out.progress("calibrate") as progress:
            progress("engine", 0.0)
            engine = measure_engine()
            progress("SEAL", 0.4)
            seal = measure_seal()
            progress("requests", 0.6)
            requests = measure_requests()
            progress("batches", 0.7)
            residues = measure_residues()
        seconds = perf_counter() - start
        save_times(engine.times, seal.times, requests.times, residues.times, date.today())
        errors = {
            "engine": engine.mean_relative_error,
            "seal": seal.mean_relative_error,
            "requests": requests.mean_relative_error,
            "residues": residues.mean_relative_error,
        }
    times = load_times(path)
    kernels = {"engine": asdict(times.engine), "seal": asdict(times.seal)}
    result: dict[str, Any] = {"path": str(path), "measured": bool(errors), "times": times.origin, **kernels}
    result |= {"requests": asdict(times.requests), "residues": asdict(times.residues)}
    if errors:
        result |= {"mean_relative_error": errors, "seconds": seconds}
        summary = (
            f"measured in {seconds:.0f} s; operations are predicted within {errors['engine']:.1%} (engine) and "
            f"{errors['seal']:.1%} (SEAL) on average, steps of a request within {errors['requests']:.1%}, "
            f"layers in batches within {errors['residues']:.1%}"
        )
    else:
        summary = "measured before; --force measures again"
    rows = [{"runtime": name, **values} for name, values in kernels.items()]
    steps = [{"step": name, **values} for name, values in result["requests"].items()]
    shown = (rows, ["runtime", *kernels["engine"]]), (steps, [*steps[0]]), ([result["residues"]], [*result["residues"]])
    tables = "\n\n".join(table(part, columns) for part, columns in shown)
    out.result(result, f"{tables}\n{times.origin}: {summary}; saved {path}")


@command("bench", "cipherpress bench peers -o out/bench")
@click.argument("names", nargs=-1)
@output_options
@click.option("--images", default=100, show_default=True, type=click.IntRange(20), help="Test images per network.")
def bench_command(out: Output, names: tuple[str, ...], output: Destination, images: int) -> None:
    """Measure the tables in benchmarks/results from scratch; all of them, or the NAMES given.

    NAMES: peers, savings, plans, joint, costmodel, methods, noise, threads, hybrid, products, key-trade, requests,
    service, throughput, native, detection, keep-bits, compiling, depth, promises, selftest, fhe-suite. Needs a
    checkout: benchmarks are not installed.
    """
    benchmarks = _benchmarks()
    unknown = [name for name in names if name not in benchmarks]
    if unknown:
        raise ConfigError("benchmark", unknown[0], ", ".join(benchmarks))
    chosen = names or tuple(benchmarks)
    output.refuse_existing(*(f"{name}.json" for name in chosen))
    results, tables = {}, []
    for name in chosen:
        with out.progress(name) as progress:
            results[name] = import_module(benchmarks[name]).run(output.path, images=images, progress=progress)
        tables.append((output.path / f"{name}.md").read_text())
    out.result(results, "\n".join(tables))


def _benchmarks() -> dict[str, str]:
    """Name and module of every benchmark, from the checkout that this package lies in.

    Raises: ConfigError where there is none.
    """
    checkout = Path(cp.__file__).parents[1]
    if (checkout / "benchmarks" / "__init__.py").is_file() and find_spec("benchmarks") is None:
        sys.path.append(str(checkout))  # an editable install puts only the installed packages on the path
    if find_spec("benchmarks") is None:
        raise ConfigError(
            "bench", "an installation without benchmarks", "a checkout: clone the project and run `make bench` there"
        )
    found: dict[str, str] = import_module("benchmarks").BENCHMARKS
    return found
