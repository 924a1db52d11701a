"""Labels of every kind become what a network with given outputs needs, or are refused by what was found."""

from dataclasses import replace

import numpy as np
import pytest

from compress.dataset import Dataset
from compress.errors import ConfigError, DataError, InputShapeError
from compress.gathering import as_dataset
from compress.labels import read_labels
from compress.parts import Part, join

ROWS = np.linspace(0, 1, 24, dtype=np.float32).reshape(8, 3)


def fitted(labels, outputs, **fields):
    labels = None if labels is None else np.asarray(labels)
    test = None if labels is None else labels[:4]
    return Dataset("own", ROWS, labels, ROWS[:4], test, **fields).for_outputs(outputs)


@pytest.mark.parametrize(
    ("labels", "outputs", "task", "wanted", "names"),
    [
        ([0, 1, 2, 1, 0, 2, 1, 0], (3,), "classes", [0, 1, 2, 1, 0, 2, 1, 0], ()),
        ([0, 2, 2, 0, 0, 2, 2, 0], (3,), "classes", [0, 2, 2, 0, 0, 2, 2, 0], ()),  # fits as it is
        ([1, 3, 2, 1, 3, 2, 1, 3], (3,), "classes", [0, 2, 1, 0, 2, 1, 0, 2], ("1", "2", "3")),
        ([1, 3, 3, 1, 3, 3, 1, 3], (3,), "classes", [0, 2, 2, 0, 2, 2, 0, 2], ("1", "2", "3")),  # no row of class 2
        ([5, 20, -3, 5, 20, -3, 5, 5], (3,), "classes", [1, 2, 0, 1, 2, 0, 1, 1], ("-3", "5", "20")),
        ([0.0, 1.0, 2.0, 1.0] * 2, (3,), "classes", [0, 1, 2, 1] * 2, ()),
        (["dog", "cat", "eel", "cat"] * 2, (3,), "classes", [1, 0, 2, 0] * 2, ("cat", "dog", "eel")),
        (["dog", "cat"] * 4, (5,), "classes", [1, 0] * 4, ("cat", "dog")),
        ([[0, 1, 0], [1, 0, 0]] * 4, (3,), "classes", [1, 0] * 4, ()),
        ([0, 1] * 4, (1,), "binary", [0, 1] * 4, ()),
        ([-1, 1] * 4, (1,), "binary", [0, 1] * 4, ("-1", "1")),
        ([0.0, 1.0] * 4, (1,), "binary", [0, 1] * 4, ()),
        ([[0], [1]] * 4, (1,), "binary", [0, 1] * 4, ()),
        ([True, False] * 4, (1,), "binary", [1, 0] * 4, ()),
        ([True, False] * 4, (2,), "classes", [1, 0] * 4, ()),
        (["no", "yes"] * 4, (1,), "binary", [0, 1] * 4, ("no", "yes")),
        ([25, 346, 101, 7] * 2, (1,), "regression", [[25.0], [346.0], [101.0], [7.0]] * 2, ()),
        ([0.5, 1.5, 2.0, 7.0] * 2, (1,), "regression", [[0.5], [1.5], [2.0], [7.0]] * 2, ()),
        ([0.5, 1.5, 2.0, 7.0] * 2, (), "regression", [0.5, 1.5, 2.0, 7.0] * 2, ()),
        ([[0.5, 1.5], [2.0, 7.0]] * 4, (2,), "regression", [[0.5, 1.5], [2.0, 7.0]] * 4, ()),
        ([[1, 2, 3, 4]] * 8, (1, 2, 2), "regression", [[[[1.0, 2.0], [3.0, 4.0]]]] * 8, ()),
        ([0] * 8, (3,), "none", None, ()),  # dummies
        ([0] * 8, (1,), "none", None, ()),
        ([0, 1] * 4, (1, 2, 2), "none", None, ()),  # one class per row says nothing about an image
        (None, (3,), "none", None, ()),
    ],
)
def test_the_task_comes_from_labels_and_outputs(labels, outputs, task, wanted, names):
    made = fitted(labels, outputs)
    assert (made.task, made.class_names) == (task, names)
    if wanted is None:
        assert made.y_train is None and made.y_test is None
    else:
        np.testing.assert_array_equal(made.y_train, wanted)
        np.testing.assert_array_equal(made.y_test, wanted[:4])
        assert made.y_train.dtype == (np.float64 if task == "regression" else np.int64)


@pytest.mark.parametrize(
    ("labels", "outputs", "fields", "wanted"),
    [
        ([0, 1] * 4, (1,), {"task": "regression"}, [[0.0], [1.0]] * 4),
        ([0] * 8, (3,), {"task": "classes"}, [0] * 8),
        ([0, 1] * 4, (3,), {"task": "none"}, None),
        (None, (3,), {"task": "classes"}, None),
        (["dog", "cat"] * 4, (3,), {"class_names": ("dog", "eel", "cat")}, [0, 2] * 4),
        ([3, 1] * 4, (3,), {"class_names": ("1", "2", "3")}, [2, 0] * 4),
    ],
)
def test_task_and_names_that_are_given_decide(labels, outputs, fields, wanted):
    made = fitted(labels, outputs, **fields)
    assert made.task == fields.get("task", "classes")
    assert made.class_names == fields.get("class_names", ())
    assert made.y_train is None if wanted is None else np.array_equal(made.y_train, wanted)


def test_labels_that_fit_are_not_copied_and_a_fitted_dataset_stays():
    labels = np.array([0, 1, 2, 1, 0, 2, 1, 0])
    made = Dataset("own", ROWS, labels, ROWS[:4], labels[:4]).for_outputs((3,))
    assert made.y_train is labels
    assert made.for_outputs((3,)) is made


def test_a_part_of_fitted_labels_is_not_mapped_again():
    """Classes 1 to 3 of labels numbered from 1 are 0 to 2; of these, 1 and 2 must stay 1 and 2."""
    made = fitted([1, 3, 2, 1, 3, 2, 1, 3], (3,))
    some = made.y_train > 0
    part = replace(made, x_train=made.x_train[some], y_train=made.y_train[some], x_test=ROWS[1:3], y_test=[2, 1])
    np.testing.assert_array_equal(part.for_outputs((3,)).y_train, made.y_train[some])


@pytest.mark.parametrize(
    ("labels", "outputs", "fields", "message"),
    [
        (
            [0, 12, 1, 2] * 2,
            (3,),
            {},
            "the largest label is 12, but the network has outputs for the labels 0 to 2 only (outputs: 3); "
            "number the labels from 0, or take a network with at least 13 outputs",
        ),
        (
            [-1, 4] * 4,
            (3,),
            {},
            "labels go down to -1, and there are 2 different ones for outputs for 3 classes; number the classes from 0",
        ),
        (
            ["a", "b", "c", "d"] * 2,
            (3,),
            {},
            "there are 4 different labels, but the network has outputs for 3 classes only; "
            "take a network with at least 4 outputs, or fewer classes",
        ),
        (["a", "b"] * 4, (3,), {"class_names": ("b", "c")}, "labels hold 'a', which is not in class_names (b, c); add"),
        ([0.5, 1.0] * 4, (2,), {}, "labels are one real number for each row, but the network has 2 outputs; give 2"),
        ([0.5, 1.0] * 4, (2,), {"task": "classes"}, "labels hold 0.5; class numbers are whole numbers"),
        ([[1, 2, 3]] * 8, (2,), {}, "labels have shape (3,) per row, the network's outputs (2,); give 2 numbers for"),
        ([[1, 2]] * 8, (2,), {"task": "classes"}, "labels have shape (2,) per row; task classes needs one class for"),
        (["a", "b"] * 4, (1,), {"task": "regression"}, "labels are text, which is nothing to regress on; give numbers"),
        ([0, 1] * 4, (3,), {"task": "binary"}, "task binary needs one output, and the network has 3; choose another"),
        ([0, 1] * 4, (1,), {"task": "classes"}, "task classes needs several outputs, and the network has 1; choose"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, outputs, fields, message):
    with pytest.raises(DataError) as caught:
        fitted(labels, outputs, **fields)
    assert str(caught.value).startswith(f"data 'own': {message}")


def test_an_unknown_task_is_refused():
    with pytest.raises(ConfigError, match=r"^task: got 'clusters'; allowed: one of classes, binary, regression, none"):
        fitted([0, 1] * 4, (2,), task="clusters")


def test_numbers_beyond_64_bits_are_refused():
    with pytest.raises(DataError, match="y has 9223372036854775808, which no 64-bit integer holds"):
        read_labels("y", np.array([2**63], dtype=np.uint64))


@pytest.mark.parametrize("text", ["a\x1b[31m", "a\nb", "a\x7f", "\x9bm", "a\ud800"])
def test_text_that_commands_a_terminal_is_no_label(text):
    with pytest.raises(DataError, match="y_train holds 'a?.*which has the control character .*; leave it out"):
        read_labels("y_train", np.array(["cat", text]))
    with pytest.raises(DataError, match="class_names holds .* control character") as caught:
        Dataset("d", np.zeros((2, 3)), ["cat", "dog"], np.zeros((2, 3)), ["cat", "dog"], class_names=("cat", text))
    assert text not in str(caught.value) and str(caught.value).isprintable()


def test_bytes_that_are_no_text_are_no_labels():
    with pytest.raises(DataError, match="y_train holds bytes that are no ASCII text"):
        read_labels("y_train", np.array([b"a", b"\xff"]))
    assert read_labels("y_train", np.array([b"a", b"b"])).tolist() == ["a", "b"]


def test_names_of_parts_are_printable_in_messages_and_checked_when_read():
    part = Part("a\x1b[2J", (3,))
    assert str(part) == "a\\x1b[2J (3,)"
    with pytest.raises(
        InputShapeError, match=r"got 2 parts; the network takes 1 in a tuple .*: a\\x1b\[2J .3,."
    ) as caught:
        join([np.zeros(3), np.zeros(3)], [part])
    assert str(caught.value).isprintable()
    with pytest.raises(InputShapeError, match=r"input 'a\\x1b\[2J': shape .4,.; the network takes .3,.") as caught:
        join([np.zeros(4)], [part])
    assert str(caught.value).isprintable()
    with pytest.raises(DataError, match="x_train: names of inputs holds .* control character"):
        as_dataset({"x": {"a\x1b[2J": np.zeros((9, 3)), "b": np.zeros((9, 2))}, "y": np.arange(9)})
