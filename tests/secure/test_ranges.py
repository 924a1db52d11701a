"""Inputs against the accepted range: what is refused is named by feature, and clipping says what it changed."""

from dataclasses import replace

import numpy as np
import pytest

from compress.errors import InputRangeError, InputShapeError
from secure.parties.client import Client
from secure.parties.ranges import checked_input, clipped_input
from tests.secure.plans import small_bundle

SPEC = replace(
    small_bundle().client, input_shape=(32,), input_low=np.linspace(-1, 0, 32), input_high=np.linspace(1, 35.4, 32)
)


def row(**values):
    found = np.zeros(32)
    for feature, value in values.items():
        found[int(feature[1:])] = value
    return found


def test_a_row_within_its_ranges_is_taken_as_it_is():
    edge = np.where(np.arange(32) % 2, SPEC.input_low, SPEC.input_high)
    np.testing.assert_array_equal(checked_input(SPEC, edge), edge)
    assert clipped_input(SPEC, edge).features == ()
    assert clipped_input(SPEC, edge).said == ""


def test_a_value_outside_is_named_with_its_feature_its_range_and_what_to_do():
    with pytest.raises(InputRangeError) as caught:
        checked_input(SPEC, row(f31=50.1))
    assert str(caught.value) == (
        "input: feature 31 is 50.1, accepted are 0 to 35.4; clip it (clip=True, or --clip), check its unit, or compile "
        "again with data that covers such values"
    )
    error = caught.value
    assert (error.feature, error.value, error.low, error.high) == (31, 50.1, 0.0, pytest.approx(35.4))


def test_the_feature_furthest_outside_for_its_range_is_named():
    with pytest.raises(InputRangeError, match=r"feature 0 is -4, .* \(1 more feature lies outside\); clip it"):
        checked_input(SPEC, row(f0=-4, f31=40))
    with pytest.raises(InputRangeError, match=r"feature 31 is 80, .* \(2 more features lie outside\)"):
        checked_input(SPEC, row(f0=-1.1, f1=-2, f31=80))


def test_a_pixel_is_named_by_its_position():
    spec = small_bundle().client
    image = np.zeros((4, 8))
    image[2, 5] = -1.5
    with pytest.raises(InputRangeError, match=r"feature 21 at \(2, 5\) is -1.5, accepted are -1 to 1"):
        checked_input(spec, image)


def test_scaling_is_advised_only_where_it_may_be_missing():
    spec = small_bundle().client
    pixels = np.zeros((4, 8))
    pixels[0, :3] = 255, 12, 80
    for image in (pixels, np.full((4, 8), 3.0)):
        with pytest.raises(InputRangeError, match="; scale the input as the training data was") as caught:
            checked_input(spec, image)
        assert "clip" not in str(caught.value)


def test_clipping_brings_values_to_the_nearest_end_and_says_which():
    clipped = clipped_input(SPEC, row(f0=-4, f3=1e6, f31=50.1))
    assert clipped.features == (0, 3, 31)
    assert clipped.values[[0, 31]].tolist() == [-1.0, SPEC.input_high[31]]
    assert clipped.values[3] == SPEC.input_high[3]
    assert clipped.said == (
        "clipped 3 of 32 features: feature 0 from -4 to -1, feature 3 from 1e+06 to 4.32903, "
        "feature 31 from 50.1 to 35.4"
    )
    assert clipped_input(SPEC, np.full(32, 1e9)).said.endswith(" and 29 more")


def test_clipping_takes_nothing_that_is_no_input():
    for wrong in (np.zeros(31), np.full(32, np.nan), "a row"):
        with pytest.raises(InputShapeError, match="input: "):
            clipped_input(SPEC, wrong)


def test_a_client_clips_when_it_is_told_to_and_says_so(caplog):
    spec = small_bundle().client
    client = Client(spec)
    outside = np.zeros((4, 8))
    outside[1, 1] = 1.5
    with pytest.raises(InputRangeError, match=r"feature 9 at \(1, 1\) is 1.5"):
        client.encrypt(outside)
    assert not caplog.messages
    assert client.encrypt(outside, clip=True)
    assert caplog.messages == ["input: clipped 1 of 32 features: feature 9 at (1, 1) from 1.5 to 1"]
    assert client.clip(outside).features == (9,)
