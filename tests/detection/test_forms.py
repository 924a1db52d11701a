"""What holds of any scene: pooling equals pairs, order does not matter, the best box stays, compiled loops equal slow
ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cipherpress as cp
from cipherpress.detection.anchors import Anchors
from cipherpress.detection.boxes import intersection_and_union
from cipherpress.detection.pairwise import pairwise_nms
from cipherpress.detection.pools import POOLS, SHIFTS

SMALL = Anchors(image=(96, 64), areas=(64.0, 256.0, 1024.0), stride=4.0)
ALIKE = Anchors(image=(64, 64), areas=(64.0, 256.0), stride=4.0)


def scene(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes on a coarse grid with coarse scores, so that cells, windows and scores coincide often."""
    centre = rng.integers(-2, 24, (count, 2)) * 4.0 + rng.choice([0.0, 1.0], (count, 2))
    size = rng.choice([3.0, 8.0, 12.0, 16.0, 30.0, 60.0], (count, 2))
    boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
    return boxes, rng.integers(0, 6, count) / 5, rng.integers(0, 2, count)


def agree(rng: np.random.Generator, scenes: int) -> int:
    """How many of so many scenes the two forms answer alike."""
    same = 0
    for _ in range(scenes):
        boxes, scores, classes = scene(rng, int(rng.integers(1, 15)))
        number = int(rng.integers(1, len(POOLS) + 1))
        options = {"pools": tuple(rng.permutation(POOLS)[:number].tolist()), "shifts": str(rng.choice(list(SHIFTS)))}
        pooled = cp.psrr_nms(boxes, scores, classes, anchors=SMALL, **options)
        same += np.array_equal(pooled, pairwise_nms(boxes, scores, classes, anchors=SMALL, **options))
    return same


def test_pooling_equals_pairs_on_scenes_with_ties() -> None:
    assert agree(np.random.default_rng(0), 300) == 300


@pytest.mark.slow
def test_pooling_equals_pairs_on_ten_thousand_scenes_with_ties() -> None:
    assert agree(np.random.default_rng(1), 10_000) == 10_000


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.sampled_from(["parallel", "sequential"]))
def test_what_stays_does_not_depend_on_the_order_of_the_list(seed: int, count: int, order: str) -> None:
    rng = np.random.default_rng(seed)
    boxes, scores, classes = scene(rng, count)
    mixed = rng.permutation(count)
    there, here = (
        np.column_stack([boxes, scores, classes])[rows][
            cp.psrr_nms(boxes[rows], scores[rows], classes[rows], anchors=SMALL, order=order)
        ]
        for rows in (np.arange(count), mixed)
    )
    assert np.array_equal(there[np.lexsort(there.T)], here[np.lexsort(here.T)])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.sampled_from(["parallel", "sequential"]))
def test_the_best_box_stays_and_comes_first(seed: int, count: int, order: str) -> None:
    boxes, scores, _ = scene(np.random.default_rng(seed), count)
    kept = cp.psrr_nms(boxes, scores, anchors=SMALL, order=order)
    assert scores[kept[0]] == scores.max()
    assert (np.diff(scores[kept]) <= 0).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_more_pools_and_shifts_leave_fewer_and_a_second_turn_leaves_all(seed: int, count: int) -> None:
    boxes, scores, classes = scene(np.random.default_rng(seed), count)
    pools = [set(cp.psrr_nms(boxes, scores, classes, anchors=SMALL, pools=POOLS[:n]).tolist()) for n in (1, 2, 3, 4)]
    shifts = [set(cp.psrr_nms(boxes, scores, classes, anchors=SMALL, shifts=name).tolist()) for name in SHIFTS]
    assert all(few <= many for found in (pools, shifts) for many, few in zip(found, found[1:], strict=False))
    turn = cp.psrr_nms(boxes, scores, classes, anchors=SMALL, order="sequential").tolist()
    assert pools[-1] <= set(turn)
    kept = cp.psrr_nms(boxes, scores, classes, anchors=SMALL)
    again = cp.psrr_nms(boxes[kept], scores[kept], classes[kept], anchors=SMALL)
    assert np.array_equal(again, np.arange(len(kept)))


def test_exchanging_x_and_y_changes_nothing() -> None:
    rng = np.random.default_rng(2)
    for _ in range(100):
        boxes, _, classes = scene(rng, 12)
        scores = rng.permutation(12) / 12
        there = cp.psrr_nms(boxes, scores, classes, anchors=ALIKE)
        assert np.array_equal(there, cp.psrr_nms(boxes[:, [1, 0, 3, 2]], scores, classes, anchors=ALIKE))


def test_greedy_equals_its_definition() -> None:
    rng = np.random.default_rng(3)
    for _ in range(100):
        boxes, _, classes = scene(rng, 20)
        scores = rng.permutation(20) / 20
        left, expected = list(np.argsort(-scores)), []
        while left:
            best = left.pop(0)
            expected.append(best)
            shared, covered = intersection_and_union(boxes[best], boxes[left])
            goes = (shared > 0.4 * covered) & (classes[left] == classes[best])
            left = [box for box, gone in zip(left, goes, strict=True) if not gone]
        assert cp.greedy_nms(boxes, scores, classes, overlap=0.4).tolist() == expected


def test_shifts_bring_the_kept_set_nearer_to_that_of_greedy() -> None:
    rng = np.random.default_rng(4)
    anchors = Anchors(image=(640, 640))
    right, kept_by, greedy = {}, {}, 0
    for _ in range(60):
        size = rng.uniform(60, 250, (6, 1)) * np.exp(rng.normal(0, 0.2, (6, 2)))
        centre, size = np.repeat(rng.uniform(60, 580, (6, 2)), 8, axis=0), np.repeat(size, 8, axis=0)
        centre, size = centre + rng.normal(0, 0.05, (48, 2)) * size, size * np.exp(rng.normal(0, 0.08, (48, 2)))
        boxes, scores = np.concatenate([centre - size / 2, centre + size / 2], axis=1), rng.random(48)
        wanted = set(cp.greedy_nms(boxes, scores).tolist())
        greedy += len(wanted)
        for name in SHIFTS:
            found = set(cp.psrr_nms(boxes, scores, anchors=anchors, shifts=name).tolist())
            right[name], kept_by[name] = right.get(name, 0) + len(found & wanted), kept_by.get(name, 0) + len(found)
    precision = [right[name] / kept_by[name] for name in SHIFTS]
    assert precision == sorted(precision)
    assert precision[-1] > 0.98
    assert right["three"] > 0.85 * greedy
