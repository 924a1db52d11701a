"""Single operations of a Plan under the engine, ready to be timed.

Sums of switched ciphertexts are divided once. Keys and constants come from memory, as in a plan, which reads each of
them once or a few times per request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from secure.engine import arithmetic, base_change, products
from secure.engine.buffers import Arena
from secure.engine.execute import encoded
from secure.engine.program import Instruction, Kernel, scratch_rows
from secure.engine.running import places_of
from secure.engine.switched import add_switched
from secure.engine.tables import Tables, make_tables, rotation_order
from secure.engine.team import ALONE
from secure.params import Params, make_params
from secure.plan import Kind, galois_element

Array = NDArray[np.float64]

STEPS = 3
#: Bytes that a plan of a few dozen rotations reads once: more than a core's share of the last-level cache.
KEYS_BYTES = 48 << 20
#: Bytes of a stage's rotated values: more than the second-level cache.
VALUES_BYTES = 4 << 20


@dataclass(frozen=True)
class Ring:
    """Tables, and random residues in place of keys, constants and values.

    Times depend on where these lie in memory, not on their values. Each operation takes the next of them, as in a plan,
    where hardly a key or constant is read twice and none is in a cache yet.
    """

    params: Params
    tables: Tables
    keys: Iterator[Array]
    constants: Iterator[Array]
    values: Iterator[Array]


def make_ring(degree: int, levels: int, prime_bits: float) -> Ring:
    """A ring with `levels` data primes and one special prime."""
    params = make_params(degree, [prime_bits] * levels, prime_bits)
    return Ring(
        params,
        make_tables(params),
        _in_turn(KEYS_BYTES, levels, 2, levels + 1, degree),
        _in_turn(KEYS_BYTES, levels, degree),
        _in_turn(VALUES_BYTES, 2, levels, degree),
    )


def operations(ring: Ring, level: int) -> Iterator[tuple[Kind, Callable[[], object]]]:
    """Every kind of operation that works at `level`; results go into arrays made before, as in the evaluator."""
    degree, t = ring.params.poly_modulus_degree, ring.tables
    value, other, product = _residues(2, level, degree), _residues(2, level, degree), _residues(3, level, degree)
    order = rotation_order(galois_element(STEPS, degree), degree)
    rows = [*range(level), len(t.primes) - 1]
    moduli = np.stack([t.primes[rows], t.inverses[rows]], axis=1)
    digits, total = np.empty((level, level + 1, degree)), np.empty((2, level + 1, degree))
    result, squares, lower = np.empty_like(value), np.empty_like(product), np.empty((2, level - 1, degree))
    scratch = np.empty((scratch_rows(ring.params, threads=1), degree))

    code = encoded((Instruction(Kernel.ADD_SWITCHED, (0, 1, 2, 3, 4, 5, 6), value=0, flag=True),))

    def switched(source: Array) -> None:
        base_change.digits_of(ALONE, source[-1], digits, scratch, t)
        places = places_of(total, digits, next(ring.keys), source, t.special, order, moduli)
        add_switched(ALONE, places, code, 0, 1, degree, scratch, t, 1)
        base_change.divide(ALONE, total, True, result, scratch, t)

    def multiply_plain() -> None:
        arithmetic.add_product(ALONE, total, False, next(ring.values), next(ring.constants)[:level], moduli)

    yield Kind.ADD, lambda: arithmetic.add_value(ALONE, total, False, value, moduli)
    yield Kind.MULTIPLY_PLAIN, multiply_plain
    yield Kind.SQUARE, lambda: arithmetic.square(ALONE, value, squares, moduli)
    yield Kind.MULTIPLY, lambda: products.multiply(ALONE, value, other, squares, moduli)
    yield Kind.ROTATE, lambda: switched(value)
    yield Kind.RELINEARIZE, lambda: switched(product)
    if level > 1:
        yield Kind.RESCALE, lambda: base_change.divide(ALONE, value, False, lower, scratch, t)


def _in_turn(total_bytes: int, *shape: int) -> Iterator[Array]:
    """As many arrays as fill this memory, over and over."""
    arena, first = Arena(), _residues(*shape)
    return cycle([arena.copy(first) for _ in range(-(-total_bytes // first.nbytes))])


def _residues(*shape: int) -> NDArray[np.float64]:
    return np.rint(np.random.default_rng(0).uniform(-(2**20), 2**20, shape))
