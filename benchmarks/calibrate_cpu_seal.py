"""Measure this machine under SEAL and in float32, and fit the coefficients of hwmodel/architectures/cpu-seal.yaml.

    OMP_NUM_THREADS=1 python -m benchmarks.calibrate_cpu_seal --write

This prints the coefficients and writes benchmarks/results/cpu_seal_kernels.json. With --write it also puts the
coefficients into the YAML file. Times are CPU time on one thread. Every sample is a ratio to a reference operation that
is timed just before and after it.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.calibrating import Result, band, band_factors, conditions, main, spread, yaml_lines
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
from secure.plan import Kind

#: (ring degree, measured levels, data primes, bits of a prime)
RINGS = ((4096, (1, 2, 3), 3, 26.0), (8192, (2, 3, 4, 5), 5, 35.0), (16384, (4, 6, 8), 8, 47.0), (32768, (8,), 8, 50.0))
REFERENCE = (Kind.ROTATE, 4096, 2)
RESULT = Path(__file__).parent / "results" / "cpu_seal_kernels.json"
PLAIN_UNITS = {
    "mac_ns": "ns/MAC", "elementwise_ns": "ns/op", "layer_call_us": "us/layer", "memory_bytes_per_s": "byte/s",
}  # fmt: skip


def calibrate(rounds: int) -> Result:
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
    speeds = spread(np.array(anchors + plain_anchors) / anchor_us)
    kernels, cells = _fit_kernels(timings, anchor_us, speeds)
    return {
        **conditions(rounds, load_before),
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
    timings: Sequence[Timing[tuple[Kind, int, int]]], anchor_us: float, speeds: tuple[float, float]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    measured = [Measured(*timing.key, timing.ratio * anchor_us) for timing in timings]
    times = fit_kernel_times(measured)
    priced = [cell for cell in measured if has_kernels(cell)]
    factors = band_factors(spread(1 / (1 + relative_errors(priced, times))), speeds)
    kernels = {item.name: band(getattr(times, item.name), factors) for item in fields(times)}
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


def _fit_plain(
    calls: Mapping[str, PlainCall], measured_us: dict[str, float], speeds: tuple[float, float]
) -> dict[str, Any]:
    """Times of a MAC, an element-wise operation and a call, by least squares; bandwidth from the large matrix."""
    large = max(calls, key=lambda name: calls[name].weight_bytes)
    small = [name for name in calls if name != large]
    rows = np.array([[calls[name].macs * 1e-3, calls[name].elementwise * 1e-3, 1.0] for name in small])
    times = np.array([measured_us[name] for name in small])
    fit = nonnegative_least_squares(rows / times[:, None], np.ones(len(small)))
    factors = band_factors(spread(times / (rows @ fit)), speeds)
    bandwidth = calls[large].weight_bytes / (measured_us[large] * 1e-6)
    return {
        "mac_ns": band(fit[0], factors),
        "elementwise_ns": band(fit[1], factors),
        "layer_call_us": band(fit[2], factors),
        "memory_bytes_per_s": band(bandwidth, (1 / speeds[1], max(1.0, 1 / speeds[0]))),
        "cells": {
            name: {"measured_us": measured_us[name], "predicted_us": float(row @ fit)}
            for name, row in zip(small, rows, strict=True)
        },
    }


def yaml_block(result: Result) -> str:
    """The measured coefficients as they stand in the architecture file."""
    source = (
        f"benchmarks/calibrate_cpu_seal.py, {result['date'][:10]}, {result['machine']['cpu']}, one thread, "
        f"load average {result['load_average']['before'][0]:.1f}"
    )
    lines = ["kernels:", *yaml_lines(result["kernels"], kernel_units(), source)]
    lines += ["coefficients:", *yaml_lines(result["plain"], PLAIN_UNITS, source)]
    return "\n".join(lines) + "\n"


def summary(result: Result) -> list[str]:
    """Relative errors of every cell, one line per operation, then the plain layers."""
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
    return lines


if __name__ == "__main__":
    main(__doc__, calibrate, yaml_block, summary, result_path=RESULT, architecture="cpu-seal")
