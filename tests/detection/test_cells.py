"""One score per cell, and the selection that compares cells."""

import numpy as np
import pytest

import cipherpress as cp
from cipherpress.detection.anchors import Anchors
from cipherpress.detection.cells import FLOOR, MOST, cell_scores
from cipherpress.selected import selection_bundle
from cipherpress.zoo.detectors import CELL_ANCHORS
from compress.errors import ConfigError, InputShapeError
from secure.comparison.keeping import ClearOperations, Leveled
from secure.comparison.plain import plain_bits

CELLS = Anchors(image=(12, 8), areas=(16.0,), ratios=(1.0,), stride=4.0, kernel=2.0)


def centred(*places: tuple[float, float]) -> np.ndarray:
    centre = np.array(places, dtype=np.float64)
    return np.concatenate([centre - 2, centre + 2], axis=1)


def test_the_best_box_of_a_cell_stands_for_it() -> None:
    found = cell_scores(centred((1, 1), (2, 3), (9, 6), (3, 2)), np.array([0.6, 0.9, MOST, 0.5]), CELLS, 0.5)
    assert found.levels.shape == (3, 4)
    assert found.boxes.tolist() == [[1, -1, -1, -1], [-1, -1, 2, -1], [-1] * 4]
    expected = FLOOR + (1 - FLOOR) * np.log(9) / np.log(MOST / (1 - MOST))
    assert found.levels[0, 0] == pytest.approx(expected)
    assert found.levels[1, 2] == pytest.approx(1)
    assert found.levels[found.boxes < 0].max() == 0


def test_the_order_of_the_list_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    boxes, scores = centred(*rng.uniform(0, 12, (20, 2))), rng.choice([0.5, 0.7, 0.9], 20)
    mixed = rng.permutation(20)
    there, here = cell_scores(boxes, scores, CELLS, 0.5), cell_scores(boxes[mixed], scores[mixed], CELLS, 0.5)
    assert np.array_equal(there.levels, here.levels)
    occupied = there.boxes >= 0
    assert np.array_equal(boxes[there.boxes[occupied]], boxes[mixed][here.boxes[occupied]])


def test_scores_of_one_and_empty_pictures_have_levels_too() -> None:
    assert cell_scores([], [], CELLS, 0.5).levels.max() == 0
    sure = cell_scores(centred((1, 1), (9, 1)), np.array([1.0, MOST]), CELLS, 0.5)
    assert np.isfinite(sure.levels).all()
    assert sure.levels[0, 0] > sure.levels[0, 2] == pytest.approx(1)


@pytest.mark.parametrize(
    ("scores", "least", "field"),
    [([0.4], 0.5, "scores"), ([1.5], 0.5, "scores"), ([0.9], 1.0, "least_score"), ([0.9], 0.0, "least_score")],
)
def test_scores_that_are_no_candidates_are_refused(scores: list, least: float, field: str) -> None:
    with pytest.raises(ConfigError, match=f"^{field}: got"):
        cell_scores(centred((1, 1)), scores, CELLS, least)
    with pytest.raises(InputShapeError, match="boxes: row 0 is"):
        cell_scores([[0, 0, np.nan, 1]], [0.9], CELLS, 0.5)


def test_the_rule_on_cells_is_psrr_on_boxes_and_its_operations_follow_it() -> None:
    """Boxes in clear, cells in clear, and the operations of ciphertexts on slots in clear agree on decided cells."""
    keeping, bundle = selection_bundle()
    assert bundle.report["keys"] == 8
    assert bundle.client.params.poly_modulus_degree == 32768
    rng = np.random.default_rng(1)
    decided_cells = 0
    for number in range(12):
        boxes = centred(*rng.uniform(-2, 66, (number * 6, 2)).reshape(-1, 2)) if number else np.zeros((0, 4))
        scores = rng.uniform(0.5, 1, len(boxes))
        cells = cell_scores(boxes, scores, CELL_ANCHORS, 0.5)
        plain, decided = plain_bits(cells.levels, keeping.grid, keeping.least_gap)
        occupied = cells.boxes >= 0
        kept = cp.psrr_nms(boxes, scores, anchors=CELL_ANCHORS, pools=("single",))
        assert set(cells.boxes[occupied & plain].tolist()) == set(kept.tolist())
        packed = Leveled(keeping.grid.pack(cells.levels.clip(max=1)))
        bits = keeping.evaluate(packed, ClearOperations()).slots[keeping.grid.cell_slots]
        assert np.abs(bits - plain)[decided].max() <= keeping.deviation
        decided_cells += int((occupied & decided).sum())
    assert decided_cells > 200
