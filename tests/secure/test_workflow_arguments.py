"""compile, press and press_for refuse arguments of a wrong type before any work, and say what to give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch import nn

import cipherpress as cp
from compress.network import Input, Network

MODULE = nn.Linear(4, 2)
NETWORK = Network(nodes=(Input(name="x", inputs=(), shape=(4,)),))
IMAGES, LABELS = np.zeros((2, 4), np.float32), np.zeros(2, np.int64)
DATA = cp.Dataset("zeros", IMAGES, LABELS, IMAGES, LABELS)
TARGET = cp.Target(min_accuracy=0.5)


FORMS = (
    "a Dataset, (x_train, y_train, x_test, y_test), (x, y), x without labels, a mapping with these names, a torch "
    "DataLoader or Dataset, or two of them for training and testing"
)


def with_data(run: Any, first: Any, data: Any, found: str, *others: Any) -> tuple[Any, ...]:
    return run, (first, data, *others), f"data: got {found}; give {FORMS}"


def with_limits(run: Any, *others: Any) -> tuple[Any, ...]:
    return run, (*others, 0.5), "limits: got 'float'; allowed: None or Limits, such as Limits(max_error=0.5)"


WRONG_OPTIONS = [
    with_limits(cp.compile, NETWORK, DATA),
    with_limits(cp.press, MODULE, DATA, None),
    with_limits(cp.press_for, MODULE, DATA, TARGET, None),
    (cp.press, (MODULE, DATA, 0.5), "setting: got 'float'; allowed: None or a Setting, such as Setting(sparsity=0.5)"),
    (cp.press_for, (MODULE, DATA, 0.5), "target: got 'float'; allowed: a Target, such as Target(min_accuracy=0.98)"),
]
WRONG_DATA = [
    with_data(cp.compile, NETWORK, "digits", "str"),
    with_data(cp.press, MODULE, (IMAGES, LABELS, IMAGES), "a tuple of 3"),
    with_data(cp.press_for, MODULE, 3, "int", TARGET),
    with_data(cp.convert, MODULE, None, "NoneType"),
]
NO_MODULE = "not a torch module or a CompressedModel"
WRONG_MODELS = [
    (
        cp.compile,
        (MODULE, DATA),
        "network: got Linear; compile takes a Network: convert a model first, with convert(model, data), "
        "or give both to press",
    ),
    (cp.press, (NETWORK, DATA), f"model: got Network, {NO_MODULE}; it is converted already: give it to compile"),
    (cp.press, ("mlp", DATA), f"model: got str, {NO_MODULE}; load_model returns one"),
    (
        cp.press_for,
        (NETWORK, DATA, TARGET),
        f"model: got Network, {NO_MODULE}; it is converted already: give it to compile",
    ),
    (cp.press_for, ("mlp", DATA, TARGET), f"model: got str, {NO_MODULE}; load_model returns one"),
]


@pytest.mark.parametrize(("run", "arguments", "message"), WRONG_DATA)
def test_data_of_another_form_is_named(run: Any, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(cp.DataError) as refused:
        run(*arguments)
    assert str(refused.value) == message


@pytest.mark.parametrize(("run", "arguments", "message"), WRONG_OPTIONS)
def test_an_option_of_another_type_is_named(run: Any, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(cp.ConfigError) as refused:
        run(*arguments)
    assert str(refused.value) == message


@pytest.mark.parametrize(("run", "arguments", "message"), WRONG_MODELS)
def test_a_model_of_another_type_is_named(run: Any, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(cp.ModelError) as refused:
        run(*arguments)
    assert str(refused.value) == message


def test_a_search_of_another_type_is_named() -> None:
    with pytest.raises(cp.ConfigError) as refused:
        cp.press_for(MODULE, DATA, TARGET, search=8)  # type: ignore[arg-type]
    assert str(refused.value) == "search: got 'int'; allowed: None or a Search, such as Search(max_trials=4)"
