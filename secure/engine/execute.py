"""Runs the instructions of a program one after the other, without the interpreter between them. Compiled by numba.

If Python called every kernel, the interpreter would spend time on arrays and locks at every call, and the kernels' data
would push its code out of the caches.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secure.engine import arithmetic, base_change, compact, grouped, products, switched
from secure.engine.addresses import ADDRESS, ARRAYS, FLAG, KERNEL, ROWS, TOGETHER, moduli_at, numbers_at, residues_at
from secure.engine.bases import Bases
from secure.engine.compiled import kernel
from secure.engine.program import MAX_ARRAYS, Instruction, Kernel
from secure.engine.tables import Tables


def encoded(instructions: tuple[Instruction, ...]) -> NDArray[np.int64]:
    """The instructions as the array (instructions, ARRAYS + MAX_ARRAYS) that `execute` reads."""
    code = np.zeros((len(instructions), ARRAYS + MAX_ARRAYS), dtype=np.int64)
    for row, one in zip(code, instructions, strict=True):
        row[KERNEL], row[FLAG], row[TOGETHER] = one.kernel, one.flag, one.together
        row[ARRAYS : ARRAYS + len(one.arrays)] = one.arrays
    return code


def compile_ahead(degree: int, tables: Tables, bases: Bases) -> None:
    """Compile `execute`, or load it from the disk, by running no instruction: the first request does not wait for
    it."""
    nothing = np.zeros((0, ARRAYS + MAX_ARRAYS), dtype=np.int64)
    execute(0, nothing, 0, 0, np.zeros((0, ROWS + 1), dtype=np.int64), degree, np.zeros((0, degree)), tables, bases)


@kernel
def execute(
    team: int, code: NDArray[np.int64], first: int, end: int, places: NDArray[np.int64], degree: int,
    scratch: NDArray[np.float64], t: Tables, b: Bases,
) -> None:  # fmt: skip
    """Run instructions first to end - 1.

    places: (places, 3), an address and two dimensions each. scratch: (scratch_rows, N).
    """
    after = first
    while after < end:
        step, after = after, min(after + code[after, TOGETHER], end)
        which, flag, at = code[step, KERNEL], code[step, FLAG] != 0, code[step, ARRAYS:]
        result = residues_at(places, at[0], degree)
        source = residues_at(places, at[1], degree)
        if which == Kernel.ADD_SWITCHED:
            switched.add_switched(team, places, code, step, after, degree, scratch, t, b.specials)
        elif (which == Kernel.ADD_PRODUCT or which == Kernel.ADD_FOUR_PRODUCTS) and (
            after > step + 1 or compact.any_compact(places, code[step])
        ):
            compact.add_products(team, places, code, step, after, degree, scratch, t)
        elif which == Kernel.ADD_PRODUCT:
            constant = residues_at(places, at[2], degree)[0]
            arithmetic.add_product(team, result, flag, source, constant, moduli_at(places, at[3]))
        elif which == Kernel.ADD_FOUR_PRODUCTS:
            v1, v2 = residues_at(places, at[2], degree), residues_at(places, at[3], degree)
            v3 = residues_at(places, at[4], degree)
            c0, c1 = residues_at(places, at[5], degree)[0], residues_at(places, at[6], degree)[0]
            c2, c3 = residues_at(places, at[7], degree)[0], residues_at(places, at[8], degree)[0]
            moduli = moduli_at(places, at[9])
            arithmetic.add_four_products(team, result, flag, source, v1, v2, v3, c0, c1, c2, c3, moduli)
        elif which == Kernel.ADD_VALUE:
            arithmetic.add_value(team, result, flag, source, moduli_at(places, at[2]))
        elif which == Kernel.ADD_SCALED:
            factors = numbers_at(places[at[2], ADDRESS], len(t.primes))
            arithmetic.add_scaled(team, result, source, factors, moduli_at(places, at[3]))
        elif which == Kernel.SQUARE:
            arithmetic.square(team, source, result, moduli_at(places, at[2]))
        elif which == Kernel.MULTIPLY:
            products.multiply(team, source, residues_at(places, at[2], degree), result, moduli_at(places, at[3]))
        elif which == Kernel.TAKE_APART:
            if b.hybrid:
                grouped.take_apart(team, source[-1], result, scratch, t, b)
            else:
                base_change.digits_of(team, source[-1], result, scratch, t)
        elif b.hybrid and flag and which in (Kernel.DIVIDE, Kernel.DIVIDE_LAST_PART, Kernel.DIVIDE_JOINTLY):
            value = source[-1:] if which == Kernel.DIVIDE_LAST_PART else source
            grouped.divide_by_group(team, value, result, scratch, t, b)
        elif which == Kernel.DIVIDE:
            base_change.divide(team, source, flag, result, scratch, t)
        elif which == Kernel.DIVIDE_LAST_PART:
            base_change.divide(team, source[-1:], flag, result, scratch, t)
        elif which == Kernel.DIVIDE_JOINTLY:
            base_change.divide_jointly(team, source, result, scratch, t)
        elif which == Kernel.DROP:
            result[:] = source[:, :-1]
