"""cipherpress detect: digits in scenes, in clear and encrypted."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import cipherpress as cp
from cipherpress.detected import SELECTIONS
from cipherpress.detection.grid import Found
from cipherpress.selected import selected_encrypted
from cipherpress.zoo.detectors import GRID, load_detector
from cipherpress.zoo.scenes import make_scenes
from cli import main
from compress.errors import ConfigError, FormatError, InputShapeError


def run(*arguments: str) -> dict:
    done = CliRunner().invoke(main, ["detect", *arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


def test_digits_of_a_scene_are_found_and_drawn(tmp_path: Path) -> None:
    found = run("scene:0", "-o", str(tmp_path / "boxes.png"))
    truth = make_scenes(1, seed=0, held_out=True, digits=(3, 3))
    assert found["kept"] == len(found["boxes"]) <= found["candidates"]
    assert not found["encrypted"]
    for box, number in zip(truth.boxes, truth.classes, strict=True):
        nearest = min(found["boxes"], key=lambda one: abs(np.array([one[side] for side in SIDES]) - box).max())
        assert max(abs(nearest[side] - value) for side, value in zip(SIDES, box, strict=True)) < 4
        assert nearest["class"] == number
    with Image.open(tmp_path / "boxes.png") as picture:
        assert picture.size == (512, 512)
        assert len(picture.getcolors(1 << 20)) > 10


SIDES = ("x1", "y1", "x2", "y2")


def test_pictures_are_read_from_files(tmp_path: Path) -> None:
    scene = make_scenes(1, seed=0, held_out=True, digits=(3, 3)).images[0, 0]
    np.save(tmp_path / "scene.npy", scene)
    Image.fromarray((scene * 255).round().astype(np.uint8)).save(tmp_path / "scene.png")
    from_array, from_picture = (run(str(tmp_path / name))["boxes"] for name in ("scene.npy", "scene.png"))
    assert [box["class"] for box in from_array] == [box["class"] for box in from_picture]


def test_an_empty_picture_has_no_digits(tmp_path: Path) -> None:
    np.save(tmp_path / "empty.npy", np.zeros((64, 64)))
    assert run(str(tmp_path / "empty.npy"), "-o", str(tmp_path / "empty.png"))["boxes"] == []


@pytest.mark.parametrize("nms", SELECTIONS)
def test_every_selection_keeps_some_of_the_candidates(nms: str) -> None:
    found = run("scene:0", "--nms", nms)
    assert 0 < found["kept"] <= found["candidates"]
    assert found["nms"] == nms


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scene:x"], "image: got 'scene:x'"),
        (["nothing.png"], "nothing.png: file not found"),
        (["scene:1", "--least-score", "2"], "least_score: got 2.0"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(main, ["detect", *arguments])
    assert done.exit_code == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_bundle_without_encryption_is_a_wrong_usage() -> None:
    done = CliRunner().invoke(main, ["detect", "scene:1", "--bundle", "x"])
    assert done.exit_code == 2
    assert "--encrypted" in done.stderr


def test_an_encrypted_selection_without_encryption_is_a_wrong_usage() -> None:
    done = CliRunner().invoke(main, ["detect", "scene:1", "--nms", "encrypted"])
    assert done.exit_code == 2
    assert "--nms cells" in done.stderr
    with pytest.raises(ConfigError, match="^nms: got 'encrypted'.*cells without a bundle"):
        cp.detect(np.zeros((64, 64)), nms="encrypted")


def candidates(seed: int) -> Found:
    image = make_scenes(1, seed=seed, held_out=True, digits=(3, 3)).images[0].astype(float)
    return GRID.decode(load_detector().run(image[None])[0], 0.5)


@pytest.mark.slow
def test_boxes_selected_on_ciphertexts_are_those_selected_in_clear() -> None:
    for seed in (0, 12):
        found = candidates(seed)
        clear = SELECTIONS["cells"](found)
        chosen = selected_encrypted(found, 0.5)
        assert chosen.cells >= len(clear) > 0
        assert chosen.farthest <= chosen.certified < 0.125
        if not chosen.undecided:
            assert chosen.kept.tolist() == clear.tolist()
    empty = GRID.decode(np.full((GRID.channels, GRID.lines, GRID.columns), -20.0))
    assert selected_encrypted(empty, 0.5).kept.tolist() == []


def test_pictures_of_another_size_and_unknown_selections_are_refused() -> None:
    with pytest.raises(InputShapeError, match="image: shape"):
        cp.detect(np.zeros((28, 28)))
    with pytest.raises(InputShapeError, match="finite"):
        cp.detect(np.full((64, 64), np.nan))
    with pytest.raises(ConfigError, match="^nms: got"):
        cp.detect(np.zeros((64, 64)), nms="soft")


def test_another_artifact_is_no_compiled_detector() -> None:
    from cipherpress.zoo.natives import FOLDER

    with pytest.raises(FormatError, match="it holds no compiled digit-detector"):
        cp.detector_bundle(FOLDER / "native-fast")


@pytest.mark.slow
def test_an_encrypted_scene_has_the_boxes_of_the_clear_one(tmp_path: Path) -> None:
    bundle = cp.detector_bundle(tmp_path / "bundle")
    for seed in range(3):
        image = make_scenes(1, seed=seed, held_out=True, digits=(3, 3)).images[0]
        clear, encrypted = cp.detect(image), cp.detect(image, bundle=bundle)
        assert encrypted.encrypted
        assert encrypted.classes.tolist() == clear.classes.tolist()
        assert encrypted.scores == pytest.approx(clear.scores, abs=0.02)
        sure = clear.scores > 0.7  # a weak box may have a rival of nearly its score, and either may be kept
        assert sure.sum() >= 2, seed
        assert encrypted.boxes[sure] == pytest.approx(clear.boxes[sure], abs=1.5)
