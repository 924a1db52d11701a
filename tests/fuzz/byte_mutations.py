"""Arrays and bytes changed by structure: tensors with other names, types, shapes and values, and damaged files."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

Arrays = dict[str, NDArray[Any]]
DTYPES = ("int8", "uint8", "int16", "int32", "int64", "uint64", "float16", "float32", "float64", "bool")
VALUES = (float("nan"), float("inf"), -1, 0, 2**31 - 1, 1e300, -1e38, 127, -128)


def mutated_arrays(arrays: Mapping[str, NDArray[Any]], random: Random) -> tuple[Arrays, str]:
    """(arrays, what was changed) with one array changed."""
    found = dict(arrays)
    name = random.choice(sorted(found))
    array = found[name]
    change = random.choice(("drop", "rename", "type", "shape", "cut", "extend", "values", "empty", "more"))
    if change == "drop":
        del found[name]
    elif change == "rename":
        found[random.choice((name + "2", "", "a/b", "../x"))] = found.pop(name)
    elif change == "type":
        with np.errstate(all="ignore"):
            found[name] = array.astype(random.choice(DTYPES), casting="unsafe")
    elif change == "shape":
        found[name] = array.reshape(random.choice(((-1,), (1, *array.shape), (*array.shape, 1), array.shape[::-1])))
    elif change == "cut":
        found[name] = array.ravel()[: random.randrange(array.size + 1)]
    elif change == "extend":
        found[name] = np.concatenate([array, array]) if array.ndim else np.tile(array, 3)
    elif change == "values":
        flat = array.copy().reshape(-1)
        with np.errstate(all="ignore"):
            flat[random.randrange(flat.size) : random.randrange(flat.size) + 1] = np.asarray(
                random.choice(VALUES)
            ).astype(array.dtype, casting="unsafe")
        found[name] = flat.reshape(array.shape)
    elif change == "empty":
        found[name] = np.zeros(random.choice(((0,), (0, 3), (2, 0), ())), dtype=array.dtype)
    else:
        found["extra"] = array
    return found, f"{change} {name}"


def safetensors_bytes(arrays: Mapping[str, NDArray[Any]], random: Random) -> tuple[bytes, str]:
    """A file of these arrays, sometimes with a header that lies."""
    content = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    if random.random() < 0.75:
        return content, "saved"
    (size,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + size])
    name = random.choice(sorted(header) or [""])
    lies = (
        {"shape": [2**40, 2**40]}, {"shape": [-1]}, {"shape": [2**63]}, {"dtype": "F8"}, {"dtype": 3},
        {"dtype": "BF16"},
        {"data_offsets": [0, 2**60]}, {"data_offsets": [5, 1]}, {"data_offsets": []}, {"shape": None}, {"shape": []},
    )  # fmt: skip
    lie = random.choice(lies)
    if name in header:
        header[name] = {**header[name], **lie}
    packed = json.dumps(header).encode()
    return struct.pack("<Q", len(packed)) + packed + content[8 + size :], f"{name} says {lie}"


def mutated_bytes(content: bytes, random: Random) -> tuple[bytes, str]:
    """(bytes, what was changed): flipped, cut, extended, zeroed or moved."""
    change = random.choice(("flip", "cut", "extend", "zero", "number", "swap"))
    place = random.randrange(max(1, len(content)))
    if change == "flip":
        changed = content[:place] + bytes([content[place] ^ 1 << random.randrange(8)]) + content[place + 1 :]
    elif change == "cut":
        changed = content[:place]
    elif change == "extend":
        changed = content + bytes(random.randrange(1, 40))
    elif change == "zero":
        changed = content[:place] + bytes(min(32, len(content) - place)) + content[place + 32 :]
    elif change == "number":
        number = struct.pack("<Q", random.choice((0, 1, 2**31, 2**32, 2**60, 2**64 - 1)))
        changed = content[:place] + number + content[place + 8 :]
    else:
        changed = content[place:] + content[:place]
    return changed, f"{change} at {place} of {len(content)}"
