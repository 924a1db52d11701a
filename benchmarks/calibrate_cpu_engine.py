"""Measure this machine under the engine, and fit the coefficients of hwmodel/architectures/cpu-engine.yaml.

    OMP_NUM_THREADS=1 python -m benchmarks.calibrate_cpu_engine --write

prints the coefficients, writes benchmarks/results/cpu_engine_kernels.json and, with --write, puts them into the YAML; the float32
coefficients are those of cpu-seal.yaml. CPU time on one thread; every sample is a ratio to a reference operation timed around it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.machine import this_machine
from cipherpress.timing import engine_operations
from cipherpress.timing.fitting import fit_kernel_times, kernel_names
from cipherpress.timing.measuring import REFERENCE, Rings, measured_in_turn
from cipherpress.timing.whole_plans import whole_plans
from hwmodel.architecture_file import ARCHITECTURES
from secure.kernels.engine import lone_operation_kernels

#: More of what `cipherpress.timing.measuring.ENGINE_RINGS` has.
RINGS: Rings = ((4096, 2, (1, 2), 30.0), (8192, 4, (1, 2, 3, 4), 40.0), (16384, 6, (2, 4, 6), 47.0))
RESULT = Path(__file__).parent / "results" / "cpu_engine_kernels.json"
BEGIN, END = "# measured: begin", "# measured: end"
#: Share of residuals and of machine speeds that a band leaves out on each side.
TAIL = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25, help="interleaved rounds; 25 take about a minute")
    parser.add_argument("--write", action="store_true", help="put the coefficients into the architecture file")
    options = parser.parse_args()
    result = calibrate(options.rounds)
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    block = yaml_block(result)
    print(block)
    for plan in result["whole_plans"]:
        print(f"plan: {plan['measured_ms']:.2f} ms, {plan['predicted_ms'] / plan['measured_ms']:.2f} of it predicted")
    if options.write:
        path = ARCHITECTURES / "cpu-engine.yaml"
        head, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
        path.write_text(f"{head}{BEGIN}\n{block}{END}{rest.partition(END)[2]}", encoding="utf-8")


def calibrate(rounds: int) -> dict[str, Any]:
    """Measured cells, fitted coefficients with their bands, and what the machine was doing."""
    load_before = os.getloadavg()
    found = measured_in_turn(engine_operations, RINGS, rounds, tuple(whole_plans()))
    speeds = np.quantile(np.array(found.reference_us) / statistics.median(found.reference_us), [TAIL, 1 - TAIL])
    times = fit_kernel_times(found.cells, lone_operation_kernels, found.plans)
    predicted_ms = [times.milliseconds(plan.kernels) for plan in found.plans]
    spread = np.quantile(
        [plan.microseconds * 1e-3 / ms for plan, ms in zip(found.plans, predicted_ms, strict=True)], [TAIL, 1 - TAIL]
    )
    low, high = min(1.0, spread[0] * speeds[0]), max(1.0, spread[1] * speeds[1])
    return {
        "machine": this_machine().as_json(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_average": {"before": load_before, "after": os.getloadavg()},
        "clock": "process CPU time, one thread",
        "rounds": rounds,
        "reference": {
            "operation": "rotate N=8192 level 2",
            "microseconds": next(
                cell.microseconds for cell in found.cells if (cell.kind, cell.degree, cell.level) == REFERENCE
            ),
            "speed_10_90": list(speeds),
        },
        "kernels": {
            name: {"value": value, "low": value * low, "high": value * high}
            for name, value in zip(kernel_names(), (getattr(times, name) for name in kernel_names()), strict=True)
        },
        "whole_plans": [
            {"measured_ms": plan.microseconds * 1e-3, "predicted_ms": ms, "kernels": asdict(plan.kernels)}
            for plan, ms in zip(found.plans, predicted_ms, strict=True)
        ],
        "cells": [
            {
                "kind": cell.kind.value,
                "degree": cell.degree,
                "level": cell.level,
                "microseconds": cell.microseconds,
            }
            for cell in found.cells
        ],
    }


def yaml_block(result: dict[str, Any]) -> str:
    """The measured coefficients as the architecture file has them; those of float32 from cpu-seal.yaml."""
    source = f"benchmarks/calibrate_cpu_engine.py, {result['date'][:10]}, one thread, load average {result['load_average']['after'][0]:.1f}"
    units = {"call_us": "us/call"}
    lines = ["kernels:"]
    for name, band in result["kernels"].items():
        entry = {
            "value": float(f"{band['value']:.4g}"),
            "unit": units.get(name, "ns"),
            "low": float(f"{band['low']:.4g}"),
            "high": float(f"{band['high']:.4g}"),
            "source": source,
            "kind": "measured",
        }
        lines.append(f"  {name}: {yaml.safe_dump(entry, default_flow_style=True, width=1000, sort_keys=False).strip()}")
    seal = yaml.safe_load((ARCHITECTURES / "cpu-seal.yaml").read_text(encoding="utf-8"))
    lines.append("coefficients:")
    for name in ("mac_ns", "elementwise_ns", "layer_call_us", "memory_bytes_per_s"):
        entry = seal["coefficients"][name]
        lines.append(f"  {name}: {yaml.safe_dump(entry, default_flow_style=True, width=1000, sort_keys=False).strip()}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
