"""From the outputs of a detector's grid to boxes with scores and classes, in clear. Derived.

Per cell of the grid and anchor the network answers whether there is an object and how the anchor moves; per cell it
answers the classes, which the anchors of a cell share. A client does this after decryption.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cipherpress.detection.anchors import Anchors
from compress.errors import InputShapeError

#: Places per anchor in the outputs: the object, then the moves of centre (x, y) and size (width, height).
PER_ANCHOR = 5
#: Largest logarithm by which an anchor's side grows: outputs beyond it would give boxes of any size.
LARGEST_GROWTH = 3.0


@dataclass(frozen=True)
class Found:
    """Boxes (n, 4) in pixels, scores (n,) in [0, 1], classes (n,), and the anchors that they came from, (n, 4)."""

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]
    sources: NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """A detector's grid: `lines` x `columns` cells of `anchors.stride` pixels, and `classes` classes.

    Outputs are (channels, lines, columns): objects of all anchors first, then the four moves anchor by anchor, then
    the classes.
    """

    anchors: Anchors
    lines: int
    columns: int
    classes: int

    @property
    def channels(self) -> int:
        return PER_ANCHOR * self.anchors.channels + self.classes

    @cached_property
    def sources(self) -> NDArray[np.float64]:
        """The anchor of every place, (anchors, lines, columns, 4), with its centre in the middle of its cell."""
        sizes = np.array([self.anchors.size(channel) for channel in range(self.anchors.channels)])
        x = (np.arange(self.columns) + 0.5) * self.anchors.stride
        y = (np.arange(self.lines) + 0.5) * self.anchors.stride
        centre = np.stack(np.broadcast_arrays(x[None, :], y[:, None]), axis=-1)
        half = sizes[:, None, None] / 2
        return np.concatenate([centre - half, centre + half], axis=-1)

    def decode(self, outputs: NDArray[np.float64], least_score: float = 0.05) -> Found:
        """The boxes of one picture whose score is at least `least_score`.

        A score is the probability of an object times that of its class. Raises: InputShapeError for other shapes.
        """
        if outputs.size != self.channels * self.lines * self.columns:
            raise InputShapeError(
                f"outputs: shape {outputs.shape}; the grid has {self.channels} x {self.lines} x {self.columns}"
            )
        count = self.anchors.channels
        planes = outputs.reshape(self.channels, self.lines, self.columns)
        logits = planes[PER_ANCHOR * count :]
        odds = np.exp(logits - logits.max(axis=0))
        probable = odds.max(axis=0) / odds.sum(axis=0)
        scores = probable / (1 + np.exp(-planes[:count].clip(-60, 60)))
        taken = scores >= least_score
        moves = planes[count : PER_ANCHOR * count].reshape(count, 4, self.lines, self.columns).transpose(0, 2, 3, 1)
        sources = self.sources[taken]
        classes = np.broadcast_to(logits.argmax(axis=0), scores.shape)[taken]
        return Found(moved(sources, moves[taken]), scores[taken], classes.astype(np.int64), sources)


def moved(sources: NDArray[np.float64], moves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Anchors (n, 4) moved by (n, 4): centres by shares of the anchor's sides, sides by exponentials."""
    size = sources[:, 2:] - sources[:, :2]
    centre = (sources[:, 2:] + sources[:, :2]) / 2 + moves[:, :2] * size
    half = size * np.exp(moves[:, 2:].clip(-LARGEST_GROWTH, LARGEST_GROWTH)) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def moves_to(sources: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The moves that take anchors (n, 4) to boxes (n, 4): the inverse of `moved`."""
    size, wanted = sources[:, 2:] - sources[:, :2], boxes[:, 2:] - boxes[:, :2]
    apart = (boxes[:, 2:] + boxes[:, :2] - sources[:, 2:] - sources[:, :2]) / 2
    return np.concatenate([apart / size, np.log(wanted / size)], axis=1)
