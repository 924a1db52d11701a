"""What the digit detector finds in scenes, and how precise a selection of it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cipherpress.detection.grid import Found
from cipherpress.detection.precision import Labelled, average_precision
from cipherpress.zoo.detectors import GRID
from cipherpress.zoo.scenes import Scenes
from compress.network import Network

#: Scenes that run at once.
BATCH = 100


def found_in(network: Network, scenes: Scenes) -> list[Found]:
    """The boxes of every scene before any selection, by the network in clear."""
    images = scenes.images.astype(np.float64)
    outputs = [network.run(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
    return [GRID.decode(one) for one in np.concatenate(outputs)]


def precision_of(found: Sequence[Found], kept: Sequence[NDArray[Any]], truth: Scenes) -> dict[str, float]:
    """AP50 and AP50:95 of the kept boxes, and how many stay per scene."""
    picture = np.repeat(np.arange(len(found)), [len(rows) for rows in kept])
    boxes, classes, scores = (
        np.concatenate([getattr(one, field)[rows] for one, rows in zip(found, kept, strict=True)])
        for field in ("boxes", "classes", "scores")
    )
    reached = average_precision(
        Labelled(boxes, classes, picture, scores), Labelled(truth.boxes, truth.classes, truth.scene)
    )
    return {"ap50": float(reached[0]), "ap50_95": float(reached.mean()), "kept_per_scene": len(boxes) / len(found)}
