"""Operations of a Plan under the engine, ready to be timed: lone ones, switched sums divided at once.

A plan meets every key and every plaintext once or a few times a request, so they come from beyond the core's own cache. Calls
therefore go round through several of them: with one, products took half the time that they take in a plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from secure.engine import arithmetic
from secure.engine.tables import Tables, make_tables, rotation_order
from secure.params import Params, make_params
from secure.plan import Kind, galois_element

Array = NDArray[np.float64]

STEPS = 3
#: More than a core's own cache: what calls of one operation read before they read the same again.
COLD_BYTES = 8 * 2**20


@dataclass(frozen=True)
class Ring:
    """Tables, and random residues in place of keys: time does not depend on what they are."""

    params: Params
    tables: Tables
    keys: tuple[NDArray[np.float64], ...]


def make_ring(degree: int, levels: int, prime_bits: float) -> Ring:
    """A ring with `levels` data primes and one special prime."""
    params = make_params(degree, [prime_bits] * levels, prime_bits)
    return Ring(params, make_tables(params), _cold(levels, 2, levels + 1, degree))


def operations(ring: Ring, level: int) -> Iterator[tuple[Kind, Callable[[], object]]]:
    """Every kind of operation that works at `level`, into arrays that are there already, as the evaluator does."""
    degree, t = ring.params.poly_modulus_degree, ring.tables
    value, product = _residues(2, level, degree), _residues(3, level, degree)
    keys, plains, others = cycle(ring.keys), cycle(_cold(level, degree)), cycle(_cold(2, level, degree))
    order = rotation_order(galois_element(STEPS, degree), degree)
    rows = [*range(level), len(t.primes) - 1]
    moduli = np.stack([t.primes[rows], t.inverses[rows]], axis=1)
    digits, total = np.empty((level, level + 1, degree)), np.empty((2, level + 1, degree))
    result, squares, lower = np.empty_like(value), np.empty_like(product), np.empty((2, level - 1, degree))
    scratch = np.empty((3, degree))

    def switched(source: Array) -> None:
        arithmetic.digits_of(source[-1], digits, scratch[:2], t)
        arithmetic.add_switched(total, True, digits, next(keys), source[:-1], t.special, order, moduli, scratch[:2])
        arithmetic.divide(total, True, result, scratch, t)

    yield Kind.ADD, lambda: arithmetic.add_value(total, False, next(others), moduli)
    yield Kind.MULTIPLY_PLAIN, lambda: arithmetic.add_product(total, False, next(others), next(plains), moduli)
    yield Kind.SQUARE, lambda: arithmetic.square(next(others), squares, moduli)
    yield Kind.ROTATE, lambda: switched(value)
    yield Kind.RELINEARIZE, lambda: switched(product)
    if level > 1:
        yield Kind.RESCALE, lambda: arithmetic.divide(next(others), False, lower, scratch, t)


def _cold(*shape: int) -> tuple[Array, ...]:
    one = _residues(*shape)
    return tuple(one.copy() for _ in range(max(1, COLD_BYTES // one.nbytes)))


def _residues(*shape: int) -> NDArray[np.float64]:
    return np.rint(np.random.default_rng(0).uniform(-(2**20), 2**20, shape))
