"""Times operations of a Plan under the engine, for calibrate_cpu_engine.py: lone ones, switched sums divided at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secure.engine import arithmetic
from secure.engine.tables import Tables, make_tables, rotation_order
from secure.params import Params, make_params
from secure.plan import Kind, galois_element

Array = NDArray[np.float64]

STEPS = 3


@dataclass(frozen=True)
class Ring:
    """Tables, and random residues in place of a key: time does not depend on what they are."""

    params: Params
    tables: Tables
    key: NDArray[np.float64]


def make_ring(degree: int, levels: int, prime_bits: float) -> Ring:
    """A ring with `levels` data primes and one special prime."""
    params = make_params(degree, [prime_bits] * levels, prime_bits)
    return Ring(params, make_tables(params), _residues(levels, 2, levels + 1, degree))


def operations(ring: Ring, level: int) -> Iterator[tuple[Kind, Callable[[], object]]]:
    """Every kind of operation that works at `level`, into arrays that are there already, as the evaluator does."""
    degree, t = ring.params.poly_modulus_degree, ring.tables
    value, product, plain = _residues(2, level, degree), _residues(3, level, degree), _residues(level, degree)
    order = rotation_order(galois_element(STEPS, degree), degree)
    rows = [*range(level), len(t.primes) - 1]
    moduli = np.stack([t.primes[rows], t.inverses[rows]], axis=1)
    digits, total = np.empty((level, level + 1, degree)), np.empty((2, level + 1, degree))
    result, squares, lower = np.empty_like(value), np.empty_like(product), np.empty((2, level - 1, degree))
    scratch = np.empty((3, degree))

    def switched(source: Array) -> None:
        arithmetic.digits_of(source[-1], digits, scratch[:2], t)
        arithmetic.add_switched(total, True, digits, ring.key, source[:-1], t.special, order, moduli, scratch[:2])
        arithmetic.divide(total, True, result, scratch, t)

    yield Kind.ADD, lambda: arithmetic.add_value(total, False, value, moduli)
    yield Kind.MULTIPLY_PLAIN, lambda: arithmetic.add_product(total, False, value, plain, moduli)
    yield Kind.SQUARE, lambda: arithmetic.square(value, squares, moduli)
    yield Kind.ROTATE, lambda: switched(value)
    yield Kind.RELINEARIZE, lambda: switched(product)
    if level > 1:
        yield Kind.RESCALE, lambda: arithmetic.divide(value, False, lower, scratch, t)


def _residues(*shape: int) -> NDArray[np.float64]:
    return np.rint(np.random.default_rng(0).uniform(-(2**20), 2**20, shape))
