"""What both calibrations share: the command line, bands, and the part of an architecture file that they write."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from benchmarks.machine import this_machine
from compress.artifact import json_bytes, write_file
from hwmodel.architecture_file import ARCHITECTURES

BEGIN, END = "# measured: begin", "# measured: end"
#: Share of residuals and of machine speeds that a band leaves out on each side.
TAIL = 0.1
Result = dict[str, Any]


def main(
    description: str | None,
    calibrate: Callable[[int], Result],
    yaml_block: Callable[[Result], str],
    summary: Callable[[Result], Iterable[str]],
    *,
    result_path: Path,
    architecture: str,
) -> None:
    """The command line: measure, write the result, print it, and with --write put it into the architecture file."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25, help="interleaved rounds; 25 take about a minute")
    parser.add_argument("--write", action="store_true", help="put the coefficients into the architecture file")
    options = parser.parse_args()
    result = calibrate(options.rounds)
    write_file(result_path, json_bytes(result), force=True)
    block = yaml_block(result)
    sys.stdout.write("\n".join([block, *summary(result)]) + "\n")
    if options.write:
        path = ARCHITECTURES / f"{architecture}.yaml"
        write_file(path, with_block(path.read_text(encoding="utf-8"), block).encode(), force=True)


def with_block(text: str, block: str) -> str:
    """An architecture file with the part between its marks replaced."""
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n{block}{END}{rest.partition(END)[2]}"


def conditions(rounds: int, load_before: Sequence[float]) -> Result:
    """What the machine was, and what it was doing from the start of the measurement until now."""
    return {
        "machine": this_machine().as_json(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_average": {"before": list(load_before), "after": list(os.getloadavg())},
        "clock": "process CPU time, one thread",
        "rounds": rounds,
    }


def spread(ratios: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
    """The quantiles between which a band lies."""
    low, high = np.quantile(np.asarray(ratios), [TAIL, 1 - TAIL])
    return float(low), float(high)


def band_factors(residuals: tuple[float, float], speeds: tuple[float, float]) -> tuple[float, float]:
    """Factors from a fitted value to the ends of its band: residuals of the fit times speeds of the machine."""
    return min(1.0, residuals[0] * speeds[0]), max(1.0, residuals[1] * speeds[1])


def band(value: float, factors: tuple[float, float]) -> dict[str, float]:
    """A fitted value with its band, to four digits."""
    ends = {"value": value, "low": value * factors[0], "high": value * factors[1]}
    return {name: float(f"{number:.4g}") for name, number in ends.items()}


def yaml_lines(bands: Mapping[str, Mapping[str, float]], units: Mapping[str, str], source: str) -> list[str]:
    """One line per coefficient, as an architecture file has it."""
    entries = {
        name: {
            "value": float(f"{bands[name]['value']:.4g}"),
            "unit": unit,
            "low": float(f"{bands[name]['low']:.4g}"),
            "high": float(f"{bands[name]['high']:.4g}"),
            "source": source,
            "kind": "measured",
        }
        for name, unit in units.items()
    }
    return [yaml_line(name, entry) for name, entry in entries.items()]


def yaml_line(name: str, entry: Mapping[str, Any]) -> str:
    """An indented line `name: {...}`."""
    return f"  {name}: {yaml.safe_dump(dict(entry), default_flow_style=True, width=10_000, sort_keys=False).strip()}"
