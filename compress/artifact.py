"""Files and folders on disk: written whole or not at all, never over other people's work, checked when read.

`write_file`, `write_stream`, `write_files` and `write_folder` are the only code of the installed packages that writes
what a user keeps.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from compress.artifact_kinds import foreign_entry
from compress.errors import ConfigError, FormatError, OverwriteError, shown
from compress.json_file import read_object

FILE_MODE, PRIVATE_FILE_MODE, FOLDER_MODE = 0o644, 0o600, 0o755


def refuse_existing(path: Path, *, force: bool) -> None:
    """Raises: OverwriteError when the path exists and force is False."""
    if path.exists() and not force:
        raise OverwriteError(path)


def check_output_folder(folder: Path, *, force: bool) -> None:
    """Check before any work that `write_folder` will accept this folder.

    Raises: OverwriteError when it exists and force is False; ConfigError when it is a file, or a folder that is neither
    empty nor an artifact of cipherpress.
    """
    refuse_existing(folder, force=force)
    allowed = "a new folder, an empty folder or an earlier artifact of cipherpress"
    if folder.is_dir():
        foreign = foreign_entry(folder)
        if foreign is not None:
            raise ConfigError("output", str(folder), f"{allowed}; this folder also holds '{foreign}'; choose another")
    elif folder.exists():
        raise ConfigError("output", str(folder), f"{allowed}; this is a file; choose another")


def write_file(path: Path, content: bytes, *, force: bool = False, mode: int = FILE_MODE) -> None:
    """One file, whole or not at all, with at most these permissions from its first byte on.

    Raises: OverwriteError when it exists and force is False; ConfigError when it is a folder; OSError when the disk
    refuses: the older file, if any, is then as it was.
    """
    write_stream(path, (content,), force=force, mode=mode)


def write_stream(path: Path, parts: Iterable[bytes], *, force: bool = False, mode: int = FILE_MODE) -> int:
    """One file from its parts in their order, one part at a time in memory; returns how many bytes it has.

    Raises: as `write_file`; what making the parts raises: the older file, if any, is then as it was.
    """
    path = Path(path)
    _check_output_file(path, force)
    staged = _staged_file(path, parts, mode)
    try:
        size_bytes = staged.stat().st_size
        os.replace(staged, path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    return size_bytes


def write_files(folder: Path, files: Mapping[str, tuple[bytes, int]], *, force: bool = False) -> None:
    """Files (name -> content, mode) that belong together, in a folder that may hold others: all of them or none.

    Raises: as `write_file`.
    """
    targets = [Path(folder) / name for name in files]
    for target in targets:
        _check_output_file(target, force)
    staged: list[Path] = []
    try:
        for target, (content, mode) in zip(targets, files.values(), strict=True):
            staged.append(_staged_file(target, (content,), mode))
        _put(zip(staged, targets, strict=True))
    except BaseException:
        for path in staged:
            path.unlink(missing_ok=True)
        raise


def write_folder(folder: Path, files: Mapping[str, bytes], *, force: bool = False) -> None:
    """A folder with exactly these files (relative name -> content): the whole folder or nothing.

    The files are written into a new folder beside the wanted one, which then takes its name.

    Raises: as `check_output_folder`; OSError when the disk refuses: the older folder, if any, is then as it was.
    """
    check_output_folder(Path(folder), force=force)
    folder = Path(folder).resolve()  # of a link the folder that it leads to is replaced, not the link
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, content in files.items():
            target = staging / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        staging.chmod(FOLDER_MODE)
        _put([(staging, folder)])
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def _check_output_file(path: Path, force: bool) -> None:
    refuse_existing(path, force=force)
    if path.is_dir():
        raise ConfigError("output", str(path), "a file; this is a folder; choose another name")


def _staged_file(path: Path, parts: Iterable[bytes], mode: int) -> Path:
    """The parts in a file beside `path` under another name; nothing is left behind when that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mkstemp gives it mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            for part in parts:
                file.write(part)
        os.chmod(name, mode)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def _put(moves: Iterable[tuple[Path, Path]]) -> None:
    """Move every staged file or folder to its target; the older ones come back when one move fails."""
    placed: list[tuple[Path, Path, Path | None]] = []
    try:
        for staged, target in moves:
            retired = staged.with_name(staged.name + ".old") if target.exists() else None
            if retired is not None:
                os.replace(target, retired)
            placed.append((staged, target, retired))
            os.replace(staged, target)
    except BaseException:
        for staged, target, retired in reversed(placed):
            if not staged.exists():
                os.replace(target, staged)
            if retired is not None:
                os.replace(retired, target)
        raise
    for _, _, retired in placed:
        if retired is not None and retired.is_dir():
            shutil.rmtree(retired, ignore_errors=True)
        elif retired is not None:
            retired.unlink(missing_ok=True)


def json_bytes(value: Any) -> bytes:
    """Deterministic JSON: sorted keys, one trailing newline.

    Raises: ValueError for a number that is not finite, which JSON does not have.
    """
    return (json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def read_json(path: Path, *, kind: str, version: int) -> dict[str, Any]:
    """The object of a JSON artifact of this kind and version.

    Raises: FormatError naming the file and field.
    """
    value = read_object(path)
    if value.get("kind") != kind:
        raise FormatError(f"{path}: field 'kind' is {shown(value.get('kind'))}, expected {kind!r}")
    found = value.get("version")
    if type(found) is not int or found != version:
        raise FormatError(f"{path}: field 'version' is {shown(found)}, this program reads {version}")
    return value


def read_hashed(path: Path, sha256: object) -> bytes:
    """A file whose sha256 another file states.

    Raises: FormatError when it is missing, truncated or altered.
    """
    if not path.is_file():
        raise FormatError(f"{path}: file not found; is this the right folder?")
    try:
        content = path.read_bytes()
    except (OSError, MemoryError) as error:  # a sparse file of any size takes no room in an archive
        raise FormatError(f"{path}: cannot be read ({str(error) or 'it does not fit into memory'})") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise FormatError(f"{path}: its sha256 is not the one recorded beside it; the file is truncated or altered")
    return content
