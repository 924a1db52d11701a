"""BatchPlan: a network as a straight-line program over integers, one ciphertext per feature, one image per slot.

Value 0 is the input, value k is the result of step k - 1, the last value is the output. A value holds one integer per
feature; divided by the scale of its feature, it is the network's value. Every constant is a whole number, so that a
plan computes the same modulo any prime, and nothing is rounded while it runs.

Encrypted, a feature is a ciphertext of several parts: polynomials c_0, c_1, ..., whose sum c_k s^k holds the integers
in its slots. Products are not relinearized and nothing is rescaled, so a product of p and q parts has p + q - 1 parts,
and the server needs no key. All operations act on each position of a transformed polynomial alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from secure.frozen import read_only
from secure.params import Params

Integers = NDArray[np.float64]  # whole numbers; beyond 2^53 they are the multiples that float64 can hold
Scales = NDArray[np.float64]

#: Parts of a fresh ciphertext.
FRESH_PARTS = 2


class _ReadOnlyArrays:
    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                object.__setattr__(self, name, read_only(value))


@dataclass(frozen=True, kw_only=True)
class Step(_ReadOnlyArrays):
    """One value. Arrays are read-only.

    layer: the network's node that it belongs to. sources: the values it reads. scales: (features,), what the integers
    of the result are divided by to give the network's values.
    """

    layer: str
    sources: tuple[int, ...]
    scales: Scales

    @property
    def features(self) -> int:
        return len(self.scales)


@dataclass(frozen=True, kw_only=True)
class Linear(Step):
    """codes @ x + bias, one source.

    The codes are a sparse matrix by rows (CSR): row r has codes[starts[r] : starts[r + 1]] in the columns of the same
    places. bias: (features,) whole numbers, at the scale of the result.
    """

    starts: NDArray[np.int64]
    columns: NDArray[np.int32]
    codes: NDArray[np.int32]
    bias: Integers

    @property
    def nonzeros(self) -> int:
        return len(self.codes)

    @property
    def rows(self) -> NDArray[np.int64]:
        """(nonzeros,): the row of every code."""
        return np.repeat(np.arange(self.features), np.diff(self.starts))

    def matrix(self, columns: int, dtype: DTypeLike = np.float64) -> NDArray[Any]:
        """The codes with zeros between them, (features, columns)."""
        found = np.zeros((self.features, columns), dtype=dtype)
        found[self.rows, self.columns] = self.codes
        return found


@dataclass(frozen=True, kw_only=True)
class Quadratic(Step):
    """square * x^2 + linear * x + constant by feature, one source; three arrays (features,) of whole numbers."""

    square: Integers
    linear: Integers
    constant: Integers


@dataclass(frozen=True, kw_only=True)
class Product(Step):
    """The product of two sources by feature."""


@dataclass(frozen=True, kw_only=True)
class Sum(Step):
    """The sum over all sources of factors[source] * x, by feature; factors (sources, features) whole numbers."""

    factors: Integers


@dataclass(frozen=True, kw_only=True)
class Select(Step):
    """Features of the sources, laid one after the other, in any order; slices, padding and concatenation.

    indices: (features,) int64 into all features of all sources; -1 gives zero. factors: (features,) whole numbers.
    """

    indices: NDArray[np.int64]
    factors: Integers


@dataclass(frozen=True, kw_only=True)
class BatchPlan:
    """What the server runs for a block of `params.slots` images.

    params: the ring; no special prime, since no key is switched. inputs: ciphertexts of a block: the features of an
    image, or those in read_inputs (ascending) where only some are read, and the units. input_scale: what the client
    multiplies inputs by. steps: in order of execution. upload_bits_dropped: low bits of each coefficient of a
    request's first part that the client does not send (0 sends all). units: constants that the client adds to every
    image as its last inputs. Where there are any, no step has a constant of its own: a feature of p parts is a
    homogeneous polynomial of degree p - 1, and the client turns every image by a random phase
    (`secure.coded.homogeneous`).
    """

    params: Params
    inputs: int
    input_scale: float
    steps: tuple[Step, ...]
    upload_bits_dropped: int = 0
    units: tuple[float, ...] = ()
    read_inputs: tuple[int, ...] = ()

    @property
    def output_scales(self) -> Scales:
        return self.steps[-1].scales

    @property
    def outputs(self) -> int:
        return self.steps[-1].features

    @property
    def parts(self) -> tuple[int, ...]:
        """Parts of every value, the input first (derived: products add up, less one)."""
        found = [FRESH_PARTS]
        for step in self.steps:
            sources = [found[source] for source in step.sources]
            match step:
                case Quadratic():
                    found.append(2 * sources[0] - 1)
                case Product():
                    found.append(sum(sources) - 1)
                case _:
                    found.append(max(sources))
        return tuple(found)
