"""Inputs from files: .npy arrays, and image files where pillow is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import InputShapeError
from compress.npy_file import read_npy, read_npz
from compress.parts import Part, join
from secure.parties.batches import batch_size

Shape = tuple[int, ...]


def read_input(path: Path, shape: Shape, row: int | None = None, parts: tuple[Part, ...] = ()) -> NDArray[np.float64]:
    """One input of the network's shape; uint8 values are divided by 255. row: which one of a batch, from 0.

    parts: of a network with several inputs, which an .npz file holds by name.
    An image file is read in grey for one channel, in RGB for three; it must have the network's height and width.
    Raises: InputShapeError naming the file.
    """
    if path.suffix == ".npz":
        values = _read_npz(path, parts)
    else:
        values = _read_npy(path) if path.suffix == ".npy" else _read_image(path, shape)
    size = batch_size(values, shape)
    if size is not None:
        values = values[_row(path, size, row)]
    elif row is not None:
        raise InputShapeError(f"{path}: it holds an array of shape {values.shape}, no batch of inputs; leave out --row")
    if values.dtype == np.uint8:
        values = values / 255.0
    if values.size == int(np.prod(shape)) and values.shape != shape and values.ndim <= len(shape):
        values = values.reshape(shape)  # (28, 28) for (1, 28, 28): an axis of one was left out
    return np.asarray(values, dtype=np.float64)


def _row(path: Path, size: int, row: int | None) -> int:
    if row is None and size != 1:
        raise InputShapeError(f"{path}: a batch of {size} inputs; a request carries one: choose it with --row, from 0")
    if not 0 <= (row or 0) < size:
        raise InputShapeError(f"{path}: row {row} of {size}; rows count from 0")
    return row or 0


def _read_npy(path: Path) -> NDArray[Any]:
    try:
        values = read_npy(path)
    except ValueError as error:
        raise InputShapeError(
            f"{path}: not a complete .npy file of numbers ({error}); save it with numpy.save"
        ) from error
    if values.dtype.kind not in "biuf":
        raise InputShapeError(f"{path}: an array of type {values.dtype}; an input has real numbers")
    return values


def _read_npz(path: Path, parts: tuple[Part, ...]) -> NDArray[Any]:
    if not parts:
        raise InputShapeError(f"{path}: an .npz file holds several inputs, and the network takes one; give .npy")
    try:
        arrays = read_npz(path)
    except ValueError as error:
        raise InputShapeError(f"{path}: not a complete .npz file of numbers ({error}); use numpy.savez") from error
    scaled = {name: array / 255.0 if array.dtype == np.uint8 else array for name, array in arrays.items()}
    return join(scaled, parts, str(path))


def _read_image(path: Path, shape: Shape) -> NDArray[Any]:
    if not path.is_file():
        raise InputShapeError(f"{path}: file not found")
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise InputShapeError(f"{path}: an image cannot be an input of shape {shape}; give an .npy array")
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise InputShapeError(f"{path}: reading images needs pillow; install cipherpress[data] or give .npy") from error
    try:
        with Image.open(path) as image:
            if (image.height, image.width) != shape[1:]:  # before it is decoded: a small file can hold a huge image
                raise InputShapeError(
                    f"{path}: an image of {image.width} x {image.height} pixels; the network takes {shape[2]} x "
                    f"{shape[1]}; scale or crop it"
                )
            pixels = np.asarray(image.convert("L" if shape[0] == 1 else "RGB"))
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise InputShapeError(f"{path}: not an image file that pillow can read; give .png or .npy") from error
    return pixels[None] if shape[0] == 1 else pixels.transpose(2, 0, 1)
