"""The work of choosing boxes, and its latency on an array."""

import numpy as np
import pytest

import cipherpress as cp
from compress.errors import CostModelError
from hwmodel.architecture import PlainArray
from hwmodel.architecture_file import load_architecture
from hwmodel.selection import OVERLAP_OPERATIONS, SelectionWork, greedy_work, psrr_work, selection_ms


def eyeriss() -> PlainArray:
    found = load_architecture("eyeriss")
    assert isinstance(found, PlainArray)
    return found


def test_greedy_work_is_that_of_its_rounds() -> None:
    assert greedy_work(1, 1) == SelectionWork(0, 8)
    assert greedy_work(8, 2) == SelectionWork(6 * 4 + OVERLAP_OPERATIONS * 13, 6 + 16)
    assert greedy_work(8, 8).operations == 6 * 4 + OVERLAP_OPERATIONS * 28
    assert greedy_work(8, 2, overlaps=5).operations == 6 * 4 + OVERLAP_OPERATIONS * 5


def test_psrr_work_is_linear_and_its_chain_is_short() -> None:
    one, many = psrr_work(1000, 16, 8), psrr_work(100_000, 16, 8)
    assert many.operations == 100 * one.operations
    assert many.depth == one.depth == 4 + 2 + 3 + 1 + 4
    assert psrr_work(1000, 16, 1024).depth == one.depth + 7


def test_a_chain_limits_greedy_however_many_units_there_are() -> None:
    array = eyeriss()
    kept = 200
    greedy, psrr = greedy_work(1000, kept), psrr_work(1000, 16, 64)
    assert greedy.depth > 50 * psrr.depth
    assert greedy.operations > 10 * psrr.operations
    assert selection_ms(greedy, array).value > 5 * selection_ms(psrr, array).value
    chain = selection_ms(SelectionWork(1, 10_000), array)
    assert chain.value == pytest.approx(10_000 / array.clock_hz.value * 1e3)
    assert chain.low <= chain.value <= chain.high


def test_real_boxes_take_no_more_overlap_tests_than_counted() -> None:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 100, (300, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 20, (300, 2))], axis=1)
    scores = rng.permutation(300)
    kept = cp.greedy_nms(boxes, scores)
    place = {int(box): number for number, box in enumerate(np.argsort(-scores))}
    assert (
        sum(299 - place[int(box)] for box in kept)
        <= (greedy_work(300, len(kept)).operations - greedy_work(300, len(kept), overlaps=0).operations)
        / OVERLAP_OPERATIONS
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: greedy_work(0, 1), "boxes: got 0"),
        (lambda: greedy_work(5, 6), "kept: 6 of 5 boxes"),
        (lambda: greedy_work(5, 2, overlaps=8), "overlaps: got 8; 2 kept of 5 boxes take 0 to 7"),
        (lambda: psrr_work(5, 0, 1), "rows: got 0"),
        (lambda: psrr_work(5, 4, 0), "largest_window: got 0"),
    ],
)
def test_counts_that_do_not_fit_are_refused(call, message: str) -> None:
    with pytest.raises(CostModelError, match=message):
        call()
