"""What the charts show, as plain values. Matplotlib pictures and SVG in pages use the same ones. Pure."""

from __future__ import annotations

from collections import defaultdict

from hwmodel.report import CostReport


def energy_by_component(report: CostReport) -> dict[str, float]:
    """Millijoules by component, summed over layers; they sum to the report's energy."""
    totals: dict[str, float] = defaultdict(float)
    for layer in report.layers:
        for name, value in layer.energy_parts.items():
            totals[name] += value
    return {name: value for name, value in totals.items() if value > 0}


def latency_by_component(report: CostReport) -> dict[str, float]:
    """Milliseconds by component, summed over layers; they sum to the report's latency."""
    totals: dict[str, float] = defaultdict(float)
    for layer in report.layers:
        for name, value in layer.latency_parts.items():
            totals[name] += value
    return {name: value for name, value in totals.items() if value > 0}
