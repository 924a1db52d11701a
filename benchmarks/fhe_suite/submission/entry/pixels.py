"""test_pixels.txt as images: a line per image, numbers between 0 and 1, separated by blanks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compress.errors import DataError

Array = NDArray[np.float64]

#: Characters of a number of six decimals, and of one with what separates it from the next.
DECIMALS = 6
DIGITS, WIDTH = DECIMALS + 2, DECIMALS + 3
#: Lines that are read together, so that what is made of them stays in the cache.
PIECE_LINES = 64


def read_pixels(path: Path, pixels: int) -> Array:
    """(images, pixels).

    Raises: DataError for lines of another length, and for text that is no number.
    """
    content = path.read_bytes()
    found = _fixed_width(content, pixels)
    return _any_width(content, pixels, path) if found is None else found


def _fixed_width(content: bytes, pixels: int) -> Array | None:
    """Numbers that all have one digit before the point and six after it; None for other text."""
    characters = np.frombuffer(content, dtype=np.uint8)
    if not content or len(characters) % (WIDTH * pixels):
        return None
    lines = characters.reshape(-1, WIDTH * pixels)
    result = np.empty((len(lines), pixels))
    for start in range(0, len(lines), PIECE_LINES):
        if not _read_lines(lines[start : start + PIECE_LINES].reshape(-1, pixels, WIDTH), result[start:]):
            return None
    return result


def _read_lines(table: NDArray[np.uint8], result: Array) -> bool:
    """result (lines or more, pixels): numbers of characters (lines, pixels, WIDTH). False for other text."""
    whole = np.zeros(table.shape[:2], dtype=np.int32)
    for place in (0, *range(2, DIGITS)):
        digit = table[:, :, place] - np.uint8(ord("0"))
        if digit.max() > 9:
            return False
        whole *= 10
        whole += digit
    np.divide(whole, 10**DECIMALS, out=result[: len(table)])
    ends = table[:, :, DIGITS]
    points = (table[:, :, 1] == ord(".")).all()
    return bool(points and (ends[:, -1] == ord("\n")).all() and (ends[:, :-1] == ord(" ")).all())


def _any_width(content: bytes, pixels: int, path: Path) -> Array:
    lines = content.splitlines()
    try:
        values = np.array([line.split() for line in lines if line.strip()], dtype=np.float64)
    except ValueError as error:
        raise DataError(f"{path}: not {pixels} numbers a line ({error})") from error
    if values.ndim != 2 or values.shape[1] != pixels:
        raise DataError(f"{path}: {values.shape}, expected lines of {pixels} numbers")
    return values
