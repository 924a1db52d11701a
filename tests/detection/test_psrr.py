"""PSRR on scenes whose answer is known by hand: recovery, kernels, windows, pools, shifts, ties, classes."""

import numpy as np
import pytest
import torch

import cipherpress as cp
from cipherpress.detection.anchors import Anchors
from cipherpress.detection.pools import POOLS, windows
from cipherpress.detection.recovery import Places, places
from compress.errors import ConfigError, InputShapeError

WIDE = Anchors(image=(640, 640))
ONE = Anchors(image=(640, 640), areas=(64.0**2,), ratios=(1.0,))
RATIOS = Anchors(image=(640, 640), areas=(64.0**2,))


def boxes(*centred: tuple[float, float, float, float]) -> np.ndarray:
    """Boxes from centre and size."""
    x, y, width, height = np.array(centred, dtype=np.float64).T
    return np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)


def kept(found: np.ndarray, scores: object, anchors: Anchors = ONE, **options: object) -> set[int]:
    return set(cp.psrr_nms(found, scores, anchors=anchors, **options).tolist())


@pytest.mark.parametrize(
    ("box", "channel", "cell", "rule"),
    [
        ((100, 50, 128, 64), (0, 0), (6, 3), "log"),
        ((100, 50, 64, 128), (0, 2), (6, 3), "log"),
        ((15.999, 16, 64, 64), (0, 1), (0, 1), "log"),
        ((300, 300, 192, 192), (2, 1), (18, 18), "log"),
        ((300, 300, 192, 192), (1, 1), (18, 18), "published"),
        ((100, 50, 128, 64), (0, 0), (6, 3), "published"),
    ],
)
def test_a_box_is_put_where_it_now_belongs(box: tuple, channel: tuple, cell: tuple, rule: str) -> None:
    found = places(boxes(box), Anchors(image=(640, 640), channel_rule=rule))
    assert divmod(int(found.channel[0]), 3) == channel
    assert (found.column[0], found.row[0]) == cell


def test_kernels_follow_the_sizes_of_anchors() -> None:
    assert WIDE.kernels() == (
        (4, 2), (3, 3), (2, 4), (8, 4), (6, 6), (4, 8), (17, 8), (12, 12), (8, 17), (34, 17), (24, 24), (17, 34),
    )  # fmt: skip
    assert Anchors(image=(64, 64), areas=(160.0**2,), ratios=(1.0,), kernel=0.25).kernels() == ((3, 3),)  # 2.5 cells
    assert Anchors(image=(64, 64), areas=(4.0,), ratios=(1.0,)).kernels() == ((1, 1),)


@pytest.mark.parametrize(
    ("pool", "kernels"),
    [
        ("cross-ratio", [2] * 3 + [4] * 3 + [8] * 3 + [17] * 3),
        ("cross-scale", [4, 3, 2] * 4),
        ("cross-all", [2] * 12),
    ],
)
def test_a_joined_pool_has_the_smallest_kernel_of_its_channels(pool: str, kernels: list[int]) -> None:
    channel = np.arange(12)
    for column in range(40):
        found = windows(WIDE, (pool,), "none").of(Places(channel, np.full(12, column), np.zeros(12, dtype=int)))[:, 0]
        beside = windows(WIDE, (pool,), "none").of(Places(channel, np.full(12, column + 1), np.zeros(12, dtype=int)))
        assert ((beside[:, 0] != found) == ((column + 1) % np.array(kernels) == 0)).all()


def test_a_shift_moves_windows_by_half_a_kernel() -> None:
    cells = np.arange(8)
    ids = windows(ONE, ("single",), "diagonal").of(Places(0 * cells, cells, 0 * cells))
    assert (ids[:, 0] - ids[0, 0]).tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert (ids[:, 1] - ids[0, 1]).tolist() == [0, 1, 1, 1, 2, 2, 2, 3]


def test_two_boxes_of_one_window() -> None:
    found = boxes((8, 8, 64, 64), (24, 8, 64, 64))
    assert kept(found, [0.9, 0.8], shifts="none") == set(cp.greedy_nms(found, [0.9, 0.8])) == {0}


def test_two_boxes_on_both_sides_of_an_edge_meet_in_a_shifted_window() -> None:
    found = boxes((40, 8, 64, 64), (56, 8, 64, 64))
    assert kept(found, [0.9, 0.8], shifts="none") == {0, 1}
    assert kept(found, [0.9, 0.8], shifts="three") == kept(found, [0.9, 0.8], shifts="diagonal") == {0}


def test_a_diagonal_shift_alone_leaves_what_meets_along_x() -> None:
    found = boxes((40, 15, 64, 64), (56, 17, 64, 64))
    assert kept(found, [0.9, 0.8], shifts="none") == kept(found, [0.9, 0.8], shifts="diagonal") == {0, 1}
    assert kept(found, [0.9, 0.8], shifts="three") == set(cp.greedy_nms(found, [0.9, 0.8])) == {0}


def test_boxes_of_two_ratios_meet_across_ratios() -> None:
    found = boxes((8, 8, 64, 64), (8, 8, 90, 45))
    assert kept(found, [0.9, 0.8], RATIOS, pools=("single",)) == {0, 1}
    assert kept(found, [0.9, 0.8], RATIOS, pools=("single", "cross-ratio")) == {0}
    assert set(cp.greedy_nms(found, [0.9, 0.8])) == {0}


def test_a_chain_depends_on_the_order_of_pools() -> None:
    found = boxes((72, 8, 64, 64), (56, 8, 64, 64), (40, 8, 64, 64))
    options = {"pools": ("single", "cross-ratio"), "shifts": "none"}
    assert kept(found, [0.9, 0.8, 0.7], RATIOS, **options) == {0}
    assert kept(found, [0.9, 0.8, 0.7], RATIOS, **options, order="sequential") == {0, 2}
    assert set(cp.greedy_nms(found, [0.9, 0.8, 0.7])) == {0, 2}


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_the_best_box_of_a_cell_stays_whatever_the_order(order: list[int]) -> None:
    found = boxes((8, 8, 64, 64), (10, 9, 62, 66), (12, 4, 64, 64))[order]
    assert kept(found, np.array([0.6, 0.9, 0.7])[order]) == {order.index(1)}


def test_boxes_that_do_not_touch_are_lost_where_anchors_are_too_large() -> None:
    found = boxes((4, 4, 20, 20), (28, 4, 20, 20))
    assert kept(found, [0.9, 0.8], WIDE, shifts="none") == {0}
    assert kept(found, [0.9, 0.8], Anchors(image=(640, 640), stride=4.0), shifts="none") == {0}
    small = Anchors(image=(640, 640), areas=(16.0**2, 64.0**2, 128.0**2, 256.0**2, 512.0**2))
    assert kept(found, [0.9, 0.8], small, shifts="none") == set(cp.greedy_nms(found, [0.9, 0.8])) == {0, 1}


@pytest.mark.parametrize("order", ["parallel", "sequential"])
def test_of_equal_scores_one_box_stays_and_not_by_its_place_in_the_list(order: str) -> None:
    found = boxes((8, 8, 64, 64), (24, 8, 64, 64))
    assert kept(found, [0.5, 0.5], shifts="none", order=order) == {0}
    assert kept(found[::-1], [0.5, 0.5], shifts="none", order=order) == {1}
    assert len(kept(found[[0, 0, 0]], [0.5, 0.5, 0.5], order=order)) == 1
    assert cp.greedy_nms(found[[0, 0, 0]], [0.5, 0.5, 0.5]).tolist() == [0]


def test_classes_do_not_meet() -> None:
    found = boxes((8, 8, 64, 64), (8, 8, 64, 64))
    for nms in (cp.psrr_nms, cp.maxpool_nms):
        assert nms(found, [0.9, 0.8], [0, 1], anchors=ONE).tolist() == [0, 1]
        assert nms(found, [0.9, 0.8], anchors=ONE).tolist() == [0]
    assert cp.greedy_nms(found, [0.8, 0.9], [7, 3]).tolist() == [1, 0]
    assert cp.greedy_nms(found, [0.8, 0.9]).tolist() == [1]


def test_without_recovery_a_box_counts_where_its_anchor_was() -> None:
    found, sources = boxes((56, 8, 64, 64), (72, 8, 64, 64)), boxes((8, 8, 64, 64), (104, 8, 64, 64))
    assert cp.maxpool_nms(found, [0.9, 0.8], anchors=ONE).tolist() == [0]
    assert cp.maxpool_nms(found, [0.9, 0.8], anchors=ONE, sources=sources).tolist() == [0, 1]


def test_a_box_outside_the_image_counts_to_the_nearest_cell() -> None:
    found = places(boxes((-30, 700, 64, 64), (1e12, -1e12, 64, 64)), ONE)
    assert found.column.tolist() == [0, 40]
    assert found.row.tolist() == [40, 0]
    for column in (0, 40):
        edge = boxes((16 * column, 8, 64, 64), (16 * column, 8, 60, 64))
        assert kept(edge, [0.1, 0.2]) == {1}


@pytest.mark.parametrize("nms", [cp.psrr_nms, cp.maxpool_nms, cp.greedy_nms])
def test_scenes_with_nothing_and_with_one_box(nms) -> None:
    options = {} if nms is cp.greedy_nms else {"anchors": ONE}
    assert nms([], [], **options).tolist() == []
    assert nms(np.zeros((0, 4)), np.zeros(0), np.zeros(0, dtype=int), **options).tolist() == []
    assert nms([[3, 3, 3, 3]], [-2.0], **options).tolist() == [0]
    huge = [[0, 0, 1e6, 1e-6], [0, 0, 1e-6, 1e6], [0, 0, 0, 0], [0, 0, 640, 640]]
    assert 3 in nms(huge, [0.1, 0.2, 0.3, 0.4], **options).tolist()


def test_tensors_give_tensors() -> None:
    found, scores = torch.tensor([[0, 0, 8, 8], [0, 0, 8, 9.0]]), torch.tensor([0.1, 0.2])
    answer = cp.psrr_nms(found, scores, torch.tensor([0, 0]), anchors=ONE)
    assert isinstance(answer, torch.Tensor)
    assert answer.dtype == torch.int64
    assert answer.tolist() == cp.greedy_nms(found, scores).tolist() == [1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0, 0, 1, np.nan]], [1.0]), "boxes: row 0 is .* finite"),
        (([[0, 0, 1, 1], [0, 0, np.inf, 1]], [1.0, 2.0]), "boxes: row 1 is"),
        (([[0, 0, 1, 1]], [np.nan]), "scores: row 0 is nan"),
        (([[0, 0, -1, 1]], [1.0]), "boxes: row 0 .* of negative size"),
        (([[0, 5, 1, 1]], [1.0]), "boxes: row 0 .* of negative size"),
        (([[0, 0, 1]], [1.0]), "boxes: shape"),
        (([[0, 0, 1, 1]], [1.0, 2.0]), "scores: shape"),
        (([["a", 0, 1, 1]], [1.0]), "boxes: an array of"),
        (([[0, 0, 1, 1]], [1.0], [-1]), "classes: they must be whole numbers"),
        (([[0, 0, 1, 1]], [1.0], [0.5]), "classes: they must be whole numbers"),
        (([[0, 0, 1, 1]], [1.0], [0, 1]), "classes: shape"),
    ],
)
def test_boxes_that_are_none_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(InputShapeError, match=message):
        cp.psrr_nms(*arguments, anchors=ONE)
    with pytest.raises(InputShapeError, match=message):
        cp.greedy_nms(*arguments)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"anchors": 3}, "anchors"),
        ({"anchors": ONE, "pools": "single"}, "pools"),
        ({"anchors": ONE, "pools": ("all",)}, "pools"),
        ({"anchors": ONE, "pools": ()}, "pools"),
        ({"anchors": ONE, "shifts": "x"}, "shifts"),
        ({"anchors": ONE, "order": "any"}, "order"),
    ],
)
def test_options_that_do_not_exist_are_refused(options: dict, field: str) -> None:
    with pytest.raises(ConfigError, match=f"^{field}: got"):
        cp.psrr_nms([[0, 0, 1, 1]], [1.0], **options)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"image": (0, 5)}, "image"),
        ({"image": (5,)}, "image"),
        ({"areas": (9.0, 4.0)}, "areas"),
        ({"ratios": ()}, "ratios"),
        ({"ratios": (1.0, np.nan)}, "ratios"),
        ({"stride": 0}, "stride"),
        ({"kernel": -1.0}, "kernel"),
        ({"channel_rule": "x"}, "channel_rule"),
    ],
)
def test_anchors_that_make_no_sense_are_refused(options: dict, field: str) -> None:
    with pytest.raises(ConfigError, match=f"^{field}: got"):
        Anchors(**{"image": (64, 64), **options})


@pytest.mark.parametrize("overlap", [-0.1, 1.5, "x", np.nan, True])
def test_an_overlap_that_is_none_is_refused(overlap: object) -> None:
    with pytest.raises(ConfigError, match="^overlap: got"):
        cp.greedy_nms([[0, 0, 1, 1]], [1.0], overlap=overlap)


def test_all_pools_are_named() -> None:
    assert POOLS == ("single", "cross-ratio", "cross-scale", "cross-all")
