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
    """Every kind of operation that works at `level`, each call making a new result as the evaluator does."""
    degree, t = ring.params.poly_modulus_degree, ring.tables
    value, product = _residues(2, level, degree), _residues(3, level, degree)
    keys, plains, others = cycle(ring.keys), cycle(_cold(level, degree)), cycle(_cold(2, level, degree))
    order = rotation_order(galois_element(STEPS, degree), degree)

    def rotate() -> object:
        total = arithmetic.switched(arithmetic.digits_of(value[1], t), next(keys), t)
        arithmetic.add_extended_part(total, value, 1, t)
        return arithmetic.divided(arithmetic.permuted(total, order), True, t)

    def relinearize() -> object:
        total = arithmetic.switched(arithmetic.digits_of(product[2], t), next(keys), t)
        arithmetic.add_extended_part(total, product, 2, t)
        return arithmetic.divided(total, True, t)

    yield Kind.ADD, lambda: arithmetic.added(value, next(others), False, t)
    yield Kind.MULTIPLY_PLAIN, lambda: arithmetic.multiplied(next(others), next(plains), t)
    yield Kind.SQUARE, lambda: arithmetic.squared(next(others), t)
    yield Kind.ROTATE, rotate
    yield Kind.RELINEARIZE, relinearize
    if level > 1:
        yield Kind.RESCALE, lambda: arithmetic.divided(next(others), False, t)


def _cold(*shape: int) -> tuple[NDArray[np.float64], ...]:
    one = _residues(*shape)
    return tuple(one.copy() for _ in range(max(1, COLD_BYTES // one.nbytes)))


def _residues(*shape: int) -> NDArray[np.float64]:
    return np.rint(np.random.default_rng(0).uniform(-(2**20), 2**20, shape))
