"""Values in blocks: convolutions, pooling in quarters and the dense layers after them equal their matrix products."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import sparse

from compress.network import Conv, Input, Network, Weights
from secure.layout.block_tables import block_table, shifted_weights
from secure.layout.blocks import Blocks, compact_places, pooled_columns, pooling_window
from secure.layout.diagonals import apply_table
from secure.layout.packing import EMPTY, folded, in_planes, next_power_of_two, periodic_map, spread
from secure.layout.taps import stage_taps, straight_tap_blocks, tap_blocks
from secure.stages.stages import Grid, network_stages


def convolution(rng, shape, channels, kernel, stride, padding):
    sizes = [(size + 2 * padding - kernel) // stride + 1 for size in shape[1:]]
    node = Conv(
        name="c", inputs=("x",), shape=(channels, *sizes),
        weights=Weights(rng.normal(size=(channels, shape[0], kernel, kernel)), np.array(1.0)), bias=np.zeros(channels),
        stride=(stride, stride), padding=(padding, padding), dilation=(1, 1), groups=1,
    )  # fmt: skip
    (stage,) = network_stages(Network(nodes=(Input(name="x", inputs=(), shape=shape), node)))
    return stage


def assert_product(table, matrix, source, values, atom=0):
    anything = np.where(source == EMPTY, 1e6 * (atom > 0), spread(values, source))  # values in gaps must not be read
    found = apply_table(table, {atom: anything})
    held = table.output_map != EMPTY
    assert set(table.output_map[held].tolist()) == set(range(matrix.shape[0]))
    np.testing.assert_allclose(found[held], (matrix @ values)[table.output_map[held]], atol=1e-8)
    assert table.partial or not np.any(np.abs(found[~held]) > 1e-8)


@settings(max_examples=40, deadline=None)
@given(
    channels=st.tuples(st.integers(1, 3), st.integers(1, 9)),
    sides=st.tuples(st.integers(3, 6), st.integers(3, 6)),
    stride=st.integers(1, 2),
    padding=st.integers(0, 1),
    planes=st.integers(1, 2),
    seed=st.integers(0, 2**16),
)
def test_a_convolution_by_taps_is_the_matrix_product(channels, sides, stride, padding, planes, seed):
    rng = np.random.default_rng(seed)
    stage = convolution(rng, (channels[0], *sides), channels[1], 2, stride, padding)
    taps, places = stage_taps(stage), compact_places(stage.grid.sizes)
    rows = tap_blocks(-(-len(taps.inputs) // planes), channels[1], 512 // places.block)
    by_plane = in_planes(np.arange(len(taps.inputs)), planes, rows)
    table, _ = block_table(taps.weights, 0, by_plane, places.block, places)
    inputs = np.where(by_plane[..., None] == EMPTY, EMPTY, taps.inputs[by_plane])
    source = Blocks(by_plane, places.block, places).scattered(inputs.astype(np.int32), EMPTY)
    assert_product(table, stage.maps[0], source, rng.normal(size=stage.maps[0].shape[1]))


@settings(max_examples=40, deadline=None)
@given(
    channels=st.tuples(st.integers(1, 4), st.integers(1, 6)),
    side=st.integers(3, 6),
    stride=st.integers(1, 2),
    padding=st.integers(0, 1),
    groups=st.sampled_from([1, 2, 4]),
    seed=st.integers(0, 2**16),
)
def test_a_convolution_of_a_value_in_blocks_is_the_matrix_product(channels, side, stride, padding, groups, seed):
    rng = np.random.default_rng(seed)
    stage = convolution(rng, (channels[0], side, side), channels[1], 3 if side > 3 else 2, stride, padding)
    before = compact_places((side, side))
    after = before.strided(stage.grid.sizes, (stride, stride))
    assume(after.block <= before.block and not after.collide)
    blocks = periodic_map(channels[0], 1024 // before.block)
    period = next_power_of_two(channels[0])
    assume(
        groups == 1 or (groups * period <= blocks.shape[1] and next_power_of_two(-(-channels[1] // groups)) <= period)
    )
    weights = shifted_weights(stage.maps[0], channels[0], before, after)
    table, result = block_table(weights, 1, blocks, before.block, after, groups)
    np.testing.assert_array_equal(result.slot_map, table.output_map)
    source = Blocks(blocks, before.block, before).slot_map
    assert_product(table, stage.maps[0], source, rng.normal(size=stage.maps[0].shape[1]), atom=1)
    assert weights.shifts <= 9


@settings(max_examples=20, deadline=None)
@given(channels=st.integers(1, 5), window=st.sampled_from([2, 4]), seed=st.integers(0, 2**16))
def test_adding_up_quarters_pools_every_window_and_leaves_copies(channels, window, seed):
    rng = np.random.default_rng(seed)
    places = compact_places((2 * window, 3 * window), window)
    rows = straight_tap_blocks(3, channels)[:1]
    blocks = Blocks(np.arange(rows.shape[1], dtype=np.int32)[None] % channels, places.block, places)
    values = rng.normal(size=(channels, 2 * window, 3 * window))
    summed = folded(spread(values.ravel(), blocks.slot_map), blocks.quarter_folds)
    pooled = blocks.pooled(window)
    wanted = values.reshape(channels, 2, window, 3, window).sum(axis=(2, 4)).ravel()
    held = pooled.slot_map != EMPTY
    np.testing.assert_allclose(summed[held], wanted[pooled.slot_map[held]], atol=1e-9)
    assert np.count_nonzero(pooled.slot_map == 0) >= window**2


def test_pooling_is_found_only_where_weights_are_equal_over_windows():
    rng = np.random.default_rng(0)
    grid = Grid(2, (4, 8), (1, 1), (2, 4, 8))
    pooled = rng.normal(size=(3, 2, 2, 4))
    columns = pooled.repeat(2, axis=2).repeat(2, axis=3).reshape(3, -1)
    assert pooling_window(sparse.csr_matrix(columns), grid) == 2
    found = pooled_columns(sparse.csr_matrix(columns), grid, 2).toarray()
    np.testing.assert_array_equal(found, pooled.reshape(3, -1))
    for changed in (columns[1, 5] + 1e-9, 0.0):
        columns[1, 5] = changed
        assert pooling_window(sparse.csr_matrix(columns), grid) == 1
    assert pooling_window(sparse.csr_matrix(np.ones((1, 64))), grid) == 4
    assert pooling_window(sparse.csr_matrix(np.ones((1, 30))), Grid(2, (3, 5), (1, 1), (2, 3, 5))) == 1


@pytest.mark.parametrize(
    ("count", "channels", "wanted"), [(4, 6, [[0, 1, 2, 0, 1, 2, 0, 1], [3, -1, -1, 3, -1, -1, 3, -1]])]
)
def test_taps_that_stay_in_their_quarter(count, channels, wanted):
    assert straight_tap_blocks(count, channels).tolist() == wanted


def test_positions_that_would_share_a_place_are_found():
    before = compact_places((3, 3))
    assert before.strided((4, 4), (1, 1)).collide
    assert not before.strided((3, 3), (1, 1)).collide
    assert not before.strided((2, 2), (2, 2)).collide
