"""The shipped deep networks: plain squares, weights of seven fraction bits, the accuracy that the zoo states."""

import numpy as np
import pytest

import cipherpress as cp
from benchmarks.pruned_resnet20 import CONVERSION, FAMILY, families
from cipherpress.zoo.deep_networks import DEEP, FOLDER
from cipherpress.zoo.loading import fresh_model
from cipherpress.zoo.natives import describe_converted
from cipherpress.zoo.networks import TWINS
from compress.conversion.calibrate import network_accuracy
from compress.errors import DataError, ModelError
from compress.network import Conv, Dense, Polynomial
from compress.squares.rewriting import plain_squares
from tests.small_road import call

#: The most points of accuracy that a network may be below its twin with ReLU.
MOST_LOST = {"resnet20": 0.005, "resnet20-pruned": 0.015, "resnet9": 0.01}


def clothes(images: int) -> cp.Dataset:
    try:
        data = cp.load_data("fashion-mnist-32")
    except DataError as error:
        pytest.skip(str(error))
    return cp.Dataset(data.name, data.x_train, data.y_train, data.x_test[:images], data.y_test[:images])


@pytest.mark.parametrize("name", DEEP)
def test_every_activation_is_a_plain_square_and_every_weight_has_seven_fraction_bits(name: str) -> None:
    network = cp.load_network(name)
    assert sum(plain_squares(network).values()) == DEEP[name].squarings
    assert sum(isinstance(node, Polynomial) for node in network.nodes) == DEEP[name].squarings
    for node in network.nodes:
        if isinstance(node, (Conv, Dense)):
            assert node.weights.codes.dtype.kind == "i" and node.weights.step == 2.0**-7
            assert np.abs(node.weights.codes).max() <= 140


@pytest.mark.parametrize("name", DEEP)
def test_the_record_states_both_accuracies_and_the_commands(name: str) -> None:
    about, entry = cp.load_network(name).about, DEEP[name]
    row = next(row for row in describe_converted() if row["name"] == name)
    assert row["accuracy_plain"] == about["accuracy_after"] >= entry.relu - MOST_LOST[name]
    assert name == "resnet20-pruned" or about["accuracy_before"] == entry.relu
    assert row["images"] == about["test_images"] == 10_000 and about["recipe"] == "stable"
    twin = about["source"]["name"]
    assert f"train {twin} --data {about['data']} " in entry.commands[0] and TWINS[twin].data == about["data"]
    if name == "resnet20-pruned":
        assert about["epochs"] == CONVERSION.epochs and "pruned_resnet20" in entry.commands[1]
    else:
        assert f"--epochs {about['epochs']} " in entry.commands[1] and f"--data {about['data']}" in entry.commands[1]
    assert sum(file.stat().st_size for file in (FOLDER / name).iterdir()) < 360_000


def test_two_fifths_of_the_products_of_the_pruned_network_are_gone() -> None:
    kept = {}
    for name in ("resnet20", "resnet20-pruned"):
        layers = [node for node in cp.load_network(name).nodes if isinstance(node, Conv)]
        kept[name] = sum(_shifts(layer) for layer in layers)
    assert kept["resnet20-pruned"] == 1549 < 0.6 * kept["resnet20"]


def _shifts(layer: Conv) -> int:
    """Pairs of a tap and a shift between channels, modulo 16, that any weight uses."""
    codes = layer.weights.codes
    if codes.shape[2] == 1 or codes.shape[1] == 1:
        return 0
    outputs, inputs = np.indices(codes.shape[:2])
    shift = (inputs - outputs) % 16
    used = codes.reshape(*codes.shape[:2], -1) != 0
    return sum(len(np.unique(shift[used[:, :, tap]])) for tap in range(used.shape[2]))


def test_a_hundred_images_are_classified_as_the_zoo_states() -> None:
    data, network = clothes(100), cp.load_network("resnet9")
    assert network_accuracy(network, data.x_test, data.y_test) >= 0.88  # 0.94 of all: five standard deviations lower


@pytest.mark.slow
@pytest.mark.parametrize("name", DEEP)
def test_accuracy_on_all_test_images_is_what_models_says(name: str) -> None:
    data, network = clothes(10_000), cp.load_network(name)
    assert network_accuracy(network, data.x_test, data.y_test) == network.about["accuracy_after"]


def test_only_3x3_convolutions_between_channels_are_pruned() -> None:
    found = families(fresh_model("resnet20-relu")).split("+")
    assert len(found) == 22 and found.count(FAMILY) == 18 and found[0] == found[-1] == "whole"


def test_twins_are_built_and_trained_here_but_ship_no_weights(tmp_path) -> None:
    assert sum(part.numel() for part in fresh_model("resnet20-relu").parameters()) == 272_186
    with pytest.raises(ModelError, match="'resnet20-relu': it ships without weights; train them .* 'resnet20'"):
        cp.load_model("resnet20-relu")
    with pytest.raises(ModelError, match="model 'resnet20': it is converted already"):
        cp.load_model("resnet20")
    assert "ships without weights" in call("press", "resnet9-relu", "--data", "mnist", "-o", tmp_path / "b").output
