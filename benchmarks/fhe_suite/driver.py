"""Runs an entry's stages in the benchmark's order, each one as a process of its own, as a whole.

It stands in for the benchmark, of which it holds no code: datasets and folders have the same names, a stage gets the
number of the size, and the time of a stage is that of its process, the start of the interpreter included. While a
stage of the server runs, the folder of the secret key is not there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

SUBMISSION = Path(__file__).parent / "submission"
SIZES = ("single", "small", "medium", "large")
ONCE = ("client_key_generation", "server_preprocess_model")
EVERY_RUN = (
    "client_preprocess_input",
    "client_encode_encrypt_input",
    "server_encrypted_compute",
    "client_decrypt_decode",
    "client_postprocess",
)
#: Folders whose bytes are reported.
MEASURED = ("public_keys", "secret_key", "ciphertexts_upload", "ciphertexts_download")
STAGE_SECONDS = 600


class StageError(Exception):
    """A stage that failed, with what it said."""


@dataclass(frozen=True)
class StageTime:
    """Of one process: seconds from its start to its end, and seconds of processor time of it."""

    stage: str
    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class Run:
    """One run of one size: times in order, bytes by folder, predicted classes."""

    times: tuple[StageTime, ...]
    folder_bytes: dict[str, int]
    predictions: NDArray[np.int64]

    def cpu_s(self, *stages: str) -> float:
        """Processor time of some stages, or of all."""
        return sum(time.cpu_s for time in self.times if not stages or time.stage in stages)

    def wall_s(self, *stages: str) -> float:
        return sum(time.wall_s for time in self.times if not stages or time.stage in stages)


def write_pixels(path: Path, images: NDArray[Any]) -> None:
    """A line per image, numbers with six decimals, separated by blanks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, np.asarray(images).reshape(len(images), -1), fmt="%.6f")


def run_suite(root: Path, size: str, images: NDArray[Any], *, runs: int = 1, executables: bool = False) -> list[Run]:
    """`runs` runs of one size on images (count, ...) in [0, 1], in the folders of `root`.

    executables: start submission/build/STAGE in place of submission/STAGE.py.
    Raises: StageError.
    """
    write_pixels(root / "datasets" / size / "intermediate" / "test_pixels.txt", images)
    once = [_timed(root, size, stage, executables) for stage in ONCE]
    found = []
    for _ in range(runs):
        times = [*once, *(_timed(root, size, stage, executables) for stage in EVERY_RUN)]
        io = root / "io" / size
        sizes = {name: sum(file.stat().st_size for file in (io / name).rglob("*")) for name in MEASURED}
        predictions = np.loadtxt(io / "encrypted_model_predictions.txt", dtype=np.int64, ndmin=1)
        found.append(Run(tuple(times), sizes, predictions))
    return found


def _timed(root: Path, size: str, stage: str, executables: bool) -> StageTime:
    program = [str(SUBMISSION / "build" / stage)] if executables else [sys.executable, str(SUBMISSION / f"{stage}.py")]
    number = [] if stage == "server_preprocess_model" else [str(SIZES.index(size))]
    with _without_key(root / "io" / size / "secret_key", stage.startswith("server_")):
        return timed_process(stage, [*program, *number], root)


def timed_process(name: str, command: list[str], folder: Path) -> StageTime:
    """The times of one process, started in a folder.

    Raises: StageError.
    """
    environment = {**os.environ, "PYTHON": sys.executable}
    before, started = _children_s(), perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=STAGE_SECONDS)
    found = StageTime(name, perf_counter() - started, _children_s() - before)
    if done.returncode:
        raise StageError(f"{name}: status {done.returncode}: {done.stderr.strip()}")
    return found


def _children_s() -> float:
    """Processor time of processes that have ended."""
    used = getrusage(RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def _without_key(folder: Path, hidden: bool) -> Iterator[None]:
    """Rename the folder of the secret key while a server's stage runs."""
    elsewhere = folder.with_name("hidden_from_the_server")
    hidden = hidden and folder.exists()
    if hidden:
        folder.rename(elsewhere)
    try:
        yield
    finally:
        if hidden:
            elsewhere.rename(folder)
