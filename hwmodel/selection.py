"""The work of choosing boxes behind a detector, GreedyNMS beside PSRR-MaxpoolNMS, and its latency on an array. Pure.

Derived from the algorithms. An operation is an addition, a product, a comparison or a table entry read. Depth is the
longest chain of operations that wait for each other: no machine is faster, however many units it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2

from compress.checks import is_whole
from compress.errors import CostModelError
from hwmodel.architecture import PlainArray
from hwmodel.band import Band, exactly, larger

#: Operations of an overlap test: four minima and maxima, two differences, two clamps, a product, the union's sum and
#: difference, its product with the threshold, a comparison; and its longest chain.
OVERLAP_OPERATIONS, OVERLAP_DEPTH = 13, 7
#: Operations of finding a box's cell and channel (centre, cell, sides, area), and its longest chain.
RECOVERY_OPERATIONS, RECOVERY_DEPTH = 12, 4
#: Operations per box and row of windows: two table entries and their sum, the maximum of the window, the comparison.
WINDOW_OPERATIONS = 5
MS_PER_S = 1e3


@dataclass(frozen=True)
class SelectionWork:
    """operations: in all. depth: the longest chain of them."""

    operations: int
    depth: int


def greedy_work(boxes: int, kept: int, overlaps: int | None = None) -> SelectionWork:
    """GreedyNMS: a bitonic sort, then one round per kept box, which tests it against all boxes that are left.

    overlaps: tests in all; None takes the most, with every kept box against every box behind it.
    Raises: CostModelError for counts that do not fit together.
    """
    _check("boxes", boxes, 1)
    _check("kept", kept, 1)
    if kept > boxes:
        raise CostModelError(f"kept: {kept} of {boxes} boxes; no selection keeps more than there are")
    most = kept * boxes - kept * (kept + 1) // 2
    if overlaps is not None and not (is_whole(overlaps) and 0 <= overlaps <= most):
        raise CostModelError(f"overlaps: got {overlaps}; {kept} kept of {boxes} boxes take 0 to {most}")
    stages = ceil(log2(boxes)) if boxes > 1 else 0
    sort_depth = stages * (stages + 1) // 2
    comparisons = sort_depth * (boxes // 2)
    tests = most if overlaps is None else overlaps
    return SelectionWork(comparisons + OVERLAP_OPERATIONS * tests, sort_depth + kept * (OVERLAP_DEPTH + 1))


def psrr_work(boxes: int, rows: int, largest_window: int) -> SelectionWork:
    """PSRR-MaxpoolNMS with all pools at once: recovery, a maximum per window as a tree, a comparison, and all rows
    together. The counts do not depend on where boxes lie, but for the depth of the fullest window's tree.

    rows: pools times shifts. largest_window: the most boxes in one window.
    Raises: CostModelError.
    """
    for field, value in (("boxes", boxes), ("rows", rows), ("largest_window", largest_window)):
        _check(field, value, 1)
    per_box = RECOVERY_OPERATIONS + rows * WINDOW_OPERATIONS
    depth = RECOVERY_DEPTH + 2 + ceil(log2(largest_window)) + 1 + ceil(log2(rows))
    return SelectionWork(boxes * per_box, depth)


def selection_ms(work: SelectionWork, array: PlainArray) -> Band:
    """Milliseconds on an array whose units do one operation per cycle each: bound by its units or by the chain."""
    cycles = larger(exactly(work.operations) / array.macs_per_cycle.band, exactly(work.depth))
    return cycles / array.clock_hz.band * MS_PER_S


def _check(field: str, value: int, least: int) -> None:
    if not (is_whole(value) and value >= least):
        raise CostModelError(f"{field}: got {value!r}; give a whole number of at least {least}")
