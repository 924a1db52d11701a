"""as_dataset: whatever holds rows and labels becomes a Dataset. Loads no torch.

    a Dataset                              stays what it is
    (x_train, y_train, x_test, y_test)     also as a mapping with these names; labels may be missing
    (x, y), or {"x": x, "y": y}            a part of the rows is held out for testing
    x, an array or a tensor                the same, without labels
    a DataLoader or a torch Dataset        read once; of two, (train, test), the second has the test rows

Rows of several inputs are a mapping of arrays by name in the place of x, or a tuple of arrays inside of one of these.
A batch of a DataLoader, and an item of a torch Dataset, is x, (x, y), (input, input, ..., y) or a mapping of inputs
with the labels as "y", "label", "labels", "target" or "targets".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.checks import check_seed
from compress.dataset import Dataset, read_array
from compress.errors import DataError
from compress.labels import check_text
from compress.parts import Part
from compress.tasks import Task

#: Share of the rows that is held out for testing where no test rows are given.
TEST_SHARE = 0.2

#: Names of the labels in a mapping.
LABEL_NAMES = ("y", "label", "labels", "target", "targets")
SPLIT_NAMES = ("x_train", "y_train", "x_test", "y_test")

ALLOWED = (
    "a Dataset, (x_train, y_train, x_test, y_test), (x, y), x without labels, a mapping with these names, a torch "
    "DataLoader or Dataset, or two of them for training and testing"
)


def as_dataset(
    data: object, *, task: Task | None = None, name: str = "data", class_names: Sequence[str] = (), seed: int = 0
) -> Dataset:
    """The Dataset that `data` holds, in one of the forms above.

    task: what the labels are for; None derives it from labels and network (`compress.labels`). class_names: in the
    order of the class numbers. seed: of the choice of test rows, where none are given; classes keep their shares.
    Raises: DataError for another form, and for rows or labels that do not fit together; ConfigError.
    """
    check_seed(seed)
    if isinstance(data, Dataset):
        if task is None and not class_names:
            return data
        names = tuple(class_names) or data.class_names
        return replace(data, task=task or data.task, class_names=names, fitted_to=None)
    x_train, y_train, x_test, y_test = _four(data, seed)
    (train, parts), (test, others) = _joined("x_train", x_train), _joined("x_test", x_test)
    if parts != others:
        raise DataError(f"x_train has the inputs {_named(parts)}, x_test {_named(others)}; give both the same inputs")
    return Dataset(name, train, y_train, test, y_test, task, tuple(class_names), parts)


def _four(data: object, seed: int) -> tuple[Any, Any, Any, Any]:
    """x_train, y_train, x_test and y_test; labels may be None."""
    if isinstance(data, Mapping):
        return _four_of_mapping(data, seed)
    if isinstance(data, tuple) or (isinstance(data, list) and len(data) in (2, 4)):
        if len(data) == 2 and all(_is_loader(part) for part in data):
            return (*_read(data[0]), *_read(data[1]))
        if len(data) == 4:
            return data[0], data[1], data[2], data[3]
        if len(data) == 2:
            return _held_out(data[0], data[1], seed)
        raise DataError(f"data: got a tuple of {len(data)}; give {ALLOWED}")
    if _is_loader(data):
        return _held_out(*_read(data), seed)
    if _is_array(data) or (isinstance(data, list) and data):
        return _held_out(data, None, seed)
    raise DataError(f"data: got {type(data).__name__}; give {ALLOWED}")


def _four_of_mapping(data: Mapping[Any, Any], seed: int) -> tuple[Any, Any, Any, Any]:
    if "x_train" in data and "x_test" in data:
        return data["x_train"], data.get("y_train"), data["x_test"], data.get("y_test")
    if "train" in data and "test" in data:
        return (*_x_and_y(data["train"]), *_x_and_y(data["test"]))
    if "x" in data or "data" in data:  # "data" and "target" are scikit-learn's names
        return _held_out(data["x"] if "x" in data else data["data"], _labels_of(data), seed)
    if data and all(_is_array(value) for value in data.values()):  # inputs by name
        inputs = {key: value for key, value in data.items() if key not in LABEL_NAMES}
        return _held_out(inputs, _labels_of(data), seed)
    raise DataError(
        f"data: got a mapping with {', '.join(map(str, data)) or 'nothing'}; name its arrays {', '.join(SPLIT_NAMES)}, "
        "or x and y, or train and test, or by the network's inputs"
    )


def _labels_of(data: Mapping[Any, Any]) -> Any:
    return next((data[key] for key in LABEL_NAMES if key in data), None)


def _x_and_y(part: object) -> tuple[Any, Any]:
    if _is_loader(part):
        return _read(part)
    if isinstance(part, list | tuple) and len(part) == 2:
        return part[0], part[1]
    return part, None


def _is_array(value: object) -> bool:
    """Whether numpy can read it as an array without guessing: arrays, tensors, data frames."""
    return hasattr(value, "__array__") or hasattr(value, "__array_interface__")


def _is_loader(value: object) -> bool:
    """Whether it is a DataLoader or a torch Dataset: something to iterate over that is neither array nor container."""
    if _is_array(value) or isinstance(value, Mapping | list | tuple | str | bytes | Dataset):
        return False
    indexed = hasattr(value, "__getitem__") and hasattr(value, "__len__")
    return indexed or (hasattr(value, "__iter__") and hasattr(value, "batch_size"))


def _read(source: Any) -> tuple[Any, Any]:
    """All rows of a DataLoader or of a torch Dataset, and their labels or None.

    Raises: DataError for no rows, and for batches of different forms.
    """
    batched = hasattr(source, "batch_size")
    items: Iterable[Any] = source if batched else (source[index] for index in range(len(source)))
    inputs: list[Any] = []
    labels: list[NDArray[Any]] = []
    for item in items:
        x, y = _of_item(item)
        inputs.append(x)
        if y is not None:
            labels.append(read_array("y", y))
    if not inputs or (labels and len(labels) != len(inputs)):
        raise DataError(f"data: a {type(source).__name__} gave no rows, or labels for some rows only; give {ALLOWED}")
    put = np.concatenate if batched else np.stack
    try:
        if isinstance(inputs[0], Mapping):
            x = {key: put([read_array("x", row[key]) for row in inputs]) for key in inputs[0]}
        elif isinstance(inputs[0], tuple):
            x = tuple(put([read_array("x", row[index]) for row in inputs]) for index in range(len(inputs[0])))
        else:
            x = put([read_array("x", row) for row in inputs])
        return x, put(labels) if labels else None
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(f"data: rows of a {type(source).__name__} differ in shape or form ({error})") from error


def _of_item(item: Any) -> tuple[Any, Any]:
    """Inputs and labels, or None, of a batch or an item."""
    if isinstance(item, Mapping):
        inputs = {key: value for key, value in item.items() if key not in LABEL_NAMES}
        return (next(iter(inputs.values())) if len(inputs) == 1 else inputs), _labels_of(item)
    if isinstance(item, list | tuple):
        if len(item) == 1:
            return item[0], None
        x = tuple(item[:-1])
        return (x[0] if len(x) == 1 else x), item[-1]
    return item, None


def _joined(field: str, x: Any) -> tuple[Any, tuple[Part, ...]]:
    """Rows of several inputs as flat rows with the inputs' parts; rows of one input as they are."""
    if isinstance(x, Mapping):
        named = {str(key): value for key, value in x.items()}
    elif isinstance(x, tuple) and x and all(_is_array(part) for part in x):
        named = {str(index): value for index, value in enumerate(x)}
    else:
        return x, ()
    check_text(f"{field}: names of inputs", named)
    arrays = {key: read_array(field, value) for key, value in named.items()}
    if (
        len({len(array) if array.ndim else 0 for array in arrays.values()}) != 1
        or min(map(np.ndim, arrays.values())) < 1
    ):
        sizes = ", ".join(f"{key} {array.shape}" for key, array in arrays.items())
        raise DataError(f"{field} has inputs of different numbers of rows ({sizes}); give as many of each")
    scaled = [array / np.float32(255) if array.dtype == np.uint8 else array for array in arrays.values()]
    parts = tuple(Part(key, tuple(array.shape[1:])) for key, array in arrays.items())
    return np.concatenate([array.reshape(len(array), -1) for array in scaled], axis=1), parts


def _named(parts: Iterable[Part]) -> str:
    return ", ".join(map(str, parts)) or "one array"


def _held_out(x: Any, y: Any, seed: int) -> tuple[Any, Any, Any, Any]:
    """The rows split at random; where labels are classes, each class keeps its share, and one row at least to train on.

    Raises: DataError for too few rows.
    """
    inputs = list(x.values()) if isinstance(x, Mapping) else list(x) if isinstance(x, tuple) else [x]
    arrays = [read_array("x", part) for part in inputs]
    count = len(arrays[0]) if arrays and arrays[0].ndim else 0
    labels = None if y is None else read_array("y", y)
    if len({len(array) if array.ndim else 0 for array in arrays}) > 1:
        raise DataError(
            f"data: its inputs have the shapes {', '.join(str(array.shape) for array in arrays)}; "
            "give as many rows of each"
        )
    if count < 2 or (labels is not None and len(labels) != count):
        raise DataError(
            f"data: {count} rows{'' if labels is None else f' with labels of shape {labels.shape}'}; "
            "give at least 2 rows, each with its label"
        )
    generator = np.random.default_rng(seed)
    aside = np.zeros(count, dtype=bool)
    for group in _groups(labels, count):
        aside[generator.permutation(group)[: round(TEST_SHARE * len(group))]] = True
    if not aside.any():
        aside[generator.integers(count)] = True

    def chosen(rows: NDArray[np.bool_]) -> Any:
        if isinstance(x, Mapping):
            return {key: array[rows] for key, array in zip(x, arrays, strict=True)}
        return tuple(array[rows] for array in arrays) if isinstance(x, tuple) else arrays[0][rows]

    train, test = (None if labels is None else labels[rows] for rows in (~aside, aside))
    return chosen(~aside), train, chosen(aside), test


def _groups(labels: NDArray[Any] | None, count: int) -> list[NDArray[np.intp]]:
    """The rows of each class, where labels are classes; otherwise all rows."""
    if labels is not None and labels.ndim == 1 and labels.dtype.kind in "biuUSO":
        values, which = np.unique(labels.astype(np.str_) if labels.dtype.kind == "O" else labels, return_inverse=True)
        if len(values) <= max(2, count // 5):
            return [np.flatnonzero(which == index) for index in range(len(values))]
    return [np.arange(count)]
