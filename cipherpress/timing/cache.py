"""Measured kernel times on disk, and which times a compilation uses.

There is one file per machine and version of the code that computes. The folder is `CIPHERPRESS_CACHE` where that is
set, else `cipherpress` in the user's cache folder (XDG base directories).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date
from math import isfinite
from pathlib import Path
from typing import Any

from cipherpress.timing.machine import identity
from compress.artifact import json_bytes, read_json, write_file
from compress.errors import FormatError
from hwmodel.architecture import kernel_times
from hwmodel.architecture_file import load_architecture
from secure.kernels.counts import KernelTimes
from secure.kernels.requests import TYPICAL_REQUEST_TIMES, RequestTimes, StepTimes
from secure.residues.times import TYPICAL_RESIDUE_TIMES, ResidueTimes

KIND, VERSION = "cipherpress-kernel-times", 3
FOLDER_VARIABLE = "CIPHERPRESS_CACHE"
REMEDY = "measure again with `cipherpress calibrate --force`, or delete the file"
#: No kernel of any machine takes longer in nanoseconds or picoseconds, and no call in microseconds.
LARGEST_TIME = 1e6
#: Architectures whose committed times are used where nothing was measured: for the engine and for SEAL.
DEFAULTS = ("cpu-engine", "cpu-seal")
RUNTIMES = ("engine", "seal")


@dataclass(frozen=True)
class RuntimeTimes:
    """Kernel times under the engine and under SEAL, times of the steps of a request, kernel times of throughput plans,
    and a text that says where all come from."""

    engine: KernelTimes
    seal: KernelTimes
    requests: RequestTimes
    residues: ResidueTimes
    origin: str


def current_times() -> RuntimeTimes:
    """The times measured on this machine if there are any, else the committed table.

    Raises: FormatError for a cache file that is damaged or of another machine.
    """
    path = cache_path()
    return load_times(path) if path.exists() else default_times()


def default_times() -> RuntimeTimes:
    """The committed tables: `hwmodel/architectures/cpu-engine.yaml` and `cpu-seal.yaml`, and those of
    `secure.kernels.requests` and `secure.residues.times`."""
    engine, seal = (kernel_times(load_architecture(name)) for name in DEFAULTS)
    return RuntimeTimes(engine, seal, TYPICAL_REQUEST_TIMES, TYPICAL_RESIDUE_TIMES, "default table")


def cache_path() -> Path:
    """The file for times measured on this machine with these versions; it need not exist."""
    digest = hashlib.sha256(json_bytes(dict(identity()))).hexdigest()
    return cache_folder() / f"kernel-times-{digest[:16]}.json"


def cache_folder() -> Path:
    """The folder for what is kept per user; it need not exist."""
    own = os.environ.get(FOLDER_VARIABLE)
    if own:
        return Path(own)
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "cipherpress"


def save_times(
    engine: KernelTimes, seal: KernelTimes, requests: RequestTimes, residues: ResidueTimes, day: date
) -> Path:
    """Write the file, whole or not at all, and return its path. An older file is replaced."""
    record = {
        "kind": KIND,
        "version": VERSION,
        "machine": dict(identity()),
        "date": day.isoformat(),
        "engine": asdict(engine),
        "seal": asdict(seal),
        "requests": asdict(requests),
        "residues": asdict(residues),
    }
    path = cache_path()
    write_file(path, json_bytes(record), force=True)
    return path


def load_times(path: Path) -> RuntimeTimes:
    """The times in a cache file.

    Raises: FormatError naming file and field, and what to do, for a file that is damaged or was measured elsewhere.
    """
    try:
        found = read_json(path, kind=KIND, version=VERSION)
    except FormatError as error:
        raise FormatError(f"{error}; {REMEDY}") from error
    if found.get("machine") != dict(identity()):
        raise FormatError(f"{path}: field 'machine' is not this machine with its versions; {REMEDY}")
    engine, seal = (KernelTimes(**_numbers(KernelTimes, found.get(name), name, path)) for name in RUNTIMES)
    requests = _request_times(found.get("requests"), path)
    residues = ResidueTimes(**_numbers(ResidueTimes, found.get("residues"), "residues", path))
    try:
        day = date.fromisoformat(found["date"])
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{path}: field 'date' is missing or malformed; {REMEDY}") from error
    return RuntimeTimes(engine, seal, requests, residues, f"calibrated on this machine, {day.isoformat()}")


def _request_times(found: Any, path: Path) -> RequestTimes:
    steps = [item.name for item in fields(RequestTimes)]
    if not isinstance(found, Mapping) or sorted(found) != sorted(steps):
        raise FormatError(f"{path}: field 'requests' does not hold {', '.join(steps)}; {REMEDY}")
    return RequestTimes(
        **{step: StepTimes(**_numbers(StepTimes, found[step], f"requests.{step}", path)) for step in steps}
    )


def _numbers(
    kind: type[KernelTimes] | type[StepTimes] | type[ResidueTimes], found: Any, name: str, path: Path
) -> dict[str, float]:
    """The fields of one set of times, each a time that a machine can take."""
    wanted = [item.name for item in fields(kind)]
    if not isinstance(found, Mapping) or sorted(found) != sorted(wanted):
        raise FormatError(f"{path}: field '{name}' does not hold {', '.join(wanted)}; {REMEDY}")
    for key, value in found.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and isfinite(value) and 0 <= value <= LARGEST_TIME):
            raise FormatError(f"{path}: field '{name}.{key}' is {value!r}, which cannot be a time; {REMEDY}")
    if not any(found.values()):
        raise FormatError(f"{path}: field '{name}' says that nothing takes time; {REMEDY}")
    return {key: float(value) for key, value in found.items()}
