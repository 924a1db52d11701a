"""Points of which none is at least as good as another in everything. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def pareto_front(points: Sequence[tuple[float, ...]]) -> list[int]:
    """Indices of the undominated points, in their order; every coordinate is better when smaller. Of equal points the
    first.
    """
    return [
        index
        for index, point in enumerate(points)
        if not any(
            all(a <= b for a, b in zip(other, point, strict=True)) and (other != point or place < index)
            for place, other in enumerate(points)
        )
    ]
