"""Modular arithmetic on residues held as float64, exact for primes of at most 50 bits. Compiled by numba.

With h = x * w rounded and l = fma(x, w, -h), h + l is the exact product. q = rint(x * w / p) is the quotient to within
one. So fma(-q, p, h) + l is the exact product minus a multiple of p: an integer that fits into 53 bits (the technique
of van der Hoeven and Lecerf, "Modular SIMD arithmetic in Mathemagix"; bounds below derived). Compilers turn loops of
it into vector instructions, which 64-bit integer products do not allow.

Ranges (derived). A reduced residue lies within p / 2, up to rounding. Let p be below 2^50, |x| = X p and |w| = W p.
The quotient before rounding is off by less than 3 X W p 2^-53 for `times` and 2 X W p 2^-53 for `times_known`: each
rounding, and the stored inverse or quotient, adds 2^-53 of it. So products lie within (1/2 + 3/8 X W) p and (1/2 + 1/4
X W) p, and are integers below 2^53 while X W is below 8. All sums must stay below 2^53, that is 8 p. Primes have at
most `secure.params.ENGINE_PRIME_BITS` bits.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from secure.engine.compiled import inlined
from secure.engine.vectors import vector

#: How many run-time checks that arrays do not overlap LLVM may generate. By default it allows too few for these
#: kernels.
llvmlite.binding.set_option("cipherpress", "-runtime-memory-check-threshold=128")


def _float_intrinsic(name: str, kind: Any, arity: int) -> Any:
    """(signature, code generator) of an LLVM floating-point intrinsic on `arity` numbers or vectors."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        native = arguments[0].type
        suffix = "v8f64" if kind is vector else "f64"
        function_type = ir.FunctionType(native, [native] * arity)
        function = cgutils.get_or_insert_function(builder.module, function_type, f"llvm.{name}.{suffix}")
        return builder.call(function, arguments)

    return kind(*[kind] * arity), generate


def _fma(typing_context: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z, rounded once."""
    return _float_intrinsic("fma", vector if x is vector else types.float64, 3)


def _rint(typing_context: Any, x: Any) -> Any:
    """The nearest integer, ties to even."""
    return _float_intrinsic("rint", vector if x is vector else types.float64, 1)


fma: Any = intrinsic(_fma)
rint: Any = intrinsic(_rint)


@inlined
def common_start(prime: float) -> float:
    """What the high part of a sum of products starts from."""
    power = 1.0
    while power < prime:
        power *= 2
    return 12 * power * power


@inlined
def with_product(x: float, y: float, high: float, low: float) -> tuple[float, float]:
    """The high and the low part of a sum after x * y was added to it, exactly."""
    after = fma(x, y, high)
    return after, low + fma(x, y, high - after)


@inlined
def collected(high: float, low: float, start: float, prime: float, inverse: float) -> float:
    """A sum of at most four products modulo the prime, not reduced."""
    whole = high - start
    return fma(-rint(whole * inverse), prime, whole) + low


@inlined
def reduced(x: float, prime: float, inverse: float) -> float:
    """x minus the nearest multiple of the prime."""
    return fma(-rint(x * inverse), prime, x)


@inlined
def times_known(x: float, factor: float, factor_over_prime: float, prime: float) -> float:
    """x * factor modulo the prime, for a factor whose quotient by the prime is known beforehand."""
    high = x * factor
    low = fma(x, factor, -high)
    return fma(-rint(x * factor_over_prime), prime, high) + low


@inlined
def times(x: float, y: float, prime: float, inverse: float) -> float:
    """x * y modulo the prime."""
    high = x * y
    low = fma(x, y, -high)
    return fma(-rint(high * inverse), prime, high) + low
