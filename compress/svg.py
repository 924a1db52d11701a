"""A figure as an SVG file, the same bytes every time. Needs matplotlib (the extra 'plots')."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def svg_bytes(figure: Figure) -> bytes:
    """The figure, with text as text."""
    import matplotlib  # optional, and slow to import

    buffer = BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "cipherpress", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
