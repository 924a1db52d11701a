"""Folders on disk: written whole or not at all, never over another one unless told to, their JSON and tensors checked
when read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compress.errors import ConfigError, FormatError, OverwriteError

#: No artifact of ours has JSON near this size: a larger file is damage or an attack.
MAX_JSON_BYTES = 64 * 2**20

#: What the folders of all kinds hold at their top: only such a folder is ever replaced.
ARTIFACT_NAMES = frozenset(
    {"model.safetensors", "model.json", "client.json", "server", "report.json", "targets.json", "targets.svg"}
)


def refuse_existing(path: Path, *, force: bool) -> None:
    """Raises: OverwriteError when the path exists and force is False."""
    if path.exists() and not force:
        raise OverwriteError(path)


def write_folder(folder: Path, files: Mapping[str, bytes], *, force: bool = False) -> None:
    """Write all files (relative name -> content) into a new folder beside the wanted one, then rename it into place.

    Raises: OverwriteError; ConfigError when force would delete what no artifact holds (somebody's data, keys); OSError
    when the disk refuses, with nothing left behind.
    """
    folder = Path(folder)
    refuse_existing(folder, force=force)
    _refuse_foreign(folder, files)
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, content in files.items():
            target = staging / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        staging.chmod(0o755)
        _replace(folder, staging)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def _refuse_foreign(folder: Path, files: Mapping[str, bytes]) -> None:
    """Raises: ConfigError when an existing path is not an artifact of ours, which a new one may replace."""
    if folder.is_dir():
        ours = ARTIFACT_NAMES | {Path(name).parts[0] for name in files}
        foreign = sorted(path.name for path in folder.iterdir() if path.name not in ours)
        if foreign:
            raise ConfigError(
                "output", str(folder), f"a new folder or an earlier artifact; this one holds '{foreign[0]}'"
            )
    elif folder.exists():
        raise ConfigError("output", str(folder), "a new folder or an earlier artifact; this is a file")


def _replace(folder: Path, staging: Path) -> None:
    """Put the staged folder in place; an older one is moved aside first and comes back if that fails."""
    if not folder.exists():
        os.replace(staging, folder)
        return
    retired = staging.with_name(staging.name + ".old")
    os.replace(folder, retired)
    try:
        os.replace(staging, folder)
    except OSError:
        os.replace(retired, folder)
        raise
    shutil.rmtree(retired, ignore_errors=True)


def json_bytes(value: Any) -> bytes:
    """Deterministic JSON: sorted keys, one trailing newline."""
    return (json.dumps(value, sort_keys=True, indent=1) + "\n").encode()


def read_json(path: Path, *, kind: str, version: int) -> dict[str, Any]:
    """The object of a JSON artifact of this kind and version.

    Raises: FormatError naming the file and field.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise FormatError(f"{path}: {path.stat().st_size} bytes; such a file has at most {MAX_JSON_BYTES}")
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FormatError(f"{path}: file not found; is this the right folder?") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: not valid JSON ({error}); the file is truncated or altered") from error
    if not isinstance(value, dict):
        raise FormatError(f"{path}: holds {type(value).__name__} where an object is expected")
    if value.get("kind") != kind:
        raise FormatError(f"{path}: field 'kind' is {value.get('kind')!r}, expected {kind!r}")
    if value.get("version") != version:
        raise FormatError(f"{path}: field 'version' is {value.get('version')!r}, this program reads {version}")
    return value


def read_hashed(path: Path, sha256: object) -> bytes:
    """A file whose sha256 another file states.

    Raises: FormatError when it is missing, truncated or altered.
    """
    if not path.is_file():
        raise FormatError(f"{path}: file not found; is this the right folder?")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise FormatError(f"{path}: its sha256 is not the one recorded beside it; the file is truncated or altered")
    return content
