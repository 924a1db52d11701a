"""What range of inputs rows support: outliers are named, held-out rows are accepted, bounds stay bounds."""

import numpy as np
import pytest
from sklearn import datasets

from compress.errors import CalibrationError
from compress.robust import (
    BOUND_MARGIN,
    MOST_HEADROOM,
    describe_outliers,
    find_outliers,
    headroom_share,
    input_range,
    without_outliers,
)

TABLES = ("breast_cancer", "wine", "iris", "diabetes", "digits")


def table(name):
    return getattr(datasets, f"load_{name}")().data


def refused(rows, kept):
    """The share of rows outside the range of other rows."""
    found = input_range(without_outliers(kept))
    return float(((rows < found.low) | (rows > found.high)).any(axis=1).mean())


@pytest.mark.parametrize("name", TABLES)
def test_at_most_one_held_out_row_in_a_thousand_is_refused_and_no_row_is_an_outlier(name):
    rows = table(name)
    shares = []
    for seed in range(40):
        order = np.random.default_rng(seed).permutation(len(rows))
        kept, held_out = rows[order[: len(rows) * 3 // 4]], rows[order[len(rows) * 3 // 4 :]]
        assert find_outliers(kept) == ()
        shares.append(refused(held_out, kept))
    assert np.mean(shares) <= 1e-3


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("value", [1e6, -1e6])
def test_one_damaged_row_is_named_and_changes_no_range(name, value):
    rows = table(name)
    damaged = rows.copy()
    damaged[7, 2] = value
    (found,) = find_outliers(damaged)
    assert (found.row, found.feature, found.value) == (7, 2, value)
    clean, kept = input_range(np.delete(rows, 7, axis=0)), input_range(without_outliers(damaged))
    np.testing.assert_array_equal(clean.low, kept.low)
    np.testing.assert_array_equal(clean.high, kept.high)


def test_a_damaged_image_is_named_by_its_pixel():
    rng = np.random.default_rng(1)
    images = rng.random((200, 3, 4, 4))
    images[[5, 60], 1, 2, 3] = 300.0, 400.0
    assert [(one.row, one.feature) for one in find_outliers(images)] == [(5, 16 + 11), (60, 16 + 11)]
    text = describe_outliers(find_outliers(images), len(images))
    assert text.startswith(
        "2 rows that lie far outside the others, of 200, left out: row 60 has 400 in feature 27, where"
    )
    assert describe_outliers(find_outliers(images[:30]), 30).startswith("1 row that lies far outside the others, of 30")


def test_heavy_tails_hold_no_outliers():
    rng = np.random.default_rng(2)
    assert find_outliers(np.exp(rng.normal(size=(10_000, 8)))) == ()
    rare = (rng.random((1000, 40)) < 0.002).astype(float)  # of every column one or two ones
    assert find_outliers(rare) == ()
    often = rng.normal(size=(100, 3))
    often[:8] = 1e6 * rng.random((8, 3))  # one row in twelve is no accident
    assert find_outliers(often) == ()


def test_of_few_rows_none_is_an_outlier():
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(9, 2))
    rows[0] = 1e6
    assert find_outliers(rows) == ()
    assert without_outliers(rows) is rows


def test_pixels_share_one_range_even_where_a_corner_never_varies():
    rng = np.random.default_rng(4)
    rows = rng.random((300, 16)).round(1)
    rows[:, [0, 3]] = 0.0
    found = input_range(rows)
    assert (np.unique(found.low).size, np.unique(found.high).size) == (1, 1)
    assert found.low[0] <= 0 < 0.8 < found.high[0]


def test_black_and_white_are_bounds():
    rng = np.random.default_rng(5)
    images = np.clip(rng.normal(0.5, 0.5, (100, 1, 5, 5)), 0, 1)
    found = input_range(images)
    np.testing.assert_allclose(found.low, -BOUND_MARGIN)
    np.testing.assert_allclose(found.high, 1 + BOUND_MARGIN)


def test_every_channel_has_its_own_range():
    rng = np.random.default_rng(6)
    series = np.stack([rng.random((200, 30)), 1000 * rng.random((200, 30))], axis=1)
    found = input_range(series)
    assert found.high[:30].max() < 5 < 500 < found.high[30:].min()
    assert found.low.shape == (60,)


def test_features_of_different_units_have_their_own_ranges_and_constants_a_sane_one():
    rng = np.random.default_rng(7)
    rows = np.stack([rng.normal(0, 1, 400), rng.normal(5000, 300, 400), np.full(400, 2024.0), np.zeros(400)], axis=1)
    found = input_range(rows)
    assert -15 < found.low[0] < -3 < 3 < found.high[0] < 15
    assert 0 < found.low[1] < 4200 < 5900 < found.high[1] < 9000
    assert (found.low[2], found.high[2]) == (0.0, 4048.0)  # as far as its value on both sides
    assert found.low[3] == -found.high[3] < 0


def test_the_range_reaches_further_on_the_side_of_the_longer_tail():
    rng = np.random.default_rng(8)
    rows = np.stack([np.exp(rng.normal(size=400)), 100 * rng.random(400)], axis=1)
    found = input_range(rows)
    middle, high = np.median(rows[:, 0]), rows[:, 0].max()
    assert found.high[0] == pytest.approx(high + headroom_share(400, 2) * (high - middle))
    assert rows[:, 0].min() - found.low[0] < 0.1 * (found.high[0] - high)


def test_the_headroom_shrinks_with_the_number_of_rows():
    assert headroom_share(5, 1) == headroom_share(100, 30) == MOST_HEADROOM
    # 2 ln(1 / (n p)) / ln n with n p = 2000 * 0.001 / (2 * 5)
    assert headroom_share(2000, 5) == pytest.approx(2 * np.log(5) / np.log(2000))
    assert headroom_share(10**6, 5) == 0.1


@pytest.mark.parametrize("rows", [np.zeros((0, 3)), np.full((5, 3), 2.0), np.array([[np.nan, 1.0]])])
def test_rows_without_a_range_are_refused(rows):
    with pytest.raises(CalibrationError, match="a range needs finite values that vary"):
        input_range(rows)
