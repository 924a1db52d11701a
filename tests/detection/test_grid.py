"""Outputs of a detector's grid as boxes, and how precise boxes are."""

import numpy as np
import pytest

from cipherpress.detection.anchors import Anchors
from cipherpress.detection.grid import PER_ANCHOR, Grid, moved, moves_to
from cipherpress.detection.precision import OVERLAPS, Labelled, average_precision
from compress.errors import InputShapeError

GRID = Grid(Anchors(image=(32, 24), areas=(64.0, 256.0), ratios=(1.0, 2.0), stride=8.0), lines=3, columns=4, classes=3)


def test_anchors_stand_in_the_middle_of_their_cells() -> None:
    assert GRID.channels == 5 * 4 + 3
    assert GRID.sources.shape == (4, 3, 4, 4)
    assert GRID.sources[0, 0, 0].tolist() == [0, 0, 8, 8]
    assert GRID.sources[2, 1, 3].tolist() == [20, 4, 36, 20]
    x1, y1, x2, y2 = GRID.sources[1, 0, 0]
    assert (y2 - y1) / (x2 - x1) == pytest.approx(2, rel=0.1)


def test_outputs_become_boxes_with_scores_and_classes() -> None:
    outputs = np.full((GRID.channels, 3, 4), -20.0)
    outputs[PER_ANCHOR * 4 :] = 0
    outputs[2, 1, 3] = 3.0  # anchor 2 of the cell in line 1, column 3
    outputs[PER_ANCHOR * 4 + 1, 1, 3] = 5.0
    moves = outputs[4:20].reshape(4, 4, 3, 4)
    moves[2, :, 1, 3] = 0.25, -0.5, np.log(2), 0
    found = GRID.decode(outputs)
    assert found.boxes.tolist() == [pytest.approx([16, -4, 48, 12])]
    assert found.classes.tolist() == [1]
    assert found.scores[0] == pytest.approx(1 / (1 + np.exp(-3)) * np.exp(5) / (np.exp(5) + 2))
    assert found.sources.tolist() == [[20, 4, 36, 20]]
    assert len(GRID.decode(outputs, least_score=0.99).boxes) == 0


def test_moves_take_anchors_to_boxes() -> None:
    rng = np.random.default_rng(0)
    first, second = (np.sort(rng.uniform(0, 30, (20, 2, 2)), axis=1).reshape(20, 4) for _ in range(2))
    second = np.where(second == first, second + 1, second)
    ratio = (second[:, 2:] - second[:, :2]) / (first[:, 2:] - first[:, :2])
    usual = (np.abs(np.log(ratio)) < 3).all(axis=1)
    assert usual.sum() > 10
    assert moved(first, moves_to(first, second))[usual] == pytest.approx(second[usual])


def test_outputs_of_any_size_give_boxes_of_a_bounded_size() -> None:
    found = GRID.decode(np.full((GRID.channels, 3, 4), 1e4))
    assert np.isfinite(found.boxes).all()
    with pytest.raises(InputShapeError, match="outputs: shape"):
        GRID.decode(np.zeros((2, 3, 4)))


def labelled(rows: list, scored: bool = False) -> Labelled:
    """Rows of x1, y1, x2, y2, class, picture and, where they are detections, a score."""
    values = np.array(rows, dtype=np.float64).reshape(-1, 7 if scored else 6)
    whole = values[:, 4:6].astype(np.int64)
    return Labelled(values[:, :4], whole[:, 0], whole[:, 1], values[:, 6] if scored else None)


def test_precision_of_what_is_right_half_right_and_doubled() -> None:
    truth = labelled([[0, 0, 10, 10, 0, 0], [20, 20, 30, 30, 0, 0], [0, 0, 10, 10, 0, 1]])
    first, second, third = ([*row.tolist(), 0, picture] for row, picture in zip(truth.boxes, (0, 0, 1), strict=True))
    perfect = labelled([[*first, 0.9], [*second, 0.8], [*third, 0.7]], scored=True)
    assert average_precision(perfect, truth).tolist() == [1.0] * len(OVERLAPS)
    doubled = labelled([[*first, 0.9], [*first, 0.85], [*second, 0.8], [*third, 0.7]], scored=True)
    one, two = 34 / 101, 67 / 101  # recalls of a third and of two thirds, at 101 places
    assert average_precision(doubled, truth)[0] == pytest.approx(one * 1 + (1 - one) * 0.75)
    missing = labelled([[*first, 0.9], [*second, 0.8]], scored=True)
    assert average_precision(missing, truth)[0] == pytest.approx(two)
    elsewhere = labelled([[*first[:5], 1, 0.9]], scored=True)
    assert average_precision(elsewhere, truth)[0] == pytest.approx(one)  # it is right there: picture 1 has such a box
    assert average_precision(labelled([], scored=True), truth)[0] == 0
    assert np.isnan(average_precision(perfect, labelled([]))).all()


def test_a_larger_overlap_is_harder() -> None:
    truth = labelled([[0, 0, 10, 10, 0, 0], [0, 0, 10, 10, 1, 0]])
    found = labelled([[0, 0, 10, 8, 0, 0, 0.9], [0, 0, 10, 10, 2, 0, 0.9]], scored=True)
    assert average_precision(found, truth).tolist() == [0.5] * 7 + [0.0] * 3
