"""Scenes at the edge of what a detector answers, by every selection: nothing, one, all alike, borders, ratios."""

import numpy as np
import pytest

import cipherpress as cp
from cipherpress.detection.anchors import Anchors
from cipherpress.detection.pairwise import pairwise_nms
from compress.errors import InputShapeError

ANCHORS = Anchors(image=(64, 48), areas=(144.0, 576.0), stride=4.0)
SELECTIONS = {
    "greedy": cp.greedy_nms,
    "maxpool": lambda *given: cp.maxpool_nms(*given, anchors=ANCHORS),
    "psrr": lambda *given: cp.psrr_nms(*given, anchors=ANCHORS),
    "psrr in turn": lambda *given: cp.psrr_nms(*given, anchors=ANCHORS, order="sequential"),
    "pairs": lambda *given: pairwise_nms(*given, anchors=ANCHORS),
}
every_selection = pytest.mark.parametrize("select", SELECTIONS.values(), ids=SELECTIONS)


@every_selection
def test_of_boxes_that_are_all_the_same_place_the_best_stays(select) -> None:
    boxes = np.tile([8.0, 8, 20, 20], (50, 1))
    scores = np.random.default_rng(0).permutation(50) / 50
    assert select(boxes, scores).tolist() == [int(scores.argmax())]
    assert len(select(boxes, np.full(50, 0.5))) == 1


@every_selection
def test_no_box_and_one_box(select) -> None:
    assert select(np.zeros((0, 4)), np.zeros(0)).tolist() == []
    assert select([[60.0, 44, 64, 48]], [0.1]).tolist() == [0]


@every_selection
def test_boxes_at_the_four_corners_stay_and_their_duplicates_go(select) -> None:
    corners = np.array([[0.0, 0, 12, 12], [52, 0, 64, 12], [0, 36, 12, 48], [52, 36, 64, 48]])
    outside = corners + np.array([[-3.0, -3, -3, -3], [3, -3, 3, -3], [-3, 3, -3, 3], [3, 3, 3, 3]])
    boxes = np.concatenate([corners, outside, corners + 0.25])
    scores = np.concatenate([np.full(4, 0.9), np.full(4, 0.1), np.full(4, 0.5)])
    kept = select(boxes, scores)
    assert {0, 1, 2, 3} <= set(kept.tolist())
    assert not {8, 9, 10, 11} & set(kept.tolist())


@every_selection
def test_huge_ratios_and_sizes_of_nothing_lose_to_no_one_by_mistake(select) -> None:
    boxes = [[0, 20, 64, 20.001], [30, 0, 30.001, 48], [10, 10, 10, 10], [-1e7, -1e7, 1e7, 1e7]]
    best = select(np.array(boxes, dtype=float), np.array([0.4, 0.9, 0.3, 0.2]))
    assert best[0] == 1
    assert len(set(best.tolist())) == len(best)


@every_selection
@pytest.mark.parametrize("box", [[0, 0, np.nan, 1], [0, np.inf, 1, np.inf], [5, 0, 4, 1], [0, 5, 1, 4]])
def test_boxes_of_no_number_or_of_negative_size_are_refused(select, box: list[float]) -> None:
    with pytest.raises(InputShapeError, match="^boxes: row 1 is"):
        select(np.array([[0.0, 0, 1, 1], box]), np.array([0.5, 0.5]))


@every_selection
def test_what_stays_depends_on_no_order_also_among_equal_scores_and_the_best_is_first(select) -> None:
    rng = np.random.default_rng(1)
    for count in (2, 7, 20, 40):
        corner, size = rng.integers(0, 48, (count, 2)), rng.integers(3, 24, (count, 2))
        boxes = np.concatenate([corner, corner + size], axis=1).astype(float)
        scores = rng.integers(1, 4, count) / 4
        kept = select(boxes, scores)
        assert scores[kept[0]] == scores.max()
        mixed = rng.permutation(count)
        again = select(boxes[mixed], scores[mixed])
        there, here = (np.column_stack([boxes, scores])[rows] for rows in (kept, mixed[again]))
        assert np.array_equal(there[np.lexsort(there.T)], here[np.lexsort(here.T)])
