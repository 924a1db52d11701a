"""detect: the digits in a picture, by the shipped detector in clear or on the encrypted picture.

Encrypted, the server sees the picture and its answer only as ciphertexts. The client decrypts the scores and moves of
all anchors, and selects boxes in clear, or with nms "encrypted" encrypts the scores again and lets the server select.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cipherpress.answered import answered
from cipherpress.detection.greedy import greedy_nms
from cipherpress.detection.grid import Found
from cipherpress.detection.psrr import maxpool_nms, psrr_nms
from cipherpress.selected import Selected, selected_encrypted
from cipherpress.zoo.detectors import (
    CELL_ANCHORS,
    GREEDY_OVERLAP,
    GRID,
    MAXPOOL_ANCHORS,
    MAXPOOL_POOLS,
    NAME,
    PSRR_ANCHORS,
    PSRR_SHIFTS,
    entry_of,
    load_detector,
)
from cipherpress.zoo.scenes import SIDE, make_scenes
from compress.checks import is_number
from compress.dataset import Dataset, Progress
from compress.errors import ConfigError, FormatError, InputShapeError
from compress.network import Network

if TYPE_CHECKING:
    from secure.bundle.specs import Bundle

#: The largest predicted error of an output of the encrypted detector: of a box 0.05 of its anchor's side.
LARGEST_ERROR = 0.05
#: Scenes that the encrypted detector is calibrated and judged on.
CALIBRATION, HELD_OUT = 512, 256
LEAST_SCORE = 0.5


def _psrr(found: Found) -> Any:
    return psrr_nms(found.boxes, found.scores, found.classes, anchors=PSRR_ANCHORS, shifts=PSRR_SHIFTS)


def _greedy(found: Found) -> Any:
    return greedy_nms(found.boxes, found.scores, found.classes, overlap=GREEDY_OVERLAP)


def _maxpool(found: Found) -> Any:
    return maxpool_nms(
        found.boxes,
        found.scores,
        found.classes,
        anchors=MAXPOOL_ANCHORS,
        sources=found.sources,
        pools=MAXPOOL_POOLS,
    )


def _cells(found: Found) -> Any:
    return psrr_nms(found.boxes, found.scores, anchors=CELL_ANCHORS, pools=("single",))


#: The selections in clear by name, each as it suits the shipped detector.
SELECTIONS: Mapping[str, Callable[[Found], Any]] = MappingProxyType(
    {"psrr": _psrr, "greedy": _greedy, "maxpool": _maxpool, "cells": _cells}
)
#: The selection on ciphertexts: "cells", by comparisons of encrypted scores.
ENCRYPTED = "encrypted"


@dataclass(frozen=True)
class Detected:
    """Boxes (n, 4) in pixels with scores and classes, best first; candidates: boxes before the selection.

    server_ms: the network. client_ms: everything else, with encryption and decryption where there is any, but without
    the selection where that was encrypted; `selected` says all about that.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]
    candidates: int
    server_ms: float
    client_ms: float
    encrypted: bool
    selected: Selected | None = None

    def as_json(self) -> dict[str, Any]:
        rows = zip(self.boxes.tolist(), self.scores.tolist(), self.classes.tolist(), strict=True)
        return {
            "boxes": [
                dict(zip(("x1", "y1", "x2", "y2"), box, strict=True)) | {"score": score, "class": number}
                for box, score, number in rows
            ],
            "kept": len(self.boxes),
            "candidates": self.candidates,
            "server_ms": self.server_ms,
            "client_ms": self.client_ms,
            "encrypted": self.encrypted,
            "selection_encrypted": self.selected is not None,
            **({} if self.selected is None else {"selection": self.selected.as_json()}),
        }


def detect(
    image: NDArray[Any],
    *,
    bundle: Bundle | None = None,
    detector: str = NAME,
    nms: str = "psrr",
    least_score: float = LEAST_SCORE,
    threads: int = 1,
    progress: Progress | None = None,
) -> Detected:
    """The digits in a picture (64, 64) or (1, 64, 64) with values in [0, 1].

    bundle: the compiled detector (`detector_bundle`); the picture is then encrypted under fresh keys, and the network
    runs on ciphertexts. None computes in clear, by the shipped detector that `detector` names.
    nms: "psrr", "greedy", "maxpool" or "cells", which the client does in clear in both cases; or "encrypted", which is
    "cells" by comparisons on ciphertexts: the client decrypts the scores and encrypts them again.
    least_score: boxes below it are not candidates. threads: of the server.
    Raises: InputShapeError, InputRangeError, ConfigError, BackendError.
    """
    if nms not in (*SELECTIONS, ENCRYPTED):
        raise ConfigError("nms", nms, ", ".join((*SELECTIONS, ENCRYPTED)))
    if nms == ENCRYPTED and bundle is None:
        raise ConfigError("nms", nms, "cells without a bundle, which is the same selection in clear")
    if not (is_number(least_score) and 0 < least_score < 1):
        raise ConfigError("least_score", least_score, "a number between 0 and 1")
    picture = np.asarray(image, dtype=np.float64)
    if picture.shape not in ((SIDE, SIDE), (1, SIDE, SIDE)) or not np.isfinite(picture).all():
        raise InputShapeError(f"image: shape {picture.shape}; the detector takes ({SIDE}, {SIDE}) of finite values")
    picture = picture.reshape(1, SIDE, SIDE)
    run = (
        _in_clear(load_detector(detector), picture)
        if bundle is None
        else _encrypted(bundle, picture, threads, progress)
    )
    outputs, server_ms, client_ms = run
    started = perf_counter()
    found = GRID.decode(outputs, least_score)
    kept = None if nms == ENCRYPTED else SELECTIONS[nms](found)
    client_ms += (perf_counter() - started) * 1e3
    selected = None
    if kept is None:
        selected = selected_encrypted(found, least_score, threads=threads, progress=progress)
        kept = selected.kept
    return Detected(
        found.boxes[kept], found.scores[kept], found.classes[kept], len(found.boxes), server_ms, client_ms,
        bundle is not None, selected,
    )  # fmt: skip


def _in_clear(network: Network, picture: NDArray[np.float64]) -> tuple[NDArray[np.float64], float, float]:
    started = perf_counter()
    outputs = network.run(picture[None])[0]
    return outputs, (perf_counter() - started) * 1e3, 0.0


def _encrypted(
    bundle: Bundle, picture: NDArray[np.float64], threads: int, progress: Progress | None
) -> tuple[NDArray[np.float64], float, float]:
    """Outputs, milliseconds of the plan, and milliseconds of encryption and decryption; keys are made before."""
    say = progress or (lambda label, share: None)
    say("keys", 0.0)
    found = answered(bundle, picture, (("encrypt", 0.5), ("detect", 0.6)), threads=threads, progress=say)
    say("select", 1.0)
    return found.outputs, found.server_ms, found.client_ms


def default_bundle(detector: str = NAME) -> Path:
    """Where a compiled detector is kept unless another folder is named: one per shipped network and version.

    Raises: ConfigError for an unknown detector.
    """
    from hashlib import sha256

    import cipherpress
    from cipherpress.timing.cache import cache_folder

    content = b"".join(file.read_bytes() for file in sorted(entry_of(detector).folder.iterdir()))
    return cache_folder() / f"{detector}-{cipherpress.__version__}-{sha256(content).hexdigest()[:16]}"


def detector_bundle(folder: str | Path, progress: Progress | None = None, *, detector: str = NAME) -> Bundle:
    """The compiled detector in a folder. Where there is none it is compiled, which takes minutes, and kept there.

    Raises: FormatError for a folder that holds something else; ConfigError for an unknown detector; CompileError.
    """
    from cipherpress.compiled import compile
    from cipherpress.saved import load, save
    from secure.bundle.specs import Bundle
    from secure.limits import Limits

    network, path = load_detector(detector), Path(folder)
    if path.exists():
        found = load(path)
        if not isinstance(found, Bundle) or found.report.get("about", {}).get("detector", {}).get("name") != detector:
            raise FormatError(f"{path}: it holds no compiled {detector}; give another folder")
        return found
    known, held_out = make_scenes(CALIBRATION, seed=0), make_scenes(HELD_OUT, seed=0, held_out=True)
    data = Dataset("scenes", known.images, None, held_out.images, None, task="none")
    bundle = compile(network, data, Limits(max_error=LARGEST_ERROR), progress=progress)
    save(bundle, path)
    return bundle
