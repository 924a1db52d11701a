"""A Dataset is checked when it is put together: shapes, finite numbers, labels of one kind."""

import re

import numpy as np
import pytest
import torch

from compress.dataset import Dataset
from compress.errors import ConfigError, DataError

IMAGES = np.linspace(0, 1, 12, dtype=np.float32).reshape(4, 3)
LABELS = np.array([0, 1, 2, 1])


def data(**fields):
    return Dataset(
        **({"name": "own", "x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES, "y_test": LABELS} | fields)
    )


def test_lists_and_other_types_become_float32_and_int64():
    made = data(
        x_train=IMAGES.tolist(), y_train=[0, 1, 2, 1], x_test=IMAGES.astype(np.float64), y_test=LABELS.astype("u1")
    )
    assert [made.x_train.dtype, made.x_test.dtype] == [np.float32] * 2
    assert [made.y_train.dtype, made.y_test.dtype] == [np.int64] * 2
    np.testing.assert_array_equal(made.x_train, IMAGES)
    np.testing.assert_array_equal(made.y_test, LABELS)


def test_tensors_are_taken():
    np.testing.assert_array_equal(data(x_train=torch.from_numpy(IMAGES)).x_train, IMAGES)


def test_bytes_are_scaled_to_one_as_in_files_and_other_numbers_stay():
    pixels = np.array([[0, 51, 255]] * 4, dtype=np.uint8)
    np.testing.assert_array_equal(data(x_test=pixels).x_test[0], np.array([0, 0.2, 1], dtype=np.float32))
    np.testing.assert_array_equal(data(x_test=pixels.astype(int)).x_test[0], [0, 51, 255])


def test_arrays_of_the_right_type_are_neither_copied_nor_changed():
    frozen = IMAGES.copy()
    frozen.flags.writeable = False
    made = data(x_train=frozen)
    assert made.x_train is frozen and made.x_test is IMAGES and made.y_train is LABELS


def test_sequences_and_pictures_are_taken_too():
    assert data(x_train=np.ones((4, 2, 5)), x_test=np.ones((4, 2, 5))).input_shape == (2, 5)
    assert data(x_train=np.ones((4, 1, 2, 2)), x_test=np.ones((4, 1, 2, 2))).input_shape == (1, 2, 2)


SHAPES = (
    "x must be (count, channels, height, width), (count, channels, length) or (count, features) with one label each"
)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": 3}, "name is 3; it must be a string"),
        ({"x_train": IMAGES[:3]}, f"x_train has shape (3, 3) and y_train (4,); {SHAPES}"),
        ({"x_test": IMAGES[0], "y_test": LABELS[:3]}, f"x_test has shape (3,) and y_test (3,); {SHAPES}"),
        ({"x_train": None}, f"x_train has shape () and y_train (4,); {SHAPES}"),
        ({"x_train": [], "y_train": []}, f"x_train has shape (0,) and y_train (0,); {SHAPES}"),
        (
            {"y_test": LABELS[:, None]},
            "y_train holds int64 of shape () per row, y_test int64 of (1,); give both the same kind of labels",
        ),
        ({"x_train": IMAGES * np.nan}, "x_train holds values that are not finite as float32; clean the data"),
        ({"x_test": np.full((4, 3), 1e300)}, "x_test holds values that are not finite as float32; clean the data"),
        ({"x_test": np.full((4, 3), "a")}, "x_test is <U1; it must hold real numbers (floats, integers or bytes)"),
        ({"y_train": None}, "y_train is None and the other labels are not; give labels for both, or for neither"),
        (
            {"y_train": LABELS * np.nan},
            "y_train holds values that are not finite; clean the data, or give None for no labels",
        ),
        ({"y_test": LABELS * 1j}, "y_test is complex128; labels are integers, booleans, text or real numbers, or None"),
        ({"y_test": [object()] * 4}, "y_test holds Python objects; give numbers, or one text for each row"),
        ({"y_test": [["a", "b"]] * 4}, "y_test has shape (4, 2); labels that are text are one per row"),
        (
            {"y_test": ["a"] * 4},
            "y_train holds int64 of shape () per row, y_test <U1 of (); give both the same kind of labels",
        ),
        (
            {"x_test": np.ones((4, 5))},
            "x_train holds images of shape (3,), x_test of (5,); give both the same shape",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_field(fields, message):
    with pytest.raises(DataError) as caught:
        data(**fields)
    assert str(caught.value) == message


def test_rows_of_different_lengths_are_refused():
    with pytest.raises(DataError, match=r"^x_train cannot be read as an array \(.*\); give one array of numbers$"):
        data(x_train=[[1.0, 2.0], [1.0]])


def test_a_seed_below_zero_is_refused():
    with pytest.raises(ConfigError, match=re.escape("seed: got -1; allowed: a whole number from 0 to 2^63 - 1")):
        data().calibration(2, -1)
