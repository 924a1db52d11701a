"""The allocation as a picture: the share of each layer's weights that stays, its bits per weight, and its bytes.

Needs matplotlib (the extra 'plots').
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from compress.artifact import refuse_existing, write_file
from compress.errors import CompressError, ConfigError

FORMATS = (".pdf", ".png", ".svg")


def save_allocation_plot(rows: Sequence[Mapping[str, Any]], path: str | Path, *, force: bool = False) -> None:
    """Draw three bars per layer. rows: the layers of `inspection.describe_model`.

    Raises: ConfigError for an unknown file ending; CompressError without matplotlib; OverwriteError when the file
    exists and force is False.
    """
    target = Path(path)
    if target.suffix.lower() not in FORMATS:
        raise ConfigError("plot", str(target), f"a file that ends in {', '.join(FORMATS)}")
    refuse_existing(target, force=force)
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # optional, and slow to import
        from matplotlib.figure import Figure
    except ImportError as error:
        raise CompressError(None, f"{target}: plots need matplotlib; install cipherpress[plots]") from error
    figure = Figure(figsize=(10, 1.5 + 0.35 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    columns = (
        ("weights that stay, %", [100 * (1 - row["sparsity"]) for row in rows]),
        ("bits per weight", [row["bits"] for row in rows]),
        ("kilobytes, everything counted", [row["total_bits"] / 8e3 for row in rows]),
    )
    for axes, (label, values) in zip(figure.subplots(1, len(columns), sharey=True), columns, strict=True):
        axes.bar_label(axes.barh(range(len(rows)), values), fmt="%.3g", fontsize=7)
        axes.set_xlabel(label)
        axes.margins(x=0.15)
    figure.axes[0].set_yticks(range(len(rows)), [row["layer"] for row in rows])
    figure.axes[0].invert_yaxis()
    picture = BytesIO()
    figure.savefig(picture, format=target.suffix.lower()[1:])
    write_file(target, picture.getvalue(), force=force)
