"""The shipped deep networks: plain squares, weights of seven fraction bits, the accuracy that the zoo states."""

from collections import Counter

import numpy as np
import pytest

import cipherpress as cp
from benchmarks import pruned_resnet20, pruned_vit
from benchmarks.depth_steps import compile_step
from benchmarks.own_process import in_own_process
from cipherpress.zoo.deep_networks import DATA, DEEP, FOLDER
from cipherpress.zoo.loading import fresh_model
from cipherpress.zoo.natives import describe_converted
from cipherpress.zoo.networks import TWINS
from compress.conversion.calibrate import network_accuracy
from compress.errors import DataError, ModelError
from compress.network import Conv, Dense, Multiply, Polynomial
from compress.squares.rewriting import plain_squares
from tests.small_road import call

#: The most points of accuracy that a network may be below the one that it was made from.
MOST_LOST = {
    "resnet20": 0.005, "resnet20-pruned": 0.015, "resnet9": 0.01, "vit-quadratic": 0.01, "vit-quadratic-pruned": 0.01
}  # fmt: skip
#: The largest code of a last layer that has larger weights than all others.
LARGEST_LAST = {"resnet20-pruned": 1023}
RESIDUAL = [name for name, entry in DEEP.items() if entry.data == DATA]


def clothes(images: int, name: str = DATA) -> cp.Dataset:
    try:
        data = cp.load_data(name)
    except DataError as error:
        pytest.skip(str(error))
    return cp.Dataset(data.name, data.x_train, data.y_train, data.x_test[:images], data.y_test[:images])


@pytest.mark.parametrize("name", RESIDUAL)
def test_every_activation_is_a_plain_square_and_every_weight_has_seven_fraction_bits(name: str) -> None:
    network = cp.load_network(name)
    assert sum(plain_squares(network).values()) == DEEP[name].squarings
    assert sum(isinstance(node, Polynomial) for node in network.nodes) == DEEP[name].squarings
    for node in network.nodes:
        if isinstance(node, (Conv, Dense)):
            assert node.weights.codes.dtype.kind == "i" and node.weights.step == 2.0**-7
            last = isinstance(node, Dense)
            assert np.abs(node.weights.codes).max() <= (LARGEST_LAST.get(name, 140) if last else 140)


@pytest.mark.parametrize(("name", "attentions"), [("vit-quadratic", 3), ("vit-quadratic-pruned", 1)])
def test_a_transformer_multiplies_twice_per_attention_and_squares_once_per_block(name: str, attentions: int) -> None:
    nodes = cp.load_network(name).nodes
    products = sum(isinstance(node, Multiply) for node in nodes)
    squares = sum(isinstance(node, Polynomial) for node in nodes)
    assert (products, squares) == (2 * attentions, 3) and DEEP[name].squarings == products + squares
    steps = {float(np.max(node.weights.step)) for node in nodes if isinstance(node, Dense)}
    assert max(steps) == 2.0**-8 and all(np.log2(step) % 1 == 0 for step in steps)


@pytest.mark.parametrize("name", DEEP)
def test_the_record_states_both_accuracies_and_the_data(name: str) -> None:
    about, entry = cp.load_network(name).about, DEEP[name]
    row = next(row for row in describe_converted() if row["name"] == name)
    assert row["accuracy_plain"] == about["accuracy_after"] >= entry.twin - MOST_LOST[name]
    assert name.endswith("-pruned") or about["accuracy_before"] == entry.twin
    assert row["images"] == about["test_images"] == 10_000 and about["recipe"] == "stable"
    assert about["data"] == entry.data
    assert sum(file.stat().st_size for file in (FOLDER / name).iterdir()) < 2_300_000


@pytest.mark.parametrize("name", DEEP)
def test_the_commands_are_those_of_the_record(name: str) -> None:
    about, (*first, last) = cp.load_network(name).about, DEEP[name].commands
    module = {"resnet20-pruned": pruned_resnet20, "vit-quadratic-pruned": pruned_vit}.get(name)
    if module is None:
        assert f"--epochs {about['epochs']} " in last and f"--data {about['data']}" in last
        assert f"--fraction-bits {about['fraction_bits']} " in last
    else:
        assert module.CONVERSION.epochs == about["epochs"] and module.__name__ in last
    if name in RESIDUAL:
        twin = about["source"]["name"]
        assert f"train {twin} --data {about['data']} " in first[0] and TWINS[twin].data == about["data"]


def test_the_pruned_network_lost_five_of_its_nine_blocks_and_nothing_else() -> None:
    shapes = {}
    for name in ("resnet20", "resnet20-pruned"):
        layers = [node for node in cp.load_network(name).nodes if isinstance(node, Conv)]
        shapes[name] = Counter(layer.weights.codes.shape for layer in layers)
    gone = shapes["resnet20"] - shapes["resnet20-pruned"]
    assert (
        gone == {(16, 16, 3, 3): 4, (32, 32, 3, 3): 2, (64, 64, 3, 3): 4}
        and not shapes["resnet20-pruned"] - shapes["resnet20"]
    )


def test_a_hundred_images_are_classified_as_the_zoo_states() -> None:
    data, network = clothes(100), cp.load_network("resnet9")
    assert network_accuracy(network, data.x_test, data.y_test) >= 0.88  # 0.94 of all: five standard deviations lower


@pytest.mark.slow
@pytest.mark.parametrize("name", DEEP)
def test_accuracy_on_all_test_images_is_what_models_says(name: str) -> None:
    data, network = clothes(10_000, DEEP[name].data), cp.load_network(name)
    assert network_accuracy(network, data.x_test, data.y_test) == network.about["accuracy_after"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet9", "resnet20", "resnet20-pruned"])
def test_compiling_takes_the_time_and_memory_that_are_aimed_at(name: str, tmp_path) -> None:
    """Five minutes and 4 GB, doubled and widened for slower machines, with nothing set by hand."""
    clothes(1)
    row = in_own_process(compile_step, FOLDER / name, tmp_path)
    assert row["squarings"] == DEEP[name].squarings
    assert row["compile_seconds"] < 2 * 300
    assert row["compile_peak_bytes"] < 1.1 * 4e9


def test_only_blocks_that_keep_their_resolution_may_be_pruned() -> None:
    found = pruned_resnet20.families(fresh_model("resnet20-relu")).split("+")
    assert len(found) == 22 and found.count("branch") == 7 >= pruned_resnet20.BRANCHES
    assert [place for place, family in enumerate(found) if family == "branch"] == [2, 4, 6, 11, 13, 18, 20]


def test_only_the_outputs_of_attentions_may_be_pruned() -> None:
    found = pruned_vit.families(fresh_model("vit-fashion")).split("+")
    assert len(found) == 20 and [place for place, family in enumerate(found) if family == "branch"] == [4, 10, 16]
    assert set(found) == {"branch", "whole"}


def test_a_hundred_images_are_classified_by_the_transformer_as_the_zoo_states() -> None:
    data, network = clothes(100, DEEP["vit-quadratic"].data), cp.load_network("vit-quadratic")
    assert network_accuracy(network, data.x_test, data.y_test) >= 0.8


def test_twins_are_built_and_trained_here_but_ship_no_weights(tmp_path) -> None:
    assert sum(part.numel() for part in fresh_model("resnet20-relu").parameters()) == 272_186
    with pytest.raises(ModelError, match="'resnet20-relu': it ships without weights; train them .* 'resnet20'"):
        cp.load_model("resnet20-relu")
    with pytest.raises(ModelError, match="model 'resnet20': it is converted already"):
        cp.load_model("resnet20")
    assert "ships without weights" in call("press", "resnet9-relu", "--data", "mnist", "-o", tmp_path / "b").output
