"""Values that cannot be changed by accident, at any depth: read-only arrays and mappings, tuples for lists.

This guards against mistakes, not against intent: an array that owns its data becomes writable again by
`setflags(write=True)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def read_only(array: NDArray[Scalar]) -> NDArray[Scalar]:
    """The array itself when it is read-only already, else a read-only copy."""
    if array.flags.writeable:
        array = array.copy()
        array.setflags(write=False)
    return array


def frozen(value: Any) -> Any:
    """JSON values with read-only mappings for dicts and tuples for lists, at every depth. `thawed` is the inverse."""
    if isinstance(value, Mapping):
        return MappingProxyType({key: frozen(inner) for key, inner in value.items()})
    if isinstance(value, list | tuple):
        return tuple(frozen(inner) for inner in value)
    return value


def thawed(value: Any) -> Any:
    """A copy of frozen JSON values as dicts and lists, which `json.dumps` takes and the caller may change."""
    if isinstance(value, Mapping):
        return {key: thawed(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [thawed(inner) for inner in value]
    return value
