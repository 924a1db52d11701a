"""Colour scenes of cut-outs: pictures with transparency from a folder of yours, composed with their true boxes.

Nothing of the kind ships. A folder of pictures with alpha, such as Debian's tuxpaint-stamps-default, serves; every
folder inside it is a class, or all its pictures are one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cipherpress.detection.boxes import areas, intersection_and_union
from compress.checks import check_seed, is_whole
from compress.errors import ConfigError, DataError

#: Pixels whose opacity is above this belong to an object.
OPAQUE = 0.5
#: Sides of objects as shares of the picture's, how much of an object another may cover, and tries for a place.
SIZES, MOST_COVERED, TRIES = (0.15, 0.5), 0.35, 20
#: Values of the plain ground, per colour.
GROUND = (0.25, 0.75)
#: Pictures of a folder and pixels of a side that are read at most.
MOST_FILES, MOST_PIXELS = 10_000, 4096


@dataclass(frozen=True)
class CutOut:
    """An object cut out tightly: colour and opacity (height, width, 4) in [0, 1], and its class."""

    pixels: NDArray[np.float32]
    label: int


@dataclass(frozen=True)
class CutOuts:
    """All objects of a folder, and the names of the classes."""

    objects: tuple[CutOut, ...]
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class ColourScenes:
    """Pictures (count, 3, side, side) in [0, 1]; boxes (objects, 4) in pixels, tight around what is opaque; classes
    (objects,); scene (objects,), the picture that an object is in, ascending."""

    images: NDArray[np.float32]
    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    scene: NDArray[np.int64]


def load_cutouts(folder: str | Path) -> CutOuts:
    """The .png pictures of a folder and of the folders in it, in the order of their names.

    Pictures without a transparent pixel are no cut-outs and are left out, as are those without an opaque one.
    Raises: DataError for a folder that holds none, for a file that is no picture or is too large.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"cut-outs '{root}': no such folder; give one of .png pictures with transparency")
    files = sorted(file for file in root.rglob("*") if file.suffix.lower() == ".png")[:MOST_FILES]
    names = sorted({_class_of(file, root) for file in files})
    found = []
    for file in files:
        pixels = _tight(_read(file))
        if pixels is not None:
            found.append(CutOut(pixels, names.index(_class_of(file, root))))
    if not found:
        raise DataError(
            f"cut-outs '{root}': none of its {len(files)} .png pictures has transparent and opaque pixels; give others"
        )
    return CutOuts(tuple(found), tuple(names))


def compose_scenes(
    cutouts: CutOuts, count: int, *, seed: int, side: int = 128, objects: tuple[int, int] = (1, 5)
) -> ColourScenes:
    """`count` pictures of `objects` (least, most) cut-outs each on a plain ground; the same for the same arguments.

    An object that finds no free place is left out. Raises: ConfigError.
    """
    check_seed(seed)
    for field, value, least in (("count", count, 1), ("side", side, 16)):
        if not (is_whole(value) and value >= least):
            raise ConfigError(field, value, f"a whole number of at least {least}")
    if not (len(objects) == 2 and all(map(is_whole, objects)) and 0 <= objects[0] <= objects[1]):
        raise ConfigError("objects", objects, "the least and the most objects of a picture, such as (1, 5)")
    rng = np.random.default_rng(seed)
    images = np.empty((count, 3, side, side), dtype=np.float32)
    boxes: list[NDArray[np.float64]] = []
    classes, scene = [], []
    for number in range(count):
        picture = np.broadcast_to(rng.uniform(*GROUND, 3), (side, side, 3)).astype(np.float32)
        placed: list[NDArray[np.float64]] = []
        for _ in range(int(rng.integers(objects[0], objects[1] + 1))):
            chosen = cutouts.objects[int(rng.integers(len(cutouts.objects)))]
            own = _resized(chosen.pixels, rng.uniform(*SIZES) * side)
            box = _free_place(own, side, placed, rng)
            if box is None:
                continue
            x1, y1, x2, y2 = box.astype(int)
            opacity = own[..., 3:]
            picture[y1:y2, x1:x2] = opacity * own[..., :3] + (1 - opacity) * picture[y1:y2, x1:x2]
            placed.append(box)
            classes.append(chosen.label)
            scene.append(number)
        images[number] = picture.transpose(2, 0, 1)
        boxes += placed
    labels, numbers = np.array(classes, dtype=np.int64), np.array(scene, dtype=np.int64)
    return ColourScenes(images, np.array(boxes).reshape(-1, 4), labels, numbers)


def _class_of(file: Path, root: Path) -> str:
    inside = file.relative_to(root).parts
    return inside[0] if len(inside) > 1 else root.name


def _read(file: Path) -> NDArray[np.float32]:
    """Raises: DataError."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as picture:
            if max(picture.size) > MOST_PIXELS:
                raise DataError(f"{file}: {picture.size} pixels; sides of at most {MOST_PIXELS} are read: shrink it")
            return np.asarray(picture.convert("RGBA"), dtype=np.float32) / np.float32(255)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError) as error:
        raise DataError(f"{file}: it is no picture that can be read; remove it or save it again") from error


def _tight(pixels: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """The part around the opaque pixels; None for a picture that is no cut-out."""
    opaque = pixels[..., 3] > OPAQUE
    if not opaque.any() or opaque.all():
        return None
    lines, columns = np.flatnonzero(opaque.any(axis=1)), np.flatnonzero(opaque.any(axis=0))
    return pixels[lines[0] : lines[-1] + 1, columns[0] : columns[-1] + 1]


def _resized(pixels: NDArray[np.float32], longest: float) -> NDArray[np.float32]:
    """The cut-out with its longer side `longest` pixels long, cut tightly again."""
    from PIL import Image

    height, width = pixels.shape[:2]
    share = longest / max(height, width)
    size = max(1, round(width * share)), max(1, round(height * share))
    bands = [Image.fromarray(np.ascontiguousarray(pixels[..., band])).resize(size) for band in range(4)]
    small = np.stack([np.asarray(band) for band in bands], axis=-1).clip(0, 1)
    cut = _tight(small)
    return small if cut is None else cut


def _free_place(
    own: NDArray[np.float32], side: int, placed: list[NDArray[np.float64]], rng: np.random.Generator
) -> NDArray[np.float64] | None:
    """A box (x1, y1, x2, y2) where the object covers little of the others and they of it, or None."""
    height, width = own.shape[:2]
    for _ in range(TRIES):
        x, y = int(rng.integers(side - width + 1)), int(rng.integers(side - height + 1))
        box = np.array([x, y, x + width, y + height], dtype=np.float64)
        if all(_shared(box, other) <= MOST_COVERED for other in placed):
            return box
    return None


def _shared(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """The area of both per area of the smaller one."""
    shared, _ = intersection_and_union(first, second)
    return float(shared / min(areas(first), areas(second)))
