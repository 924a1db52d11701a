"""Which boxes stay, decided on ciphertexts: the client encrypts one score per cell, the server answers keep bits.

The client knows the scores, because it decrypted them from the detector's answer. It encrypts them again under keys of
another ring, with fresh levels for the comparisons: one refresh by the client.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cipherpress.answered import answered
from cipherpress.detection.boxes import best_first, read_detections
from cipherpress.detection.cells import cell_scores
from cipherpress.detection.grid import Found
from cipherpress.zoo.detectors import CELL_ANCHORS
from compress.dataset import Progress

if TYPE_CHECKING:
    from secure.bundle.specs import Bundle
    from secure.comparison.keeping import Keeping

#: Levels of cells (`cipherpress.detection.cells`) that differ by so much are compared rightly; how far a bit may be
#: from 0 or 1, noise included.
LEAST_GAP, DEVIATION = 0.004, 0.125


@dataclass(frozen=True)
class Selected:
    """kept: indices of the boxes that stay, best first. cells: occupied ones. undecided: of these, those with a
    neighbour whose level is within `least_gap` of theirs, so that the plain rule may have kept another of the two.
    farthest: the largest distance of a decided cell's bit from 0 or 1; certified: what it is at most.

    server_ms: the comparisons. client_ms: encryption and decryption. key_bytes: what the server was sent.
    """

    kept: NDArray[np.intp]
    cells: int
    undecided: int
    least_gap: float
    farthest: float
    certified: float
    server_ms: float
    client_ms: float
    key_bytes: int

    def as_json(self) -> dict[str, Any]:
        """Without the boxes."""
        return {name: value for name, value in vars(self).items() if name != "kept"}


@lru_cache(maxsize=1)
def selection_bundle() -> tuple[Keeping, Bundle]:
    """The selection of CELL_ANCHORS' grid, planned in a second: the rule, and what both parties need."""
    from secure.comparison.bundling import planned_keeping

    columns, lines = CELL_ANCHORS.cells
    ((kernel, _),) = CELL_ANCHORS.kernels()
    half = (kernel + 1) // 2
    shifts = ((0, 0), (0, half), (half, 0), (half, half))
    return planned_keeping(lines, columns, kernel, shifts, least_gap=LEAST_GAP, deviation=DEVIATION)


def selected_encrypted(
    found: Found, least_score: float, *, threads: int = 1, progress: Progress | None = None
) -> Selected:
    """The boxes of a picture that beat all boxes of neighbouring cells, by comparisons on ciphertexts.

    Both parties run in this process, under fresh keys. Decided cells are those of `psrr_nms` with CELL_ANCHORS and the
    pool "single" for boxes of one class. threads: of the server. Raises: InputShapeError, BackendError.
    """
    from secure.comparison.plain import plain_bits

    say = progress or (lambda label, share: None)
    cells = cell_scores(found.boxes, found.scores, CELL_ANCHORS, least_score)
    say("keys of the selection", 0.0)
    keeping, bundle = selection_bundle()
    steps = ("encrypt scores", 0.7), ("compare", 0.8)
    answer = answered(bundle, cells.levels.clip(max=1), steps, threads=threads, progress=say)
    bits = answer.outputs
    say("select", 1.0)
    occupied = cells.boxes >= 0
    plain, decided = plain_bits(cells.levels, keeping.grid, keeping.least_gap)
    apart = np.abs(bits - plain)[occupied & decided]
    return Selected(
        kept=_best_first(found, cells.boxes[occupied & (bits > 0.5)]),
        cells=int(occupied.sum()),
        undecided=int((occupied & ~decided).sum()),
        least_gap=keeping.least_gap,
        farthest=float(apart.max(initial=0)),
        certified=keeping.deviation + bundle.client.predicted_logit_error,
        server_ms=answer.server_ms,
        client_ms=answer.client_ms,
        key_bytes=answer.key_bytes,
    )


def _best_first(found: Found, rows: NDArray[np.int64]) -> NDArray[np.intp]:
    order = best_first(read_detections(found.boxes[rows], found.scores[rows]))
    return rows[order].astype(np.intp)
