"""The shipped networks for one ciphertext: what the zoo says of them, and that they run encrypted."""

import numpy as np
import pytest

import cipherpress as cp
from cipherpress.zoo.natives import FOLDER, NATIVES, describe_converted
from compress.errors import ModelError
from compress.front import front_of
from tests.promised import check_round_trip
from tests.small_road import call, call_json

#: The least accuracy on all test images, in clear.
FLOORS = {"native-fast": 0.986, "native-99": 0.989}


@pytest.mark.parametrize("name", NATIVES)
def test_accuracy_on_all_test_images_is_what_models_says(name: str) -> None:
    data, network = cp.load_data("mnist"), cp.load_network(name)
    row = next(row for row in describe_converted() if row["name"] == name)
    found = float(np.mean(network.run(data.x_test).argmax(axis=1) == data.y_test))
    assert row["images"] == len(data.x_test) == 10_000 and found == row["accuracy_plain"] >= FLOORS[name]


@pytest.mark.parametrize("name", NATIVES)
def test_the_command_that_made_it_is_in_its_record(name: str) -> None:
    about, command = cp.load_network(name).about, NATIVES[name].command
    made = about["native"]
    assert f"--native-epochs {made['epochs']}" in command and f"--native-bits {made['bits']}" in command
    assert f"--native-learn-from {made['learned_from']}" in command and f"--data {about['data']}" in command
    options = command.split()
    given = dict(zip(options, options[1:], strict=False))
    assert [int(value) for option, value in zip(options, options[1:], strict=False) if option == "--native-hidden"] == (
        [] if made["hidden"] == [64] else made["hidden"]
    )
    for field in ("copies", "noise", "label_smoothing"):
        default = getattr(cp.Native(), field)
        assert float(given.get(f"--native-{field.replace('_', '-')}", default)) == made[field]
    assert f"convert {about['source']['name']} " in command and about["seed"] == 0
    assert sum(file.stat().st_size for file in (FOLDER / name).iterdir()) < 200_000


def test_front_ends_are_cosines_of_the_whole_image() -> None:
    fronts = {name: front_of(cp.load_network(name)) for name in NATIVES}
    assert {name: front.features for name, front in fronts.items() if front} == {"native-fast": 128, "native-99": 128}


def predicted_ms(fold: str) -> float:
    """What compiling predicts for native-fast, whose answers to some images are within what it promises."""
    data, network = cp.load_data("mnist"), cp.load_network("native-fast")
    bundle, images = cp.compile(network, data, cp.Limits(fold=fold)), data.x_test[:20]
    check_round_trip(bundle, cp.round_trip(bundle, images, data.y_test[:20]), network.run(images))
    assert bundle.report["input_ciphertexts"] == 1
    return float(bundle.report["predicted_server_ms"])


def test_the_fast_one_runs_encrypted() -> None:
    assert predicted_ms("client") > 0


@pytest.mark.slow
def test_client_folds_of_the_fast_one_save_a_third() -> None:
    assert predicted_ms("client") < 0.7 * predicted_ms("server")


def test_the_command_line_knows_them(tmp_path) -> None:
    rows = {row["name"]: row for row in call_json("models")["models"]}
    assert rows["native-fast"]["parameters"] == 128 * 96 + 96 + 96 * 10 + 10
    refused = call("press", "native-fast", "--data", "mnist", "-o", tmp_path / "bundle")
    assert refused.exit_code == 1 and "it is converted already; start from the trained" in refused.output
    with pytest.raises(ModelError, match="model 'native-99': it is converted already: load_network gives it"):
        cp.load_model("native-99")
    with pytest.raises(ModelError, match="network 'mlp': no converted network of the zoo; there are native-fast"):
        cp.load_network("mlp")
