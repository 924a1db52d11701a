"""Codes, steps and the one rounding rule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from compress.model.bitpack import pack_codes, pack_mask, packed_bytes, unpack_codes, unpack_mask
from compress.model.codebook import (
    LayerCodes,
    bits_levels,
    level_bits,
    power_of_two_step,
    quantize,
    round_half_up,
    squared_error,
)

WEIGHTS = np.array([[0.9, -0.5, 0.0, 0.2], [0.09, -0.05, 0.0, 0.02]])


def test_ties_go_up_not_to_the_even_number():
    values = np.array([0.5, 1.5, 2.5, -0.5, -1.5, -2.5])
    assert round_half_up(values).tolist() == [1, 2, 3, 0, -1, -2]


def test_just_below_a_tie_goes_down_in_both_precisions():
    for kind in (np.float32, np.float64):
        below = np.nextafter(kind(0.5), kind(0))
        assert round_half_up(np.array([below, -below])).tolist() == [0, 0]


def test_codes_with_one_step_for_the_layer_by_hand():
    codes = quantize(WEIGHTS, np.array(-4, dtype=np.int32), levels=127)
    assert codes.tolist() == [[14, -8, 0, 3], [1, -1, 0, 0]]
    assert squared_error(WEIGHTS, -4, 127) == pytest.approx(0.00209375)


def test_normalized_channels_share_the_codebook():
    normalized = WEIGHTS / np.array([[0.9], [0.09]]) * 7
    assert quantize(normalized, np.array(0, dtype=np.int32), levels=7).tolist() == [[7, -4, 0, 2]] * 2


def test_power_of_two_step_takes_the_smaller_error_after_clipping():
    assert squared_error(WEIGHTS, -3, 7) == pytest.approx(0.00725)
    assert squared_error(WEIGHTS, -2, 7) == pytest.approx(0.0235)
    assert power_of_two_step(WEIGHTS, 0.9 / 7, 7) == -3


@pytest.mark.parametrize(("bits", "levels"), [(2, 1), (3, 3), (4, 7), (8, 127)])
def test_bits_and_levels_are_inverse(bits, levels):
    assert bits_levels(bits) == levels
    assert level_bits(levels) == bits


@given(
    weights=arrays(np.float64, (3, 5), elements=st.floats(-4, 4)),
    exponents=st.lists(st.integers(-6, 2), min_size=3, max_size=3),
    bits=st.integers(2, 8),
)
def test_codes_stay_in_the_codebook_and_are_the_nearest(weights, exponents, bits):
    levels, log2_step = bits_levels(bits), np.array(exponents, dtype=np.int32)
    codes = quantize(weights, log2_step, levels)
    assert np.abs(codes).max() <= levels
    layer = LayerCodes(codes, log2_step, np.ones((3, 5), bool), levels)
    step = np.exp2(np.array(exponents, dtype=float))[:, None]
    inside = np.abs(weights) <= levels * step
    assert (np.abs(layer.values() - weights)[inside] <= (step / 2 * np.ones_like(weights))[inside]).all()
    assert (quantize(layer.values(), log2_step, levels) == codes).all()


@given(weights=arrays(np.float64, (3, 4), elements=st.floats(-1, 1)), factor=st.sampled_from([100.0, 0.01]))
def test_scaling_one_channel_changes_its_codes_only(weights, factor):
    log2_step = np.array([-4, -5, -6], dtype=np.int32)
    scaled = weights * np.array([[1], [factor], [1]])
    assert (quantize(weights, log2_step, 7)[[0, 2]] == quantize(scaled, log2_step, 7)[[0, 2]]).all()


@given(data=st.data(), bits=st.integers(2, 9), count=st.integers(0, 40))
def test_packed_codes_come_back(data, bits, count):
    levels = bits_levels(bits)
    codes = data.draw(arrays(np.int32, count, elements=st.integers(-levels, levels)))
    packed = pack_codes(codes, levels)
    assert len(packed) == packed_bytes(count, bits)
    assert (unpack_codes(packed, count, levels) == codes).all()


@given(mask=arrays(bool, st.tuples(st.integers(1, 5), st.integers(1, 7))))
def test_packed_masks_come_back(mask):
    packed = pack_mask(mask)
    assert len(packed) == packed_bytes(mask.size, 1)
    assert (unpack_mask(packed, mask.shape) == mask).all()


def test_a_layers_codes_cannot_be_written_to():
    layer = LayerCodes(np.ones((2, 3), np.int32), np.array(-1, np.int32), np.ones((2, 3), bool), levels=3)
    for array in (layer.codes, layer.log2_step, layer.mask):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
