"""Measure this machine under SEAL and in float32, and fit the coefficients of hwmodel/architectures/cpu-seal.yaml.

    OMP_NUM_THREADS=1 python -m benchmarks.calibrate_cpu_seal --write

prints the coefficients, writes benchmarks/results/cpu_seal_kernels.json and, with --write, puts them into the YAML.
CPU time on one thread; every sample is taken as a ratio to a reference operation timed just before and after it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.plain_timing import PlainCall, plain_calls
from cipherpress.timing.fitting import (
    Measured,
    fit_kernel_times,
    has_kernels,
    nonnegative_least_squares,
    predicted_us,
    relative_errors,
)
from cipherpress.timing.sampling import Timing, time_operations
from cipherpress.timing.seal_operations import make_ring, operations
from hwmodel.architecture import kernel_units
from hwmodel.architecture_file import ARCHITECTURES
from secure.plan import Kind

#: (ring degree, measured levels, data primes, bits of a prime)
RINGS = ((4096, (1, 2, 3), 3, 26.0), (8192, (2, 3, 4, 5), 5, 35.0), (16384, (4, 6, 8), 8, 47.0), (32768, (8,), 8, 50.0))
REFERENCE = (Kind.ROTATE, 4096, 2)
RESULT = Path(__file__).parent / "results" / "cpu_seal_kernels.json"
BEGIN, END = "# measured: begin", "# measured: end"
#: Share of residuals and of machine speeds that a band leaves out on each side.
TAIL = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25, help="interleaved rounds; 25 take about a minute")
    parser.add_argument("--write", action="store_true", help="put the coefficients into the architecture file")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    result = calibrate(options.rounds)
    _write(RESULT, json.dumps(result, indent=1) + "\n")
    block = yaml_block(result)
    print(block)
    print(_summary(result))
    if options.write:
        path = ARCHITECTURES / "cpu-seal.yaml"
        head, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
        _write(path, f"{head}{BEGIN}\n{block}{END}{rest.partition(END)[2]}")


def calibrate(rounds: int) -> dict[str, Any]:
    """Measured cells, fitted coefficients with their bands, and what the machine was doing."""
    load_before = os.getloadavg()
    rings = [(make_ring(degree, levels, bits), measured) for degree, measured, levels, bits in RINGS]
    calls = {
        (kind, ring.params.poly_modulus_degree, level): call
        for ring, levels in rings
        for level in levels
        for kind, call in operations(ring, level)
    }
    timings, anchors = time_operations(calls, calls[REFERENCE], rounds)
    plain = plain_calls()
    plain_timings, plain_anchors = time_operations(
        {name: item.call for name, item in plain.items()}, calls[REFERENCE], rounds
    )
    anchor_us = statistics.quantiles(anchors + plain_anchors, n=4)[0]
    speeds = np.quantile(np.array(anchors + plain_anchors) / anchor_us, [TAIL, 1 - TAIL])
    kernels, cells = _fit_kernels(timings, anchor_us, speeds)
    return {
        "machine": _machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_average": {"before": load_before, "after": os.getloadavg()},
        "clock": "process CPU time, one thread",
        "rounds": rounds,
        "reference": {
            "operation": "rotate N=4096 level 2",
            "lower_quartile_us": anchor_us,
            "speed_10_90": list(speeds),
        },
        "kernels": kernels,
        "cells": cells,
        "plain": _fit_plain(plain, {timing.key: timing.ratio * anchor_us for timing in plain_timings}, speeds),
    }


def _fit_kernels(
    timings: Sequence[Timing[tuple[Kind, int, int]]], anchor_us: float, speeds: np.ndarray
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    measured = [Measured(*timing.key, timing.ratio * anchor_us) for timing in timings]
    times = fit_kernel_times(measured)
    priced = [cell for cell in measured if has_kernels(cell)]
    spread = np.quantile(1 / (1 + relative_errors(priced, times)), [TAIL, 1 - TAIL])
    kernels = {
        item.name: _band(getattr(times, item.name), min(1.0, spread[0] * speeds[0]), max(1.0, spread[1] * speeds[1]))
        for item in fields(times)
    }
    cells = [
        {
            **asdict(cell),
            "predicted_us": predicted_us(cell, times),
            "relative_error": predicted_us(cell, times) / cell.microseconds - 1,
            "ratio_quartiles": [timing.lower_quartile, timing.ratio, timing.upper_quartile],
            "samples": timing.samples,
        }
        for cell, timing in zip(measured, timings, strict=True)
    ]
    return kernels, cells


def _fit_plain(calls: Mapping[str, PlainCall], measured_us: dict[str, float], speeds: np.ndarray) -> dict[str, Any]:
    """Times of a MAC, an element-wise operation and a call, by least squares; bandwidth from the large matrix."""
    large = max(calls, key=lambda name: calls[name].weight_bytes)
    small = [name for name in calls if name != large]
    rows = np.array([[calls[name].macs * 1e-3, calls[name].elementwise * 1e-3, 1.0] for name in small])
    times = np.array([measured_us[name] for name in small])
    fit = nonnegative_least_squares(rows / times[:, None], np.ones(len(small)))
    spread = np.quantile(times / (rows @ fit), [TAIL, 1 - TAIL])
    low, high = min(1.0, spread[0] * speeds[0]), max(1.0, spread[1] * speeds[1])
    bandwidth = calls[large].weight_bytes / (measured_us[large] * 1e-6)
    return {
        "mac_ns": _band(fit[0], low, high),
        "elementwise_ns": _band(fit[1], low, high),
        "layer_call_us": _band(fit[2], low, high),
        "memory_bytes_per_s": _band(bandwidth, 1 / speeds[1], max(1.0, 1 / speeds[0])),
        "cells": {
            name: {"measured_us": measured_us[name], "predicted_us": float(row @ fit)}
            for name, row in zip(small, rows, strict=True)
        },
    }


def _band(value: float, low_factor: float, high_factor: float) -> dict[str, float]:
    return {"value": _rounded(value), "low": _rounded(value * low_factor), "high": _rounded(value * high_factor)}


def _rounded(number: float) -> float:
    return float(f"{number:.4g}")


def yaml_block(result: dict[str, Any]) -> str:
    """The measured coefficients as they stand in the architecture file."""
    source = (
        f"benchmarks/calibrate_cpu_seal.py, {result['date'][:10]}, {result['machine']['processor']}, one thread, "
        f"load average {result['load_average']['before'][0]:.1f}"
    )
    plain_units = {
        "mac_ns": "ns/MAC", "elementwise_ns": "ns/op", "layer_call_us": "us/layer", "memory_bytes_per_s": "byte/s"
    }  # fmt: skip
    sections: list[tuple[str, dict[str, Any], dict[str, str]]] = [
        ("kernels", result["kernels"], kernel_units()),
        ("coefficients", result["plain"], plain_units),
    ]
    lines = []
    for section, entries, units in sections:
        lines.append(f"{section}:")
        for name, unit in units.items():
            document = {
                "value": 0.0,
                "unit": unit,
                "low": 0.0,
                "high": 0.0,
                **entries[name],
                "source": source,
                "kind": "measured",
            }
            ordered = {key: document[key] for key in ("value", "unit", "low", "high", "source", "kind")}
            lines.append(
                f"  {name}: {yaml.safe_dump(ordered, default_flow_style=True, sort_keys=False, width=10_000).strip()}"
            )
    return "\n".join(lines) + "\n"


def _summary(result: dict[str, Any]) -> str:
    """Relative errors by operation, in percent, cell by cell."""
    lines = [f"reference {result['reference']['lower_quartile_us']:.0f} us, load {result['load_average']}"]
    for kind in Kind:
        errors = [
            f"{cell['degree']}/{cell['level']} {cell['relative_error']:+.1%}"
            for cell in result["cells"]
            if cell["kind"] == kind
        ]
        lines.append(f"{kind.value:15} {'  '.join(errors)}")
    for name, cell in result["plain"]["cells"].items():
        lines.append(f"{name:28} {cell['measured_us']:9.2f} us measured {cell['predicted_us']:9.2f} us predicted")
    return "\n".join(lines)


def _machine() -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


if __name__ == "__main__":
    main()
