"""Checks that options and files share: numbers of the wanted kind, shapes, seeds that every generator takes."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from numbers import Integral, Real
from typing import Any

from compress.errors import ConfigError

#: The largest seed. torch takes up to 2^64 - 1, and methods with several turns add the turn to the seed.
LARGEST_SEED = 2**63 - 1


def is_whole(value: Any) -> bool:
    """Whether the value is a whole number of Python or numpy; True and False are none, and 2.0 is none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether the value is a real number of Python or numpy; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


#: What values from a file that are of a wrong type or size raise when they are put to use.
MALFORMED = (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError)
#: Axes of a value and elements in it: a file that states more is damage or an attack. 2^31 float64 take 16 GiB.
MOST_AXES, MOST_ELEMENTS = 8, 2**31


def is_shape(value: Any) -> bool:
    """Whether the value, read from a file, is a list of sizes of at least 1 with few enough axes and elements."""
    if not isinstance(value, list) or not all(type(size) is int and size >= 1 for size in value):
        return False
    return len(value) <= MOST_AXES and prod(value) <= MOST_ELEMENTS


def check_seed(seed: Any) -> None:
    """Refuse a seed that a random generator would not take.

    Raises: ConfigError.
    """
    if not (is_whole(seed) and 0 <= seed <= LARGEST_SEED):
        raise ConfigError("seed", seed, "a whole number from 0 to 2^63 - 1")


def check_flag(field: str, value: Any) -> None:
    """Refuse what is neither True nor False.

    Raises: ConfigError.
    """
    if not isinstance(value, bool):
        raise ConfigError(field, value, "True or False")


def tuple_of_names(field: str, value: Any) -> tuple[str, ...]:
    """The names of a sequence, as a tuple. A single string is refused, because its letters would become the names.

    Raises: ConfigError.
    """
    names = tuple(value) if isinstance(value, Iterable) and not isinstance(value, (str, bytes)) else None
    if names is None or not all(isinstance(name, str) for name in names):
        raise ConfigError(field, value, "a sequence of names, such as ('2', '5')")
    return names
