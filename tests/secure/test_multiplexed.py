"""Multiplexed values: where channels lie, which shifts a convolution takes, and that its diagonals are its matrix."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from secure.layout.diagonals import apply_table
from secure.layout.multiplexed import Multiplexed
from secure.layout.packing import EMPTY, spread
from secure.layout.window_tables import axis_shifts, window_table
from secure.stages.grids import Grid
from secure.stages.matrices import _window_matrix
from secure.stages.windows import Window, window_of

JUNK = 1e3


def convolution(before: Grid, channels: int, kernel: int, stride: int, rng: np.random.Generator):
    """(matrix, grid of the result) of a random convolution that pads by half its kernel."""
    sizes = tuple((size + 2 * (kernel // 2) - kernel) // stride + 1 for size in before.sizes)
    rank = len(sizes)
    filters = rng.normal(size=(channels, before.channels, *(kernel,) * rank))
    matrix = _window_matrix(
        filters, (before.channels, *before.sizes), (channels, *sizes), (stride,) * rank, (kernel // 2,) * rank,
        (1,) * rank, 1,
    )  # fmt: skip
    return matrix, Grid(channels, sizes, tuple(step * stride for step in before.steps), before.origin)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.integers(0, 2**20),
    st.sampled_from([(8, 8), (6, 5), (16,)]),
    st.sampled_from([1, 2]),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([1, 2]),
    st.sampled_from([64, 256]),
)
def test_a_window_s_diagonals_are_its_matrix(
    seed: int, sizes: tuple[int, ...], gap: int, channels: int, rows: int, kernel: int, stride: int, slots: int
) -> None:
    """For values with and without gaps and copies, of one ciphertext and of several. Empty slots hold junk."""
    rng = np.random.default_rng(seed)
    origin = (1, *(size * gap for size in sizes))
    before = Grid(channels, sizes, (gap,) * len(sizes), origin)
    matrix, after = convolution(before, rows, kernel, stride, rng)
    raster = tuple(map(max, origin[1:], after.extent))
    if prod(raster) > slots:
        slots = 1 << (prod(raster) - 1).bit_length()
    source, target = Multiplexed(before, raster, slots), Multiplexed(after, raster, slots)
    window = window_of(matrix, before, after)
    assert window is not None
    table = window_table({1: window}, {1: source}, target)
    value = rng.normal(size=matrix.shape[1])
    read = np.where(source.slot_map == EMPTY, JUNK, spread(value, source.slot_map))
    assert apply_table(table, {1: read}) == pytest.approx(spread(matrix @ value, target.slot_map), abs=1e-9)


@pytest.mark.parametrize(
    ("channels", "steps", "cells", "ciphertexts"),
    [
        (4, (1, 1), (1, 1), 1),
        (8, (2, 2), (2, 1), 1),
        (16, (2, 2), (2, 2), 1),
        (16, (1, 1), (1, 1), 4),
        (3, (2, 2), (1, 1), 1),
    ],
)
def test_every_feature_lies_somewhere_and_copies_fill_what_is_left(channels, steps, cells, ciphertexts) -> None:
    sizes = tuple(8 // step for step in steps)
    value = Multiplexed(Grid(channels, sizes, steps, (1, 8, 8)), (8, 8), 256)
    features = channels * prod(sizes)
    assert (value.cells, value.ciphertexts) == (cells, ciphertexts)
    assert set(np.unique(value.slot_map)) - {EMPTY} == set(range(features))
    if channels & (channels - 1) == 0:
        assert np.bincount(value.slot_map.ravel()).tolist() == [256 * ciphertexts // features] * features


def shifts_of(step, cells, stride, taps):
    return axis_shifts(step, cells, stride, -(taps // 2), taps)


@pytest.mark.parametrize(
    ("step", "cells", "stride", "count"),
    [(1, 1, 1, 3), (1, 1, 2, 4), (2, 2, 1, 7), (2, 1, 1, 3), (4, 4, 1, 15), (4, 2, 1, 7), (4, 1, 1, 3), (2, 2, 2, 9)],
)
def test_a_window_of_three_takes_as_few_shifts_as_copies_allow(step, cells, stride, count) -> None:
    assert len(shifts_of(step, cells, stride, 3).shifts) == count


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 4))
def test_every_output_reads_every_tap_of_every_channel_once(step, cells, stride, taps) -> None:
    cells = min(cells, step)
    found, low = axis_shifts(step, cells, stride, -1, taps), -1
    met = []
    for number, shift in enumerate(found.shifts):
        for out in range(step * stride):
            tap, cell = found.tap[number, out], found.cell[number, out]
            if tap < 0:
                continue
            met.append((out, tap, cell))
            copy = shift + out - step * (low + tap)  # the cell in which the shift meets the tap's position
            assert 0 <= copy < step
            assert copy % cells == cell
    assert sorted(met) == list(product(range(step * stride), range(taps), range(cells)))


def test_a_map_that_differs_between_positions_has_no_window() -> None:
    before = Grid(2, (4, 4), (1, 1), (1, 4, 4))
    matrix, after = convolution(before, 2, 3, 1, np.random.default_rng(0))
    assert window_of(matrix, before, after) is not None
    changed = matrix.copy()
    changed.data[5] += 0.1
    assert window_of(changed, before, after) is None
    lacking = matrix.copy()
    lacking.data[5] = 0
    lacking.eliminate_zeros()
    assert window_of(lacking, before, after) is None
    dense = sparse.csr_matrix(np.random.default_rng(1).normal(size=(32, 32)))
    assert window_of(dense, before, after) is None


@pytest.mark.parametrize(
    ("channels", "steps", "rows", "stride", "products"),
    [(16, 1, 16, 1, 144), (16, 1, 32, 2, 256), (32, 2, 32, 1, 336), (32, 2, 64, 2, 576), (64, 4, 64, 1, 720)],
)
def test_the_layers_of_resnet20_take_as_many_products_as_the_page_says(channels, steps, rows, stride, products):
    """docs/deep.md has these numbers, for 16,384 slots."""
    origin = (1, 32, 32)
    before = Grid(channels, (32 // steps,) * 2, (steps,) * 2, origin)
    after = Grid(rows, (32 // steps // stride,) * 2, (steps * stride,) * 2, origin)
    window = Window(np.ones((rows, channels, 3, 3)), (-1, -1), (stride, stride))
    source, target = Multiplexed(before, (32, 32), 16384), Multiplexed(after, (32, 32), 16384)
    assert source.ciphertexts == target.ciphertexts == 1
    assert len(window_table({1: window}, {1: source}, target).diagonals) == products
