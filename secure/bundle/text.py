"""What texts about bundles of either mode share: accepted inputs, errors, changed classes, sizes, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, isfinite, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.front import Front


def accepted_range(low: NDArray[np.float64], high: NDArray[np.float64]) -> str:
    """The accepted inputs: one range, or by feature the narrowest and the widest."""
    if (low == low[0]).all() and (high == high[0]).all():
        return f"{low[0]:.4g} to {high[0]:.4g}"
    widths = high - low
    ends = [f"{low[i]:.4g} to {high[i]:.4g} (feature {i})" for i in (int(widths.argmin()), int(widths.argmax()))]
    return f"by feature, from {ends[0]} up to {ends[1]}"


def front_lines(front: Front | None) -> list[str]:
    """What the client makes of an image before it encrypts; no line where that is nothing."""
    if front is None:
        return []
    return [f"front     the client takes {front.features} cosine coefficients of an image {shape_text(front.shape)}"]


def error_text(error: float, report: Mapping[str, Any]) -> str:
    """The bound of an output's error, and that of either kind of error alone if the report has them."""
    parts = ""
    if "predicted_systematic_error" in report:
        parts = (
            f"; alone, rounded weights at most {report['predicted_systematic_error']:.3g} "
            f"and encryption {report['predicted_random_error']:.3g}"
        )
    grows = f"; of answers beyond {report['error_grows_beyond']:.3g} in proportion" if _grows(report) else ""
    return f"at most {error:.3g} at an output, for all but one input in 10,000 (predicted{parts}{grows})"


def _grows(report: Mapping[str, Any]) -> bool:
    return isfinite(report.get("error_grows_beyond", inf))


def changed_classes(report: Mapping[str, Any]) -> str:
    """The share of inputs whose class encryption changes: the upper limit, and what is expected."""
    limit = report["predicted_disagreement"]
    if "expected_disagreement" not in report:
        return f"encryption changes the class of {limit:.2%} of inputs (predicted)"
    return (
        f"encryption changes the class of at most {limit:.2%} of inputs (95 % confidence, "
        f"{report['disagreement_rows']} rows); {report['expected_disagreement']:.2%} are expected"
    )


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned columns: the first one to the left, all others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, *others = (
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *others]).rstrip())
    return "\n".join(lines)


def cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def shape_text(shape: Sequence[int]) -> str:
    return f"{' x '.join(map(str, shape))} ({prod(shape)})" if len(shape) > 1 else str(prod(shape))


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def size_text(number: float) -> str:
    """A size in decimal units, as links and disks are sold."""
    return f"{number / 1e6:.2f} MB" if number >= 1e6 else f"{number / 1e3:.1f} kB"
