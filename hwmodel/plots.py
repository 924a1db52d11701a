"""Comparisons as pictures: costs with bands, energy by component, rooflines, accuracy against latency, a waterfall.

This file needs matplotlib (the extra 'plots'); no other file of the package does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import Any

from compress.artifact import refuse_existing, write_file
from compress.errors import CostModelError
from hwmodel.architecture import Architecture
from hwmodel.charts import energy_by_component, latency_by_component
from hwmodel.report import Comparison
from hwmodel.roofline import Roofline, roofline
from hwmodel.variants import VariantTable

FORMATS = (".pdf", ".png", ".svg")
ROOFLINE_COLUMNS = 3
#: Matplotlib's twenty colours; its default ten would repeat within one stack.
DISTINCT_COLOURS = (
    "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf",
    "#aec7e8", "#ffbb78", "#98df8a", "#ff9896", "#c5b0d5", "#c49c94", "#f7b6d2", "#c7c7c7", "#dbdb8d", "#9edae5",
)  # fmt: skip
Draw = Callable[[Any], None]


def save_plot(comparison: Comparison, path: str | Path, *, force: bool = False) -> None:
    """Two logarithmic bar charts, of latency and energy, with a line from low to high and each bar's largest
    components.

    Raises: CostModelError without matplotlib or for an unknown file ending; OverwriteError when the file exists and
    force is False.
    """

    def draw(figure: Any) -> None:
        for axes, energy in zip(figure.subplots(1, 2, sharey=True), (False, True), strict=True):
            _draw_costs(axes, comparison, energy)
        figure.axes[0].set_yticks(range(len(comparison.reports)), _names(comparison))
        figure.axes[0].invert_yaxis()

    _save(draw, path, (11, 1.2 + 0.6 * len(comparison.reports)), force)


def save_energy_plot(comparison: Comparison, path: str | Path, *, force: bool = False) -> None:
    """Energy by component, as shares of each bar's total; the total stands beside the bar. Raises: as save_plot."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        axes.set_prop_cycle(color=DISTINCT_COLOURS)
        stacks = [energy_by_component(report) for report in comparison.reports]
        for name in dict.fromkeys(name for stack in stacks for name in stack):
            shares = [stack.get(name, 0.0) / (sum(stack.values()) or 1.0) for stack in stacks]
            starts = [sum(_before(stack, name)) / (sum(stack.values()) or 1.0) for stack in stacks]
            axes.barh(range(len(stacks)), shares, left=starts, label=name)
        for position, stack in enumerate(stacks):
            axes.annotate(f"  {sum(stack.values()):.3g} mJ", (1.0, position), va="center", fontsize=7)
        axes.set_yticks(range(len(stacks)), _names(comparison))
        axes.invert_yaxis()
        axes.set_xlabel("share of the energy of an image (modelled)")
        axes.margins(x=0.15)
        figure.legend(fontsize=7, loc="outside lower center", ncols=5)

    _save(draw, path, (9, 1.8 + 0.5 * len(comparison.reports)), force)


def save_roofline_plot(
    comparison: Comparison, machines: Mapping[str, Architecture], path: str | Path, *, force: bool = False
) -> None:
    """One panel per machine: its roof, and one point per layer that moves bytes. Raises: as save_plot."""
    roofs = [
        roof
        for report in comparison.reports
        if (roof := roofline(report, machines[report.architecture])) is not None
        and any(point.operations_per_byte for point in roof.points)
    ]
    if not roofs:
        raise CostModelError(
            f"{path}: no machine here moves bytes for a layer, so there is no roofline; add an array, or an "
            "accelerator whose memory is too small for the keys"
        )
    columns = min(ROOFLINE_COLUMNS, len(roofs))
    rows = ceil(len(roofs) / columns)

    def draw(figure: Any) -> None:
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, roof in zip(panels, roofs, strict=False):
            _draw_roofline(axes, roof)
        for axes in panels[len(roofs) :]:
            axes.remove()

    _save(draw, path, (4 * columns, 3.6 * rows), force)


def save_pareto_plot(table: VariantTable, architecture: str, path: str | Path, *, force: bool = False) -> None:
    """Accuracy against encrypted latency on one machine; a line joins the Pareto front. Raises: as save_plot."""
    points = table.pareto(architecture)
    if not points:
        raise CostModelError(f"{path}: no version has both an accuracy and an encrypted latency on '{architecture}'")

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        front = sorted((p.latency_ms, p.accuracy) for p in points if p.on_front)
        axes.plot(*zip(*front, strict=True), color="tab:gray", zorder=1)
        axes.scatter([p.latency_ms for p in points], [p.accuracy for p in points], zorder=2)
        for point in points:
            axes.annotate(f" {point.label}", (point.latency_ms, point.accuracy), fontsize=7)
        latencies = [point.latency_ms for point in points]
        if max(latencies) > 10 * min(latencies):
            axes.set_xscale("log")
        axes.margins(x=0.2)
        axes.set_xlabel(f"encrypted latency on {architecture}, ms (modelled)")
        axes.set_ylabel("accuracy (measured)")

    _save(draw, path, (6, 4), force)


def save_waterfall_plot(
    table: VariantTable, plain: str, encrypted: str, path: str | Path, *, force: bool = False
) -> None:
    """Latency from the baseline in clear to the last version encrypted, on a log axis. Raises: as save_plot."""
    steps = table.waterfall(plain, encrypted)

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        axes.bar(range(len(steps)), [milliseconds for _, milliseconds in steps])
        for position, (_, milliseconds) in enumerate(steps):
            axes.annotate(f"{milliseconds:.3g} ms", (position, milliseconds), ha="center", va="bottom", fontsize=8)
        axes.set_xticks(range(len(steps)), [step.replace(", ", "\n") for step, _ in steps])
        axes.set_yscale("log")
        axes.margins(y=0.15)
        axes.set_ylabel("latency per image, ms (modelled)")
        axes.set_title(plain if plain == encrypted else f"{plain} in clear, {encrypted} encrypted", fontsize=9)

    _save(draw, path, (7, 4), force)


def _save(draw: Draw, path: str | Path, size: tuple[float, float], force: bool) -> None:
    """Draw on a new figure and write it whole or not at all."""
    target = Path(path)
    if target.suffix.lower() not in FORMATS:
        raise CostModelError(
            f"{target}: a plot is written as {', '.join(FORMATS[:-1])} or {FORMATS[-1]}; choose one of them"
        )
    refuse_existing(target, force=force)
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # optional, and slow to import
        from matplotlib.figure import Figure
    except ImportError as error:
        raise CostModelError(f"{target}: plots need matplotlib; install cipherpress[plots]") from error
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure)
    picture = BytesIO()
    figure.savefig(picture, format=target.suffix.lower()[1:])
    write_file(target, picture.getvalue(), force=force)


def _draw_costs(axes: Any, comparison: Comparison, energy: bool) -> None:
    for position, report in enumerate(comparison.reports):
        band = report.energy if energy else report.latency
        if band.value == 0:
            continue
        errors = [[band.value - band.low], [band.high - band.value]]
        axes.barh(position, band.value, xerr=errors, color="tab:blue" if report.mode == "plain" else "tab:orange")
        parts = energy_by_component(report) if energy else latency_by_component(report)
        axes.annotate(_largest(parts), (band.high, position), fontsize=7)
    axes.set_xscale("log")
    axes.set_xlabel("energy per image, mJ (modelled)" if energy else "latency per image, ms (modelled)")
    axes.margins(x=0.7)


def _draw_roofline(axes: Any, roof: Roofline) -> None:
    points = [point for point in roof.points if point.operations_per_byte]
    knee = roof.peak_operations_per_s / roof.memory_bytes_per_s
    span = [point.operations_per_byte or 0.0 for point in points] + [knee]
    ends = sorted((min(span) / 3, knee, max(span) * 3))
    axes.plot(ends, [roof.attainable(intensity) for intensity in ends], color="tab:gray")
    axes.scatter([point.operations_per_byte for point in points], [point.operations_per_s for point in points])
    for point in points:
        axes.annotate(f" {point.layer}", (point.operations_per_byte, point.operations_per_s), fontsize=6)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_title(roof.architecture)
    axes.set_xlabel(f"{roof.operation}s per byte (modelled)")
    axes.set_ylabel(f"{roof.operation}s per second (modelled)")


def _names(comparison: Comparison) -> list[str]:
    return [f"{report.architecture}\n{report.mode}" for report in comparison.reports]


def _before(stack: Mapping[str, float], name: str) -> list[float]:
    """The components of a stack that are drawn before `name`."""
    names = list(stack)
    return [stack[other] for other in names[: names.index(name)]] if name in stack else []


def _largest(parts: Mapping[str, float]) -> str:
    """The two largest components and their shares."""
    total = sum(parts.values())
    ranked = sorted(parts.items(), key=lambda part: -part[1])[:2]
    return "  " + ", ".join(f"{name} {value / total:.0%}" for name, value in ranked)
