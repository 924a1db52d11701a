"""Cost models: counts by hand, monotone in the blocks, and equal to a direct count over the matrix."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.blocks.cost import (
    CkksDiagonals,
    LayerPlace,
    Layout,
    PlainBlocks,
    cost_model,
    next_power_of_two,
    rotation_count,
)
from compress.blocks.patterns import block_groups, parse_pattern
from compress.errors import ConfigError


def priced(shape, text, *, model=None, modulus=None, **place):
    layer = LayerPlace(name="layer", shape=shape, **place)
    modulus = modulus or Layout.of(layer, 4096).modulus
    groups = block_groups(parse_pattern(text), shape, modulus=modulus)
    return groups, (model or CkksDiagonals()).of_layer(layer, groups)


def kept(count, *blocks):
    mask = np.zeros(count, dtype=bool)
    mask[list(blocks)] = True
    return mask


def test_baby_and_giant_steps_of_sixteen_diagonals_by_hand():
    """Dense is (6, 16), bands {0,2} (4, 8), residues {0,2} (4, 8), eight scattered (6, 8), all with four babies."""

    def rotations(*diagonals):
        zeros = np.zeros(len(diagonals), dtype=np.int64)
        return rotation_count(np.stack([zeros, zeros, zeros, np.array(diagonals)]), 4)

    assert rotations(*range(16)) == 6
    assert rotations(0, 1, 2, 3, 8, 9, 10, 11) == 4
    assert rotations(0, 2, 4, 6, 8, 10, 12, 14) == 4
    assert rotations(0, 1, 3, 6, 8, 11, 13, 14) == 6


def test_bands_and_residues_save_rotations_and_single_diagonals_only_products():
    _, bands = priced((16, 16), "band:4", positions=16)
    assert bands.operations(kept(4, 0, 1, 2, 3)) == (6, 16)
    assert bands.operations(kept(4, 0, 2)) == (4, 8)
    _, residues = priced((16, 16), "residue:4", positions=16)
    assert residues.operations(kept(4, 0, 2)) == (4, 8)
    assert residues.operations(kept(4)) == (0, 0)


def test_diagonals_that_tiles_touch_by_hand():
    """8 x 8 in tiles of 2 x 2: block-diagonals {0,1} leave 5 diagonals, {0,2} leave 6, a checkerboard 6."""
    groups, cost = priced((8, 8), "tile:2x2", positions=16)
    tile = np.arange(16).reshape(4, 4)
    assert groups[0, 0] == tile[0, 0] and groups[7, 0] == tile[3, 0]

    def products(chosen):
        return cost.operations(kept(16, *tile[chosen]))[1]

    offset = (np.arange(4)[None, :] - np.arange(4)[:, None]) % 4
    assert products(offset == 1) == 3
    assert products((offset == 0) | (offset == 1)) == 5
    assert products((offset == 0) | (offset == 2)) == 6
    assert products(offset % 2 == 0) == 6
    assert cost.operations(kept(16, 0))[1] == 3


def test_the_token_packed_layout_of_twelve_blocks_by_hand():
    """384 x 384 in blocks of 32: 32 products per kept tile; 372, 192 or 120 rotations by the number of babies."""
    groups, cost = priced((384, 384), "packed:32", positions=197, model=CkksDiagonals(slots=8192))
    dense = np.ones(144, dtype=bool)
    alive = cost.diagonals
    assert [rotation_count(alive, step) for step in (32, 16, 8, 4)] == [372, 192, 120, 120]
    assert cost.operations(dense) == (120, 4608)
    dense[5] = False
    assert cost.operations(dense) == (120, 4576)


def test_layouts_of_the_reference_network_by_hand():
    """784 inputs onto 300 rows: 8 blocks of 512 slots with 49 diagonals each, two inputs per slot.

    Inner layers have next_pow2(rows).
    """

    def modulus(shape, **place):
        return Layout.of(LayerPlace(name="x", shape=shape, **place), 4096).modulus

    assert modulus((300, 784), reads_input=True) == 49
    assert modulus((100, 300)) == 128
    assert modulus((10, 100)) == 16
    assert modulus((300, 100)) == 128
    assert modulus((64, 784), reads_input=True) == 8  # 7 per block of 64 slots would not repeat evenly past row 63
    assert modulus((57, 784), reads_input=True) == 7
    assert Layout.of(LayerPlace(name="x", shape=(64, 64), positions=16), 4096) == Layout(256, 64, False)


def test_a_layout_leaves_out_pruned_rows_and_inputs():
    """300 of 400 inputs onto 200 of 300 rows: 16 blocks of 256 slots with 10 diagonals each, two inputs per slot."""
    mask = np.ones((300, 400), dtype=bool)
    mask[:, ::4] = False
    mask[200:] = False
    place = LayerPlace(name="x", shape=(300, 400), reads_input=True, mask=mask)
    assert place.lines == (200, 300)
    assert Layout.of(place, 4096).modulus == 10


@pytest.mark.parametrize(("number", "power"), [(0, 1), (1, 1), (2, 2), (3, 4), (128, 128), (129, 256)])
def test_the_next_power_of_two(number, power):
    assert next_power_of_two(number) == power


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 12),
    columns=st.integers(1, 12),
    text=st.sampled_from(["residue:4", "band:2", "tile:2x3", "inputs:1", "outputs:2"]),
    seed=st.integers(0, 99),
)
def test_products_are_the_diagonals_with_a_weight(rows, columns, text, seed):
    groups, cost = priced((rows, columns), text, positions=16)
    chosen = np.random.default_rng(seed).random(groups.max() + 1) < 0.5
    modulus = min(next_power_of_two(rows), next_power_of_two(columns))
    row, column = np.nonzero(chosen[groups])
    assert cost.operations(chosen)[1] == len(np.unique((column - row) % modulus))


@settings(max_examples=40, deadline=None)
@given(
    text=st.sampled_from(["residue:8", "band:2", "tile:2x2", "inputs:2", "outputs:1"]),
    name=st.sampled_from(["ckks-diagonals", "plain-blocks", "block-count"]),
    seed=st.integers(0, 99),
)
def test_no_cost_grows_when_a_block_is_pruned(text, name, seed):
    random = np.random.default_rng(seed)
    groups, cost = priced((8, 12), text, model=cost_model(name), positions=3)
    mask = random.random(groups.max() + 1) < 0.7
    for block in np.flatnonzero(mask):
        fewer = mask.copy()
        fewer[block] = False
        assert cost.time(fewer) <= cost.time(mask)
        assert cost.energy(fewer) <= cost.energy(mask)


def test_taps_of_a_convolution_rotate_the_input():
    """Four channels onto four, three taps: 12 products. Two taps rotate inputs, three channel differences the sums."""
    _, cost = priced((4, 4, 1, 3), "taps", positions=16)
    assert cost.operations(np.ones(3, dtype=bool)) == (5, 12)
    assert cost.operations(kept(3, 0)) == (2, 4)  # one tap only: a square matrix, by baby and giant steps
    assert cost.operations(kept(3, 1, 2)) == (5, 8)


def test_plain_blocks_by_hand():
    """Two outputs by four inputs in tiles of 2 x 2, and five positions in tiles of four."""
    model = PlainBlocks(token_tile=4, mac_energy=1, buffer_energy=10, off_chip_energy=100)
    _, cost = priced((2, 4), "tile:2x2", model=model, positions=5)
    one = kept(2, 0)
    assert cost.time(one) == 4 * 8
    # weights: 4 * (8 + 100); per position, 2 inputs are read, 2 sums are read and written, and 2 outputs are written
    assert cost.energy(one) == 4 * 108 + 5 * 10 * (2 + 2 * 2) + 5 * 2 * 10
    assert cost.time(kept(2, 0, 1)) == 64


def test_earlier_layers_cost_more():
    _, late = priced((16, 16), "residue:16", positions=16, layers_left=1)
    _, early = priced((16, 16), "residue:16", positions=16, layers_left=3)
    dense = np.ones(16, dtype=bool)
    assert late.time(dense) == pytest.approx(6 * 2.10 + 16 * 0.168)
    assert early.time(dense) > 2 * late.time(dense)


def test_an_unknown_cost_model_is_refused():
    with pytest.raises(ConfigError, match="cost: got 'gpu'; allowed: one of ckks-diagonals, plain-blocks, block-count"):
        cost_model("gpu")
    mine = PlainBlocks()
    assert cost_model(mine) is mine
