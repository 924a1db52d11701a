"""What ships with the package, for a first try: networks that `serve` compiles, and test images for `predict`."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cipherpress as cp
from cipherpress.commands.console import Output
from compress.errors import ConfigError, FormatError

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The data set that comes with the package.
SHIPPED_DATA = "mnist"


def shipped_bundle(out: Output, name: str, data_dir: Path | None) -> Path | None:
    """The bundle of a shipped network for handwritten digits; None for any other name.

    It is compiled into the folder of the server's data, or until this process ends.
    """
    from cipherpress.zoo.natives import NATIVES

    if name not in NATIVES:
        return None
    folder = Path(tempfile.mkdtemp(prefix="cipherpress-")) if data_dir is None else data_dir / "bundles"
    if data_dir is None:
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / name
    try:
        cp.load(path)
    except (FormatError, OSError):  # none yet, or one of another version
        out.note(f"compiling {name}, which ships with the package; this takes about half a minute")
        with out.progress("compile") as progress:
            bundle = cp.compile(cp.load_network(name), cp.load_data(SHIPPED_DATA), progress=progress)
        cp.save(bundle, path, force=True)
    return path


def shipped_image(source: Path) -> NDArray[Any] | None:
    """The test image that `mnist:NUMBER` names; None for anything else.

    Raises: ConfigError for a number that no image has.
    """
    name, colon, number = str(source).partition(":")
    if name != SHIPPED_DATA or not colon or source.exists():
        return None
    images = cp.load_data(SHIPPED_DATA).x_test
    if not (number.isdecimal() and int(number) < len(images)):
        raise ConfigError("input", str(source), f"{SHIPPED_DATA}:0 to {SHIPPED_DATA}:{len(images) - 1}")
    return images[int(number)]
