"""load_data: every DATA argument becomes a Dataset. Loads no torch."""

from __future__ import annotations

import gzip
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.dataset import Dataset
from compress.errors import DataError
from compress.gathering import as_dataset
from compress.npy_file import read_npz

SHIPPED = Path(__file__).parent / "data"
DATA_VARIABLE = "CIPHERPRESS_DATA"
NAMES = ("mnist", "fashion-mnist", "digits")
IDX_IMAGES, IDX_LABELS = 2051, 2049
NPZ_ARRAYS = "x_train and x_test, or x; with labels y_train and y_test, or y"


def load_data(spec: str, data_dir: str | Path | None = None) -> Dataset:
    """The data set that a name, a folder with the four IDX files, or an .npz file stands for.

    data_dir (or $CIPHERPRESS_DATA): the folder with the data sets that are not shipped.
    Raises: DataError naming the file and what to do.
    """
    if spec == "mnist":
        return _idx_folder("mnist", SHIPPED / "mnist")
    if spec == "fashion-mnist":
        return _idx_folder(spec, _external_folder(spec, data_dir))
    if spec == "digits":
        return _digits()
    path = Path(spec)
    if path.is_dir():
        return _idx_folder(path.name, path)
    if path.suffix == ".npz":
        return _npz(path)
    raise DataError(
        f"data '{spec}': no such data set; use one of {', '.join(NAMES)}, a folder of IDX files or an .npz file"
    )


def _external_folder(name: str, data_dir: str | Path | None) -> Path:
    root = data_dir if data_dir is not None else os.environ.get(DATA_VARIABLE)
    if root is None:
        raise DataError(
            f"data '{name}': it is not shipped; give --data-dir or set {DATA_VARIABLE} to the folder that holds it"
        )
    inside = Path(root) / name
    return inside if inside.is_dir() else Path(root)


def _idx_folder(name: str, folder: Path) -> Dataset:
    arrays = [
        _idx(folder, stem, magic)
        for stem, magic in (
            ("train-images-idx3-ubyte", IDX_IMAGES),
            ("train-labels-idx1-ubyte", IDX_LABELS),
            ("t10k-images-idx3-ubyte", IDX_IMAGES),
            ("t10k-labels-idx1-ubyte", IDX_LABELS),
        )
    ]
    return _dataset(name, str(folder), *(array[:, None] if array.ndim == 3 else array for array in arrays))


def _idx(folder: Path, stem: str, magic: int) -> NDArray[np.uint8]:
    """One IDX file, gzip or not."""
    path = next((path for path in (folder / f"{stem}.gz", folder / stem) if path.is_file()), None)
    if path is None:
        raise DataError(f"{folder / stem}[.gz]: file not found; the folder needs the four IDX files of MNIST's format")
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a complete gzip file ({error}); copy it again") from error
    axes = 3 if magic == IDX_IMAGES else 1
    header = 4 + 4 * axes
    if len(content) < header or struct.unpack(">I", content[:4])[0] != magic:
        raise DataError(f"{path}: it does not start with the IDX number {magic}; it is no IDX file of this kind")
    shape = struct.unpack(f">{axes}I", content[4:header])
    if len(content) - header != int(np.prod(shape, dtype=np.int64)):
        raise DataError(f"{path}: {len(content) - header} bytes of data where its header says {shape}; copy it again")
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def _npz(path: Path) -> Dataset:
    """The arrays of an .npz file, by their names. Several inputs are named x_train.first, x_train.second and so on."""
    if not path.is_file():
        raise DataError(f"{path}: file not found; give an .npz file with {NPZ_ARRAYS}")
    if not zipfile.is_zipfile(path):  # np.load would also read a plain .npy file
        raise DataError(f"{path}: cannot be read as an .npz file (no complete zip archive); write it with np.savez")
    try:
        arrays = read_npz(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read as an .npz file without pickled objects ({error}); "
            "write plain arrays with np.savez"
        ) from error
    rows: dict[str, Any] = {}
    for name, array in arrays.items():
        field, dot, part = name.partition(".")
        if dot:
            rows.setdefault(field, {})[part] = array
        else:
            rows[name] = array
    if not ({"x_train", "x_test"} <= rows.keys() or "x" in rows):
        raise DataError(f"{path}: it holds {', '.join(sorted(arrays)) or 'nothing'}; it needs {NPZ_ARRAYS}")
    try:
        return as_dataset(rows, name=path.stem)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _digits() -> Dataset:
    """scikit-learn's 8x8 digits, every fifth image for testing."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError("data 'digits': needs scikit-learn; install cipherpress[data]") from error
    bunch = load_digits()
    images = (bunch.images[:, None] / 16).astype(np.float32)
    test = np.arange(len(images)) % 5 == 0
    return _dataset("digits", "digits", images[~test], bunch.target[~test], images[test], bunch.target[test])


def _dataset(
    name: str, place: str, x_train: NDArray[Any], y_train: NDArray[Any], x_test: NDArray[Any], y_test: NDArray[Any]
) -> Dataset:
    """The data set of these arrays; an error names the place that they come from."""
    try:
        return Dataset(name, x_train, y_train, x_test, y_test)
    except DataError as error:
        raise DataError(f"{place}: {error}") from error
