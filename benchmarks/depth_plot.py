"""docs/depth.svg: accuracy against the number of squarings, with the server's time beside every network.

python -m benchmarks.depth_plot benchmarks/results/depth.json docs/depth.svg
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.depth import scaled_seconds
from benchmarks.report import read_result
from compress.svg import svg_bytes

#: What names of pruned networks contain.
PRUNED = ("pruned", "without")


def depth_plot(result: Mapping[str, Any]) -> bytes:
    """The rows of depth.json as an SVG file, always the same bytes."""
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    deepest = max(row["squarings"] for row in result["rows"])
    for row in result["rows"]:
        point = row["squarings"], 100 * row["accuracy"]
        pruned = any(word in row["network"] for word in PRUNED)
        color, left = ("tab:orange", False) if pruned else ("tab:blue", row["squarings"] < deepest)
        axes.plot(*point, "s" if row["network"].startswith("vit") else "o", color=color)
        label = f"{row['network']}, {scaled_seconds(row, result):.2g} s"
        side = {"xytext": (-6, 0), "ha": "right"} if left else {"xytext": (6, 0), "ha": "left"}
        axes.annotate(label, point, textcoords="offset points", fontsize=8, va="center", **side)
    axes.set_title("orange: pruned; squares: transformers; seconds: scaled, one thread", fontsize=8)
    axes.set_xlabel("squares and products of two values in a row")
    axes.set_ylabel("accuracy in clear, %")
    axes.margins(x=0.25, y=0.15)
    return svg_bytes(figure)


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    target.write_bytes(depth_plot(read_result(source)))
