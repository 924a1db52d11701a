"""Measure this machine under the engine, and fit the coefficients of hwmodel/architectures/cpu-engine.yaml.

    OMP_NUM_THREADS=1 python -m benchmarks.calibrate_cpu_engine --write

This prints the coefficients and writes benchmarks/results/cpu_engine_kernels.json. With --write it also puts the
coefficients into the YAML file; the float32 coefficients there are copied from cpu-seal.yaml. Times are CPU time on one
thread. Every sample is a ratio to a reference operation that is timed around it.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import yaml

from benchmarks.calibrating import Result, band, band_factors, conditions, main, spread, yaml_line, yaml_lines
from cipherpress.timing import engine_operations
from cipherpress.timing.fitting import fit_kernel_times, kernel_names
from cipherpress.timing.measuring import REFERENCE, Rings, measured_in_turn
from cipherpress.timing.whole_plans import whole_plans
from hwmodel.architecture import kernel_units
from hwmodel.architecture_file import ARCHITECTURES
from secure.kernels.engine import lone_operation_kernels

#: More cells than `cipherpress.timing.measuring.ENGINE_RINGS`.
RINGS: Rings = ((4096, 2, (1, 2), 30.0), (8192, 4, (1, 2, 3, 4), 40.0), (16384, 6, (2, 4, 6), 47.0))
RESULT = Path(__file__).parent / "results" / "cpu_engine_kernels.json"


def calibrate(rounds: int) -> Result:
    """Measured cells, fitted coefficients with their bands, and what the machine was doing."""
    load_before = os.getloadavg()
    found = measured_in_turn(engine_operations, RINGS, rounds, tuple(whole_plans()))
    speeds = spread(np.array(found.reference_us) / statistics.median(found.reference_us))
    times = fit_kernel_times(found.cells, lone_operation_kernels, found.plans)
    predicted_ms = [times.milliseconds(plan.kernels) for plan in found.plans]
    residuals = [plan.microseconds * 1e-3 / ms for plan, ms in zip(found.plans, predicted_ms, strict=True)]
    factors = band_factors(spread(residuals), speeds)
    return {
        **conditions(rounds, load_before),
        "reference": {
            "operation": "rotate N=8192 level 2",
            "microseconds": next(
                cell.microseconds for cell in found.cells if (cell.kind, cell.degree, cell.level) == REFERENCE
            ),
            "speed_10_90": list(speeds),
        },
        "kernels": {name: band(getattr(times, name), factors) for name in kernel_names()},
        "whole_plans": [
            {"measured_ms": plan.microseconds * 1e-3, "predicted_ms": ms, "kernels": asdict(plan.kernels)}
            for plan, ms in zip(found.plans, predicted_ms, strict=True)
        ],
        "cells": [
            {"kind": cell.kind.value, "degree": cell.degree, "level": cell.level, "microseconds": cell.microseconds}
            for cell in found.cells
        ],
    }


def yaml_block(result: Result) -> str:
    """The measured coefficients as the architecture file has them; those of float32 from cpu-seal.yaml."""
    load = result["load_average"]["after"][0]
    source = f"benchmarks/calibrate_cpu_engine.py, {result['date'][:10]}, one thread, load average {load:.1f}"
    seal = yaml.safe_load((ARCHITECTURES / "cpu-seal.yaml").read_text(encoding="utf-8"))["coefficients"]
    float32 = ("mac_ns", "elementwise_ns", "layer_call_us", "memory_bytes_per_s")
    lines = ["kernels:", *yaml_lines(result["kernels"], kernel_units(), source)]
    lines += ["coefficients:", *(yaml_line(name, seal[name]) for name in float32)]
    return "\n".join(lines) + "\n"


def summary(result: Result) -> Iterator[str]:
    """What was measured and predicted of every whole plan."""
    for plan in result["whole_plans"]:
        yield f"plan: {plan['measured_ms']:.2f} ms, {plan['predicted_ms'] / plan['measured_ms']:.2f} of it predicted"


if __name__ == "__main__":
    main(__doc__, calibrate, yaml_block, summary, result_path=RESULT, architecture="cpu-engine")
