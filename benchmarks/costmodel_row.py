"""One row of the cost model's validation: the published or measured figure, the model's, and the use of the row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import exp, log
from typing import Any

CALIBRATION, HELD_OUT, NOTE_ONLY = "calibration", "held out", "listed"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row. published, modelled: in `unit`. kind: 'published' or 'measured'. mark: how the source was read.

    use: 'calibration' (a coefficient comes from it), 'held out' (no coefficient does), or 'listed'. A listed row is
    held
    out too, but left out of the mean: its source contradicts itself, or gives another quantity. `note` says why.
    """

    family: str
    row: str
    quantity: str
    unit: str
    published: float
    modelled: float
    use: str
    source: str
    mark: str
    kind: str = "published"
    note: str = ""

    @property
    def ratio(self) -> float:
        return self.modelled / self.published

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio}


def geometric_mean_error(rows: Iterable[Row]) -> float:
    """exp of the mean |log ratio|, minus 1: 0.25 means that rows are off by a factor of 1.25 on geometric average."""
    logs = [abs(log(row.ratio)) for row in rows]
    return exp(sum(logs) / len(logs)) - 1 if logs else 0.0


def summary(rows: Sequence[Row], targets: Mapping[str, float]) -> list[dict[str, Any]]:
    """One line per family: rows held out, their geometric-mean error, the target, and whether it is met."""
    lines = []
    for family in dict.fromkeys(row.family for row in rows):
        held_out = [row for row in rows if row.family == family and row.use == HELD_OUT]
        error, target = geometric_mean_error(held_out), targets.get(family)
        lines.append(
            {
                "family": family,
                "held_out": len(held_out),
                "geometric_mean_error": error,
                "target": target,
                "met": None if target is None else error <= target,
            }
        )
    return lines
