"""Scenes of several digits, and the detector that was trained on them."""

import numpy as np
import pytest
import torch

from cipherpress.detection.grid import moved
from cipherpress.zoo.detector import detector_module, digit_detector, narrowed
from cipherpress.zoo.detector_training import detector_loss, targets_of, train_detector
from cipherpress.zoo.detectors import DETECTORS, GRID, load_detector
from cipherpress.zoo.scenes import SIDE, Scenes, joined_scenes, make_scenes
from compress.errors import ConfigError, ModelError
from compress.network import Conv, Network


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return make_scenes(40, seed=3)


def test_a_scene_holds_its_digits(scenes: Scenes) -> None:
    assert scenes.images.shape == (40, 1, SIDE, SIDE)
    assert 0 <= scenes.images.min() < scenes.images.max() <= 1
    counts = np.bincount(scenes.scene, minlength=40)
    assert counts.min() >= 1
    assert counts.max() <= 5
    for box, scene in zip(scenes.boxes.astype(int), scenes.scene, strict=True):
        x1, y1, x2, y2 = box
        assert 0 <= x1 < x2 <= SIDE
        assert 0 <= y1 < y2 <= SIDE
        ink = scenes.images[scene, 0, y1:y2, x1:x2]
        assert min(ink[0].max(), ink[-1].max(), ink[:, 0].max(), ink[:, -1].max()) > 0.02  # the box is tight
    assert np.ptp(scenes.boxes[:, 3] - scenes.boxes[:, 1]) > 12


def test_an_unknown_detector_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="^detector: got 'other'; allowed: digit-detector"):
        load_detector("other")


def test_the_same_seed_gives_the_same_scenes(scenes: Scenes) -> None:
    again = make_scenes(40, seed=3)
    assert np.array_equal(again.images, scenes.images)
    assert np.array_equal(again.boxes, scenes.boxes)
    for other in (make_scenes(4, seed=4), make_scenes(4, seed=3, held_out=True)):
        assert not np.array_equal(other.images, scenes.images[:4])


def test_scenes_of_a_wanted_number_of_digits() -> None:
    assert len(make_scenes(5, seed=0, digits=(1, 1)).boxes) == 5
    empty = make_scenes(2, seed=0, digits=(0, 0))
    assert empty.images.max() == 0
    assert empty.boxes.shape == (0, 4)
    joined = joined_scenes([empty, make_scenes(3, seed=0, digits=(1, 1))])
    assert joined.scene.tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("options", "field"),
    [({"count": 0}, "count"), ({"count": 1, "digits": (3, 1)}, "digits"), ({"count": 1, "seed": -1}, "seed")],
)
def test_scenes_that_cannot_be_are_refused(options: dict, field: str) -> None:
    with pytest.raises(ConfigError, match=f"^{field}: got"):
        make_scenes(**{"seed": 0, **options})


def test_every_digit_has_an_anchor_that_moves_to_it(scenes: Scenes) -> None:
    objects, moves, classes = targets_of(scenes)
    for number in range(len(scenes.images)):
        own = scenes.scene == number
        anchor, line, column = np.nonzero(objects[number].numpy() == 1)
        boxes = moved(GRID.sources[anchor, line, column], moves[number].numpy()[anchor, :, line, column])
        for box in scenes.boxes[own]:
            assert np.abs(boxes - box).max(axis=1).min() < 1e-3
        assert (classes[number].numpy()[line, column] >= 0).all()
    empty = targets_of(make_scenes(1, seed=0, digits=(0, 0)))
    assert empty[0].abs().max() == 0
    assert empty[2].max() == -1


def test_the_loss_falls_to_nothing_for_right_answers(scenes: Scenes) -> None:
    objects, moves, classes = targets_of(scenes)
    right = torch.cat(
        [40 * (objects - 0.5).sign(), moves.flatten(1, 2), 12 * torch.eye(11)[classes].permute(0, 3, 1, 2)[:, :10]], 1
    )
    assert detector_loss(right, objects, moves, classes) < 0.25  # what smoothed labels leave
    assert detector_loss(-right, objects, moves, classes) > 50


def test_training_lowers_the_loss(scenes: Scenes) -> None:
    targets = targets_of(scenes)
    torch.manual_seed(0)
    images = torch.from_numpy(scenes.images)
    trained = train_detector(scenes, epochs=20)
    with torch.no_grad():
        before = detector_loss(digit_detector().eval()(images), *targets)
        after = detector_loss(trained(images), *targets)
    assert after < 0.8 * before


def test_a_converted_detector_becomes_a_module_again(scenes: Scenes) -> None:
    network, images = load_detector(), scenes.images[:8]
    module = detector_module(network)
    with torch.no_grad():
        assert module(torch.from_numpy(images)).numpy() == pytest.approx(network.run(images.astype(float)), abs=1e-3)
    with pytest.raises(ModelError, match="node 'input' is no part of a digit detector"):
        detector_module(Network(nodes=(network.nodes[0], *network.nodes[:3])))


def test_channels_that_nothing_reads_are_cut_out(scenes: Scenes) -> None:
    module, images = detector_module(load_detector()), torch.from_numpy(scenes.images[:8])
    with torch.no_grad():
        module[2].weight[:, [3, 5]] = 0
        module[8].weight[:, :16] = 0
        narrow = narrowed(module)
        assert narrow(images).numpy() == pytest.approx(module(images).numpy(), abs=1e-3)
    assert [len(layer.weight) for layer in narrow[::2]] == [14, 32, 48, 32, 40]
    assert [len(layer.weight) for layer in module[::2]] == [16, 32, 48, 48, 40]


@pytest.mark.parametrize(("name", "least"), [("digit-detector", 0.9), ("detector-compressed", 0.85)])
def test_a_shipped_detector_is_small_and_says_how_it_was_made(name: str, least: float) -> None:
    network = load_detector(name)
    assert sum(file.stat().st_size for file in DETECTORS[name].folder.iterdir()) < 1_000_000
    record = network.about["detector"]
    assert record["name"] == name
    assert record["command"] == DETECTORS[name].command
    assert record["ap50"] > least
    assert network.run(np.zeros((1, 1, SIDE, SIDE))).shape == (1, GRID.channels, GRID.lines, GRID.columns)


def test_the_compressed_detector_has_codes_fewer_channels_and_the_other_one_s_precision_beside_its_own() -> None:
    layers = [[node for node in load_detector(name).nodes if isinstance(node, Conv)] for name in DETECTORS]
    plain, small = layers
    assert all(layer.weights.bits is None for layer in plain)
    assert max(layer.weights.bits for layer in small) <= 8
    assert [len(layer.bias) for layer in small] == [16, 32, 32, 32, 40]
    assert sum(layer.weights.nonzeros for layer in small) < 0.5 * sum(layer.weights.nonzeros for layer in plain)
    sizes = [sum(file.stat().st_size for file in DETECTORS[name].folder.iterdir()) for name in DETECTORS]
    assert sizes[1] < 0.2 * sizes[0]
    other = load_detector("detector-compressed").about["detector"]["uncompressed"]
    assert other["ap50"] == pytest.approx(load_detector().about["detector"]["ap50"])
