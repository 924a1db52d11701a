"""as_dataset: arrays, tuples, mappings, tensors, DataLoaders and torch data sets become the same Dataset."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from torch.utils.data import DataLoader, TensorDataset

from compress.dataset import Dataset
from compress.errors import DataError
from compress.gathering import as_dataset
from compress.parts import Part

X = np.arange(60, dtype=np.float32).reshape(20, 3)
Y = np.arange(20) % 2
FOUR = (X[:15], Y[:15], X[15:], Y[15:])
TENSORS = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))


@pytest.mark.parametrize(
    "data",
    [
        FOUR,
        list(FOUR),
        dict(zip(("x_train", "y_train", "x_test", "y_test"), FOUR, strict=True)),
        {"train": FOUR[:2], "test": FOUR[2:]},
        tuple(map(torch.from_numpy, FOUR)),
        (DataLoader(TensorDataset(*map(torch.from_numpy, FOUR[:2])), batch_size=4), DataLoader(
            TensorDataset(*map(torch.from_numpy, FOUR[2:])), batch_size=4)),
        {"train": TensorDataset(*map(torch.from_numpy, FOUR[:2])), "test": TensorDataset(
            *map(torch.from_numpy, FOUR[2:]))},
    ],
)  # fmt: skip
def test_data_with_test_rows_is_taken_as_it_is(data):
    made = as_dataset(data)
    for found, wanted in zip((made.x_train, made.y_train, made.x_test, made.y_test), FOUR, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    "data",
    [
        (X, Y),
        {"x": X, "y": Y},
        {"data": X, "target": Y, "feature_names": ["a", "b", "c"]},
        TENSORS,
        DataLoader(TENSORS, batch_size=7),
        DataLoader([{"features": X[index], "label": Y[index]} for index in range(20)], batch_size=3),
    ],
)
def test_a_fifth_of_the_rows_is_held_out_with_their_labels(data):
    made = as_dataset(data)
    assert len(made.x_train) == 16 and len(made.x_test) == 4
    together = np.concatenate([made.x_train, made.x_test])
    order = np.argsort(together[:, 0])
    np.testing.assert_array_equal(together[order], X)
    np.testing.assert_array_equal(np.concatenate([made.y_train, made.y_test])[order], Y)
    np.testing.assert_array_equal(np.bincount(made.y_test), [2, 2])  # each class keeps its share


@pytest.mark.parametrize("data", [X, torch.from_numpy(X), X.tolist(), {"x": X}, TensorDataset(torch.from_numpy(X))])
def test_rows_without_labels(data):
    made = as_dataset(data)
    assert made.y_train is None and made.y_test is None
    assert len(made.x_train) == 16 and made.input_shape == (3,)


def test_the_same_seed_holds_out_the_same_rows_and_another_seed_others():
    first, again, other = (as_dataset((X, Y), seed=seed).x_test for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_rare_classes_stay_in_training():
    labels = np.array(["a"] * 18 + ["b"] * 2)
    made = as_dataset((X, labels))
    assert sorted(made.y_test) == ["a"] * 4 and list(made.y_train).count("b") == 2


def test_scikit_learns_bunches_are_mappings():
    made = as_dataset(load_iris(), name="iris")
    assert made.name == "iris" and made.x_train.shape == (120, 4) and made.x_test.shape == (30, 4)
    np.testing.assert_array_equal(np.bincount(made.y_test), [10, 10, 10])


@pytest.mark.parametrize(
    "data",
    [
        ((X, X[:, :2].reshape(20, 1, 2)), Y),
        {"x": (X, X[:, :2].reshape(20, 1, 2)), "y": Y},
        TensorDataset(torch.from_numpy(X), torch.from_numpy(X[:, :2].reshape(20, 1, 2)), torch.from_numpy(Y)),
    ],
)
def test_several_inputs_lie_side_by_side(data):
    made = as_dataset(data)
    assert made.input_parts == (Part("0", (3,)), Part("1", (1, 2)))
    assert made.input_shape == (5,)
    np.testing.assert_array_equal(made.x_train[:, 3:], made.x_train[:, :2])


def test_inputs_by_name_keep_their_names():
    made = as_dataset({"left": X, "right": X[:, :1], "y": Y})
    assert made.input_parts == (Part("left", (3,)), Part("right", (1,)))
    assert made.y_train is not None


def test_a_dataset_stays_and_takes_a_task_and_names():
    made = as_dataset(FOUR)
    assert as_dataset(made) is made
    again = as_dataset(made, task="regression", class_names=("a", "b"))
    assert (again.task, again.class_names) == ("regression", ("a", "b"))
    assert isinstance(again, Dataset) and again.x_train is made.x_train


class Ragged:
    """A torch data set whose rows differ."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return torch.zeros(2 + index), index


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("digits", "^data: got str; give a Dataset, "),
        (None, "^data: got NoneType; give a Dataset, "),
        ((X, Y, X), "^data: got a tuple of 3; give a Dataset, "),
        ({"a": "b"}, "^data: got a mapping with a; name its arrays x_train, y_train, x_test, y_test, or x and y"),
        ({}, "^data: got a mapping with nothing; name its arrays"),
        ((X, Y[:7]), r"^data: 20 rows with labels of shape \(7,\); give at least 2 rows, each with its label$"),
        (X[:1], "^data: 1 rows; give at least 2 rows"),
        (Ragged(), "^data: rows of a Ragged differ in shape or form"),
        (TensorDataset(torch.zeros(0, 3)), "^data: a TensorDataset gave no rows, or labels for some rows only"),
        ((torch.zeros(4, 3, requires_grad=True), Y[:4]), "^x cannot be read as an array"),
        (((X, X[:5]), Y), r"^data: its inputs have the shapes \(20, 3\), \(5, 3\); give as many rows of each$"),
        ((X, Y, (X, X), Y), "^x_train has the inputs one array, x_test 0 .*give both the same inputs$"),
    ],
)
def test_other_forms_are_refused(data, message):
    with pytest.raises(DataError, match=message):
        as_dataset(data)
