"""What client.json says in either mode: its kind, parameters, and accepted inputs."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.json_file import LARGEST_INTEGER
from secure.bundle.fields import Fields
from secure.params import Params

#: The version of every file of a bundle's folder.
VERSION = 3
CLIENT_FILE, CLIENT_KIND = "client.json", "cipherpress-client"
#: The field that tells the mode, and the two modes. A file without the field is of the first one.
MODE, LATENCY, THROUGHPUT = "mode", "latency", "throughput"
#: The most numbers of one input or output, and the most dimensions of their shapes.
MOST_FEATURES, MOST_DIMENSIONS = 2**24, 8
#: The most primes of a chain: more than any secure modulus has.
MOST_PRIMES = 64
#: The most units of a throughput plan.
MOST_UNITS = 16
#: The smallest unit; the largest is its inverse.
LEAST_UNIT = 1e-30


def read_mode(fields: Fields) -> str:
    """The mode of a client.json or plan.json.

    Raises: FormatError.
    """
    if MODE not in fields.values:
        return LATENCY
    if fields.values[MODE] not in (LATENCY, THROUGHPUT):
        raise fields.wrong(MODE, f"{LATENCY} or {THROUGHPUT}")
    return fields.text(MODE)


def is_sha256(text: str) -> bool:
    """Whether a text is a sha256 in hex digits."""
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def read_input_shape(fields: Fields) -> tuple[int, ...]:
    """The shape of an input, small enough that arrays of it can be made.

    Raises: FormatError.
    """
    shape = fields.integers("input_shape", 1, MOST_FEATURES, least=1, most=MOST_DIMENSIONS)
    if prod(shape) > MOST_FEATURES:
        raise fields.wrong("input_shape", f"sizes whose product is at most {MOST_FEATURES}")
    return shape


def params_json(params: Params) -> dict[str, Any]:
    """Parameters as they stand in client.json and plan.json."""
    return {
        "poly_modulus_degree": params.poly_modulus_degree,
        "data_primes": list(params.data_primes),
        "special_prime": params.special_prime,
        **({"more_special_primes": list(params.more_special_primes)} if params.more_special_primes else {}),
        **({"digits": list(params.digits)} if params.digits else {}),
    }


def read_params(fields: Fields) -> Params:
    """Parameters of the right types. The caller checks their security.

    Raises: FormatError.
    """
    least, most = -LARGEST_INTEGER, LARGEST_INTEGER
    absent = "special_prime" in fields.values and fields.values["special_prime"] is None
    return Params(
        poly_modulus_degree=fields.integer("poly_modulus_degree", least, most),
        data_primes=fields.integers("data_primes", least, most, most=MOST_PRIMES),
        special_prime=None if absent else fields.integer("special_prime", least, most),
        **{
            name: fields.integers(name, least, most, least=1, most=MOST_PRIMES)
            for name in ("more_special_primes", "digits")
            if name in fields.values
        },
    )


def read_units(fields: Fields) -> tuple[float, ...]:
    """The units of a throughput plan; a file without the field has none.

    Raises: FormatError.
    """
    if "units" not in fields.values:
        return ()
    return fields.numbers("units", LEAST_UNIT, 1 / LEAST_UNIT, least=1, most=MOST_UNITS)


def read_read_inputs(fields: Fields, features: int) -> tuple[int, ...]:
    """The inputs that a throughput plan reads, ascending; a file without the field means all.

    Raises: FormatError.
    """
    if "read_inputs" not in fields.values:
        return ()
    found = fields.integers("read_inputs", 0, features - 1, least=1, most=features)
    if any(a >= b for a, b in pairwise(found)):
        raise fields.wrong("read_inputs", "ascending numbers")
    return found


def ends_json(ends: NDArray[np.float64]) -> float | list[float]:
    """One number where all features have the same end."""
    return float(ends[0]) if (ends == ends[0]).all() else [float(end) for end in ends]


def read_ends(fields: Fields, name: str, size: int) -> NDArray[np.float64]:
    """One end of the accepted inputs, by feature.

    Raises: FormatError.
    """
    if isinstance(fields.values.get(name), list):
        return np.array(fields.numbers(name, least=size, most=size))
    return np.full(size, fields.number(name))


def shapes_fault(input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> tuple[str, str] | None:
    """(the shape that is out of range, what is allowed); None if both are in range."""
    for name, shape in (("input_shape", input_shape), ("output_shape", output_shape)):
        if not (1 <= len(shape) <= MOST_DIMENSIONS and min(shape) >= 1 and prod(shape) <= MOST_FEATURES):
            return name, f"1 to {MOST_DIMENSIONS} sizes of at least 1, their product at most {MOST_FEATURES}"
    return None


def ends_fault(low: NDArray[np.float64], high: NDArray[np.float64], size: int) -> tuple[str, str] | None:
    """(the end of the accepted inputs that is out of range, what is allowed); None if both are in range."""
    for name, ends in (("input_low", low), ("input_high", high)):
        if ends.shape != (size,) or not np.isfinite(ends).all():
            return name, f"a finite number, or {size} of them"
    if not ((low <= high).all() and (low < high).any()):
        return "input_high", "at least input_low everywhere, and larger somewhere"
    return None
