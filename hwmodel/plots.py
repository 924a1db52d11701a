"""A comparison as a picture: latency and energy of every machine and mode, with their bands, energy split by component.

Needs matplotlib (the extra 'plots'); nothing else in this package does.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from compress.errors import CostModelError, OverwriteError
from hwmodel.report import Comparison, CostReport

FORMATS = (".pdf", ".png", ".svg")


def component_totals(report: CostReport, *, energy: bool) -> dict[str, float]:
    """Millijoules (or milliseconds) by component, summed over layers; they sum to the report's value."""
    totals: dict[str, float] = defaultdict(float)
    for layer in report.layers:
        parts: Mapping[str, float] = layer.energy_parts if energy else layer.latency_parts
        for name, value in parts.items():
            totals[name] += value
    return {name: value for name, value in totals.items() if value > 0}


def save_plot(comparison: Comparison, path: str | Path, *, force: bool = False) -> None:
    """Two bar charts (latency, energy; logarithmic) with low .. high bars; each bar's largest components are named.

    Raises: CostModelError without matplotlib or for an unknown ending; OverwriteError when the file exists.
    """
    target = Path(path)
    if target.suffix.lower() not in FORMATS:
        raise CostModelError(
            f"{target}: a plot is written as {', '.join(FORMATS[:-1])} or {FORMATS[-1]}; choose one of them"
        )
    if target.exists() and not force:
        raise OverwriteError(target)
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # optional, and slow to import
        from matplotlib.figure import Figure
    except ImportError as error:
        raise CostModelError(f"{target}: plots need matplotlib; install cipherpress[plots]") from error
    figure = Figure(figsize=(11, 1.2 + 0.6 * len(comparison.reports)), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, energy in zip(figure.subplots(1, 2, sharey=True), (False, True), strict=True):
        for position, report in enumerate(comparison.reports):
            band = report.energy if energy else report.latency
            if band.value == 0:
                continue
            errors = [[band.value - band.low], [band.high - band.value]]
            axes.barh(position, band.value, xerr=errors, color="tab:blue" if report.mode == "plain" else "tab:orange")
            axes.annotate(_largest(component_totals(report, energy=energy)), (band.high, position), fontsize=7)
        axes.set_xscale("log")
        axes.set_xlabel("energy an image, mJ (modelled)" if energy else "latency an image, ms (modelled)")
        axes.margins(x=0.4)
    figure.axes[0].set_yticks(
        range(len(comparison.reports)), [f"{report.architecture}\n{report.mode}" for report in comparison.reports]
    )
    figure.axes[0].invert_yaxis()
    temporary = target.with_name(f".{target.name}.part")
    figure.savefig(temporary, format=target.suffix.lower()[1:])
    os.replace(temporary, target)


def _largest(parts: Mapping[str, float]) -> str:
    """The two largest components and their shares."""
    total = sum(parts.values())
    ranked = sorted(parts.items(), key=lambda part: -part[1])[:2]
    return "  " + ", ".join(f"{name} {value / total:.0%}" for name, value in ranked)
