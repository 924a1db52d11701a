"""Modular arithmetic on residues held as float64, exact for primes of at most 50 bits. Compiled by numba.

With h = x * w rounded and l = fma(x, w, -h), h + l is the exact product; q = rint(x * w / p) is the quotient to within one, so
fma(-q, p, h) + l is the exact product minus a multiple of p, an integer small enough for 53 bits (the technique of
van der Hoeven and Lecerf, "Modular SIMD arithmetic in Mathemagix"; bounds below derived). Compilers turn loops of
it into vector instructions, which no 64-bit integer product allows.

Residues are centred: a reduced one lies within +-p / 2 (and a rounding). Sums of up to six of them may be multiplied, no more, and
primes have at most `secure.params.ENGINE_PRIME_BITS`: beyond either the quotient is no longer known to within one.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

#: A butterfly reads and writes up to ten arrays; LLVM gives up on proving at run time that so many do not overlap unless told otherwise.
llvmlite.binding.set_option("cipherpress", "-runtime-memory-check-threshold=128")

#: Every kernel leaves the interpreter's lock, and is kept on disk after its first compilation.
kernel = njit(nogil=True, cache=True)
inlined = njit(nogil=True, cache=True, inline="always")


def _float_intrinsic(name: str, arity: int) -> Any:
    """numba's code generator for an LLVM floating-point intrinsic of so many float64 arguments."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        double = ir.DoubleType()
        function_type = ir.FunctionType(double, [double] * arity)
        return builder.call(builder.module.declare_intrinsic(name, [double], function_type), arguments)

    return generate


def _fma(typing_context: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z, rounded once."""
    return types.float64(types.float64, types.float64, types.float64), _float_intrinsic("llvm.fma", 3)


def _rint(typing_context: Any, x: Any) -> Any:
    """The nearest integer, ties to even."""
    return types.float64(types.float64), _float_intrinsic("llvm.rint", 1)


fma: Any = intrinsic(_fma)
rint: Any = intrinsic(_rint)


@inlined
def reduced(x: float, prime: float, inverse: float) -> float:
    """x minus the nearest multiple of the prime."""
    return fma(-rint(x * inverse), prime, x)


@inlined
def times_known(x: float, factor: float, factor_over_prime: float, prime: float) -> float:
    """x * factor modulo the prime for a factor whose quotient by the prime is known."""
    high = x * factor
    low = fma(x, factor, -high)
    return fma(-rint(x * factor_over_prime), prime, high) + low


@inlined
def times(x: float, y: float, prime: float, inverse: float) -> float:
    """x * y modulo the prime."""
    high = x * y
    low = fma(x, y, -high)
    return fma(-rint(high * inverse), prime, high) + low
