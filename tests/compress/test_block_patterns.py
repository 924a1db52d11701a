"""Families of blocks: examples worked by hand, always a partition, and refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.blocks.patterns import BlockPattern, block_groups, parse_pattern
from compress.errors import ConfigError

FORMS = ["residue:3", "band:2", "tile:2x3", "packed:2", "inputs:2", "outputs:3", "taps"]


def groups(text, shape, modulus=4, conv_groups=1):
    return block_groups(parse_pattern(text), shape, modulus=modulus, conv_groups=conv_groups)


def test_residues_are_column_minus_row():
    assert groups("residue:4", (4, 4)).tolist() == [[0, 1, 2, 3], [3, 0, 1, 2], [2, 3, 0, 1], [1, 2, 3, 0]]
    assert groups("residue:2", (4, 4)).tolist() == [[0, 1, 0, 1], [1, 0, 1, 0]] * 2


def test_a_residue_never_passes_the_modulus():
    assert (groups("residue:128", (4, 8)) == groups("residue:4", (4, 8))).all()


def test_pruned_rows_and_columns_are_not_counted():
    mask = np.ones((3, 4), dtype=bool)
    mask[1], mask[:, 2] = False, False
    found = block_groups(parse_pattern("residue:4"), (3, 4), modulus=4, mask=mask)
    assert found[mask].tolist() == [0, 1, 2, 3, 0, 1]  # rows 0 and 2 are neighbours now, columns 1 and 3 too


def test_bands_are_neighbouring_diagonals():
    assert groups("band:2", (4, 4)).tolist() == [[0, 0, 1, 1], [1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0]]


def test_tiles_are_numbered_row_by_row_and_may_be_ragged():
    assert groups("tile:2x2", (3, 3)).tolist() == [[0, 0, 1], [0, 0, 1], [2, 2, 3]]
    assert (groups("packed:2", (3, 3)) == groups("tile:2x2", (3, 3))).all()


def test_blocks_of_inputs_and_outputs_by_hand():
    assert groups("inputs:2", (2, 5)).tolist() == [[0, 0, 1, 1, 2]] * 2
    assert groups("outputs:2", (3, 2)).tolist() == [[0, 0], [0, 0], [1, 1]]


def test_blocks_of_a_convolution_by_filter_channel_and_tap():
    shape = (4, 2, 1, 3)
    assert (groups("outputs:1", shape) == np.arange(4)[:, None, None, None]).all()
    assert (groups("inputs:1", shape) == np.arange(2)[None, :, None, None]).all()
    assert (groups("taps", shape) == np.arange(3)).all()
    assert groups("tile:4x6", shape).max() == 0
    # a wrapped diagonal of channels is one block per tap: 2 channel differences modulo 2, 3 taps
    assert groups("residue:8", shape, modulus=2)[1, 0].tolist() == [[3, 4, 5]]


def test_blocks_of_grouped_convolutions_use_the_channels_of_the_group():
    """In a depthwise layer every filter reads its own channel, so all weights lie on diagonal zero."""
    assert groups("residue:4", (4, 1, 1, 1), conv_groups=4).max() == 0
    assert groups("residue:4", (4, 1, 1, 1), conv_groups=1).ravel().tolist() == [0, 3, 2, 1]


@given(
    text=st.sampled_from(FORMS),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3)),
    modulus=st.sampled_from([1, 2, 4, 8]),
)
def test_every_family_is_a_partition_without_gaps(text, shape, modulus):
    numbers = groups(text, shape, modulus)
    assert numbers.shape == shape and numbers.dtype == np.int32
    assert np.unique(numbers).tolist() == list(range(numbers.max() + 1))


def test_patterns_read_as_they_are_written():
    assert [str(parse_pattern(text)) for text in FORMS] == FORMS
    assert parse_pattern("tile:8x4") == BlockPattern("tile", (8, 4))


@pytest.mark.parametrize("text", ["", "tile", "tile:8", "residue:0", "diagonal:4", "taps:1", "band:2x2", "band:-1"])
def test_other_texts_are_refused(text):
    with pytest.raises(ConfigError, match="block: got .*allowed: residue:128, band:16, tile:8x8"):
        parse_pattern(text)
