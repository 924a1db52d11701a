"""Cut-outs of a folder, and scenes composed of them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cipherpress as cp
from cipherpress.detection.boxes import areas, intersection_and_union
from cipherpress.zoo.cutouts import MOST_COVERED, CutOuts, compose_scenes, load_cutouts
from compress.errors import ConfigError, DataError

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


def save_disc(file: Path, colour: tuple[int, int, int], width: int = 40, height: int = 24) -> None:
    """An ellipse in the middle of a transparent picture of 64 x 48 pixels."""
    y, x = np.mgrid[:48, :64]
    inside = ((x - 31.5) / width) ** 2 + ((y - 23.5) / height) ** 2 < 0.25
    pixels = np.zeros((48, 64, 4), dtype=np.uint8)
    pixels[inside] = (*colour, 255)
    file.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(file)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, (name, colour) in enumerate(COLOURS.items()):
        save_disc(tmp_path / name / "one.png", colour, width=20 + 10 * number)
    save_disc(tmp_path / "red" / "two.PNG", COLOURS["red"], width=24, height=40)
    Image.new("RGB", (8, 8)).save(tmp_path / "red" / "opaque.png")
    Image.new("RGBA", (8, 8)).save(tmp_path / "red" / "empty.png")
    (tmp_path / "red" / "licence.txt").write_text("free")
    return tmp_path


@pytest.fixture
def cutouts(folder: Path) -> CutOuts:
    return load_cutouts(folder)


def test_a_folder_of_folders_has_a_class_per_folder(cutouts: CutOuts) -> None:
    assert cutouts.class_names == ("blue", "green", "red")
    assert sorted(one.label for one in cutouts.objects) == [0, 1, 2, 2]
    blue = cutouts.objects[0].pixels
    assert blue.shape == (24, 40, 4)  # the ellipse alone
    assert blue[12, 20].tolist() == [0, 0, 1, 1]
    assert blue[0, 0, 3] == 0


def test_pictures_in_the_folder_itself_are_one_class(tmp_path: Path) -> None:
    save_disc(tmp_path / "one.png", COLOURS["red"])
    assert load_cutouts(tmp_path).class_names == (tmp_path.name,)


def test_boxes_are_tight_and_of_the_right_class(cutouts: CutOuts) -> None:
    scenes = compose_scenes(cutouts, 30, seed=1, side=96, objects=(1, 1))
    assert scenes.images.shape == (30, 3, 96, 96)
    assert scenes.scene.tolist() == list(range(30))
    assert 0 <= scenes.images.min() < scenes.images.max() <= 1
    for image, box, label in zip(scenes.images, scenes.boxes, scenes.classes, strict=True):
        colour = np.array(COLOURS[cutouts.class_names[label]], dtype=np.float32) / 255
        near = np.abs(image - colour[:, None, None]).max(axis=0) < 0.3
        y, x = np.nonzero(near)
        assert np.abs(np.array([x.min(), y.min(), x.max() + 1, y.max() + 1]) - box).max() <= 2
        outside = np.ones((96, 96), dtype=bool)
        x1, y1, x2, y2 = box.astype(int)
        outside[y1:y2, x1:x2] = False
        assert np.ptp(image[:, outside], axis=1).max() == 0  # the plain ground


def test_objects_cover_little_of_each_other_and_lie_inside(cutouts: CutOuts) -> None:
    scenes = compose_scenes(cutouts, 40, seed=2, objects=(3, 8))
    assert np.bincount(scenes.scene).max() > 3
    assert scenes.boxes.min() >= 0
    assert scenes.boxes.max() <= 128
    for number in range(40):
        own = scenes.boxes[scenes.scene == number]
        shared, _ = intersection_and_union(own[:, None], own[None])
        smaller = np.minimum(areas(own)[:, None], areas(own)[None])
        np.fill_diagonal(shared, 0)
        assert (shared <= MOST_COVERED * smaller + 1e-9).all()
        assert len(cp.greedy_nms(own, np.linspace(1, 0.5, len(own)))) == len(own)


def test_the_same_arguments_give_the_same_scenes(cutouts: CutOuts) -> None:
    first, again, other = (compose_scenes(cutouts, 3, seed=seed) for seed in (5, 5, 6))
    assert np.array_equal(first.images, again.images)
    assert np.array_equal(first.boxes, again.boxes)
    assert not np.array_equal(first.images, other.images)
    empty = compose_scenes(cutouts, 2, seed=0, objects=(0, 0))
    assert empty.boxes.shape == (0, 4)


def test_folders_without_cut_outs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        load_cutouts(tmp_path / "nothing")
    Image.new("RGB", (8, 8)).save(tmp_path / "opaque.png")
    with pytest.raises(DataError, match="none of its 1 .png pictures has transparent and opaque pixels"):
        load_cutouts(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(DataError, match="broken.png: it is no picture"):
        load_cutouts(tmp_path)


def test_pictures_of_any_size_are_not_read(tmp_path: Path) -> None:
    Image.new("RGBA", (5000, 2)).save(tmp_path / "long.png")
    with pytest.raises(DataError, match="sides of at most 4096"):
        load_cutouts(tmp_path)


@pytest.mark.parametrize(
    ("options", "field"),
    [({"count": 0}, "count"), ({"side": 8}, "side"), ({"objects": (2, 1)}, "objects"), ({"seed": -1}, "seed")],
)
def test_scenes_that_cannot_be_are_refused(cutouts: CutOuts, options: dict, field: str) -> None:
    with pytest.raises(ConfigError, match=f"^{field}: got"):
        compose_scenes(cutouts, **{"count": 1, "seed": 0, **options})
