"""A search on disk: targets.json with every trial, targets.svg with a picture of them (needs matplotlib)."""

from __future__ import annotations

from pathlib import Path

from compress.artifact import FILE_MODE, json_bytes, write_files
from compress.press.target import Found, Trial, described
from compress.svg import svg_bytes

TARGETS_FILE, PLOT_FILE = "targets.json", "targets.svg"


def write_search(found: Found, folder: str | Path) -> bool:
    """Write both files into the folder of the bundle that was found; files of an earlier search are replaced.

    False when matplotlib is missing (the extra 'plots'): then there is no picture.
    """
    files = {TARGETS_FILE: (json_bytes(found.as_json()), FILE_MODE)}
    try:
        files[PLOT_FILE] = (search_picture(found), FILE_MODE)
    except ImportError:
        pass
    write_files(Path(folder), files, force=True)
    return PLOT_FILE in files


def search_picture(found: Found) -> bytes:
    """An SVG of accuracy on held-out images against predicted server time.

    Every trained network is a point. A line joins the Pareto set; dashed lines show the limits of the target.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # optional, and slow to import
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    points = [_point(trial) for trial in found.trials]
    axes.scatter(*zip(*points, strict=True), color="tab:gray", zorder=2, label="trained")
    front = sorted(_point(trial) for trial in found.front)
    axes.plot(
        *zip(*front, strict=True),
        color="tab:blue",
        marker="o",
        zorder=3,
        label="Pareto set (time, keys, upload, accuracy)",
    )
    axes.scatter(
        *_point(found.best),
        s=130,
        facecolors="none",
        edgecolors="tab:red",
        zorder=4,
        label="meets the target" if found.met else "closest",
    )
    for trial in found.trials:
        axes.annotate(described(trial.setting), _point(trial), textcoords="offset points", xytext=(6, -9), fontsize=6)
    axes.axhline(100 * found.target.min_accuracy, color="tab:red", linestyle="--", linewidth=0.8)
    if found.target.server_ms is not None:
        axes.axvline(found.target.server_ms, color="tab:red", linestyle="--", linewidth=0.8)
    axes.set_xlabel("server time, ms (predicted, one thread)")
    axes.set_ylabel("accuracy on held-out images, %")
    axes.margins(x=0.2, y=0.1)
    axes.legend(fontsize=7)
    return svg_bytes(figure)


def _point(trial: Trial) -> tuple[float, float]:
    return trial.costs.server_ms, 100 * trial.accuracy
