"""Arrays by the address of their first number, for kernels that get addresses instead of arrays. Compiled by numba."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic
from numba.np.numpy_support import carray

from secure.engine.compiled import inlined

#: Columns of a table of places: an address, and the first two dimensions there.
ADDRESS, PARTS, ROWS = 0, 1, 2
#: Columns of an encoded instruction: its kernel, its flag, how many run together from it on, its arrays.
KERNEL, FLAG, TOGETHER, ARRAYS = 0, 1, 2, 3


def _pointer(kind: Any) -> Any:
    """An intrinsic that turns an address into a pointer to numbers of this type."""

    def typed(typing_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(types.CPointer(kind)))

        return types.CPointer(kind)(types.intp), generate

    return intrinsic(typed)


_numbers: Any = _pointer(types.float64)
_indices: Any = _pointer(types.uint32)
_bytes: Any = _pointer(types.int8)
_shorts: Any = _pointer(types.int16)
_words: Any = _pointer(types.int32)


@inlined
def numbers_at(address, shape):  # type: ignore[no-untyped-def]
    """The float64 array of this shape at an address."""
    return carray(_numbers(address), shape)


@inlined
def indices_at(address, shape):  # type: ignore[no-untyped-def]
    """The uint32 array of this shape at an address."""
    return carray(_indices(address), shape)


@inlined
def bytes_at(address, shape):  # type: ignore[no-untyped-def]
    """The int8 array of this shape at an address."""
    return carray(_bytes(address), shape)


@inlined
def shorts_at(address, shape):  # type: ignore[no-untyped-def]
    """The int16 array of this shape at an address."""
    return carray(_shorts(address), shape)


@inlined
def words_at(address, shape):  # type: ignore[no-untyped-def]
    """The int32 array of this shape at an address."""
    return carray(_words(address), shape)


@inlined
def residues_at(places, place, degree):  # type: ignore[no-untyped-def]
    """The array of a place as (parts, rows, N)."""
    return numbers_at(places[place, ADDRESS], (places[place, PARTS], places[place, ROWS], degree))


@inlined
def moduli_at(places, place):  # type: ignore[no-untyped-def]
    """The moduli at a place, (rows, 2)."""
    return numbers_at(places[place, ADDRESS], (places[place, ROWS], 2))
