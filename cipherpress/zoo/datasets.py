"""load_data: every DATA argument becomes a Dataset. Loads no torch.

`cifar10` reads CIFAR-10's own binary files, for who has them; none ship, and nothing is claimed on them.
"""

from __future__ import annotations

import gzip
import os
import struct
import zipfile
import zlib
from dataclasses import replace
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
NAMES = ("mnist", "fashion-mnist", "digits", "fashion-mnist-32", "cifar10")
IDX_IMAGES, IDX_LABELS = 2051, 2049
CIFAR10_FOLDER = "cifar-10-batches-bin"
CIFAR10_TRAINING = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
CIFAR10_TEST = "test_batch.bin"
CIFAR10_IMAGES, CIFAR10_RECORD = 10_000, 1 + 3 * 32 * 32
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
    if spec == "fashion-mnist-32":
        return padded(_idx_folder(spec, _external_folder("fashion-mnist", data_dir)), 2)
    if spec == "cifar10":
        return cifar10(_external_folder(spec, data_dir))
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


def padded(data: Dataset, pixels: int) -> Dataset:
    """The same images with so many rows and columns of zeros on each side."""
    sides = [(0, 0), (0, 0), (pixels, pixels), (pixels, pixels)]
    return replace(data, x_train=np.pad(data.x_train, sides), x_test=np.pad(data.x_test, sides))


def cifar10(folder: Path) -> Dataset:
    """CIFAR-10 from its binary version: 50,000 and 10,000 images of shape (3, 32, 32).

    Raises: DataError for a file that is not there, or not as long as its records.
    """
    parts = {name: _cifar10_records(folder, name) for name in (*CIFAR10_TRAINING, CIFAR10_TEST)}
    train = np.concatenate([parts[name] for name in CIFAR10_TRAINING])
    arrays = ((rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0]) for rows in (train, parts[CIFAR10_TEST]))
    (x_train, y_train), (x_test, y_test) = arrays
    return _dataset("cifar10", str(folder), x_train, y_train, x_test, y_test)


def _cifar10_records(folder: Path, name: str) -> NDArray[np.uint8]:
    """The records of one file, (images, 1 + pixels): a label, then all red, green and blue pixels."""
    path = next((path for path in (folder / name, folder / CIFAR10_FOLDER / name) if path.is_file()), None)
    if path is None:
        raise DataError(
            f"{folder / name}: file not found; the folder needs the six .bin files of CIFAR-10's binary version "
            "(its Python version holds pickles, which are not read)"
        )
    content = np.fromfile(path, dtype=np.uint8)
    if len(content) != CIFAR10_IMAGES * CIFAR10_RECORD:
        raise DataError(
            f"{path}: {len(content)} bytes; {CIFAR10_IMAGES} records have {CIFAR10_IMAGES * CIFAR10_RECORD}; "
            "copy it again"
        )
    rows = content.reshape(CIFAR10_IMAGES, CIFAR10_RECORD)
    if rows[:, 0].max() > 9:
        raise DataError(f"{path}: a label is {rows[:, 0].max()}; CIFAR-10 has classes 0 to 9; copy it again")
    return rows


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
