"""Small charts as SVG text, for pages that fetch nothing: bars and points on log axes, stacked shares. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from math import ceil, floor, log10

WIDTH, LABEL_WIDTH, ROW_HEIGHT, MARGIN = 760, 220, 24, 34
COLOURS = (
    "#2f6f9f", "#d9822b", "#5b9a5b", "#b5524a", "#7d6ba6", "#8a8a8a", "#c9a227", "#4aa3a3",
    "#9cc3e0", "#f2c08f", "#b5d8b0", "#e3a29c", "#c3b8dc", "#4d4d4d", "#7a5c1e", "#1f5f5f",
)  # fmt: skip
LEGEND_COLUMNS, LEGEND_LINE = 5, 18
#: Size of the chart of points; two of them fit side by side on the page.
POINTS_WIDTH, POINTS_HEIGHT, POINTS_LEFT = 450, 260, 48


def log_bars(bars: Sequence[tuple[str, float, float, float]], unit: str) -> str:
    """Horizontal bars (label, value, low, high) on a logarithmic axis, with a line from low to high."""
    shown = [bar for bar in bars if bar[1] > 0]
    if not shown:
        return ""
    left = floor(log10(min(low if low > 0 else value for _, value, low, _ in shown)) - 0.1)
    right = ceil(log10(max(high for *_, high in shown)) + 0.1)
    place = _log_axis(left, right, LABEL_WIDTH, WIDTH - MARGIN)
    height = ROW_HEIGHT * len(shown) + MARGIN
    parts = [_ticks(left, right, place, height - MARGIN, unit)]
    for row, (label, value, low, high) in enumerate(shown):
        top = row * ROW_HEIGHT + 5
        middle = top + 7
        colour = COLOURS[1] if "encrypted" in label else COLOURS[0]
        parts.append(_text(LABEL_WIDTH - 8, middle + 4, label, "end"))
        parts.append(
            _rectangle(LABEL_WIDTH, top, max(1.0, place(value) - LABEL_WIDTH), 14, colour, f"{value:.4g} {unit}")
        )
        start = place(low) if low > 0 else LABEL_WIDTH
        parts.append(f'<line x1="{start:.1f}" x2="{place(high):.1f}" y1="{middle}" y2="{middle}" stroke="#222"/>')
    return _svg(height, parts)


def stacked_shares(stacks: Sequence[tuple[str, Mapping[str, float]]], unit: str) -> str:
    """One bar per stack, split into components as shares of its total; the total stands beside the bar."""
    shown = [(label, parts) for label, parts in stacks if sum(parts.values()) > 0]
    if not shown:
        return ""
    names = list(dict.fromkeys(name for _, parts in shown for name, value in parts.items() if value > 0))
    colour = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}
    right = WIDTH - 110
    height = ROW_HEIGHT * len(shown) + 14 + LEGEND_LINE * ceil(len(names) / LEGEND_COLUMNS)
    drawn = []
    for row, (label, values) in enumerate(shown):
        top, total, start = row * ROW_HEIGHT + 5, sum(values.values()), float(LABEL_WIDTH)
        drawn.append(_text(LABEL_WIDTH - 8, top + 11, label, "end"))
        for name, value in values.items():
            width = value / total * (right - LABEL_WIDTH)
            if width > 0:
                drawn.append(
                    _rectangle(start, top, width, 14, colour[name], f"{name}: {value:.3g} {unit}, {value / total:.0%}")
                )
            start += width
        drawn.append(_text(right + 6, top + 11, f"{total:.3g} {unit}", "start"))
    for index, name in enumerate(names):
        column, line = index % LEGEND_COLUMNS, index // LEGEND_COLUMNS
        x, y = LABEL_WIDTH - 140 + column * 135, ROW_HEIGHT * len(shown) + 14 + line * LEGEND_LINE
        drawn += [_rectangle(x, y, 10, 10, colour[name], name), _text(x + 14, y + 9, name, "start")]
    return _svg(height, drawn)


def log_points(
    points: Sequence[tuple[str, float, float]],
    axes: tuple[str, str],
    roof: tuple[float, float] | None = None,
) -> str:
    """Points (label, x, y) on logarithmic axes; roof (peak, slope) draws min(peak, slope * x)."""
    shown = [point for point in points if point[1] > 0 and point[2] > 0]
    if not shown:
        return ""
    xs, ys = [x for _, x, _ in shown], [y for *_, y in shown]
    if roof:
        xs.append(roof[0] / roof[1])  # the knee
        ys.append(roof[0])
    left, right = floor(log10(min(xs)) - 0.1), ceil(log10(max(xs)) + 0.1)
    bottom, top = floor(log10(min(ys)) - 0.1), ceil(log10(max(ys)) + 0.1)
    last, floor_y = POINTS_WIDTH - 16, POINTS_HEIGHT - MARGIN
    across, down = _log_axis(left, right, POINTS_LEFT, last), _log_axis(bottom, top, floor_y, 16)
    drawn = [_ticks(left, right, across, floor_y, axes[0], last)]
    for power in range(bottom, top + 1, max(1, ceil((top - bottom) / 8))):
        y = down(10.0**power)
        drawn.append(f'<line x1="{POINTS_LEFT}" x2="{last}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        drawn.append(_text(POINTS_LEFT - 6, y + 4, f"1e{power}", "end"))
    drawn.append(_text(POINTS_LEFT, 10, axes[1], "start"))
    if roof:
        peak, slope = roof
        steps = [left + (right - left) * step / 40 for step in range(41)]
        line = [(across(10**x), down(max(10.0**bottom, min(peak, slope * 10**x)))) for x in steps]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in line)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="#222"/>')
    for label, x, y in shown:
        drawn.append(
            f'<circle cx="{across(x):.1f}" cy="{down(y):.1f}" r="4" fill="{COLOURS[0]}">'
            f"<title>{escape(label)}</title></circle>"
        )
        drawn.append(_text(across(x) + 6, down(y) + 4, label, "start"))
    return _svg(POINTS_HEIGHT, drawn, POINTS_WIDTH)


def _log_axis(first_power: int, last_power: int, start: float, end: float) -> Callable[[float], float]:
    """A function from a value to its pixel, on an axis between powers of ten."""
    span = max(1, last_power - first_power)
    return lambda value: start + (log10(value) - first_power) / span * (end - start)


def _ticks(
    left: int, right: int, place: Callable[[float], float], bottom: float, unit: str, last: float = WIDTH - MARGIN
) -> str:
    step = max(1, ceil((right - left) / 8))
    marks = []
    for power in range(left, right + 1, step):
        x = place(10.0**power)
        marks.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{bottom}" stroke="#ddd"/>')
        marks.append(_text(x, bottom + 14, f"1e{power}", "middle"))
    marks.append(_text(last, bottom + 28, unit, "end"))
    return "".join(marks)


def _rectangle(x: float, y: float, width: float, height: float, colour: str, title: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" fill="{colour}">'
        f"<title>{escape(title)}</title></rect>"
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(height: float, parts: Sequence[str], width: float = WIDTH) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" font-family="sans-serif" font-size="11">{"".join(parts)}</svg>'
    )
