"""Products of packed codes with the digits of residues, on chunks of positions. Compiled by numba.

Eight pairs of 16-bit integers are one value in the kernels. Pairs are multiplied, both products added up, and the eight
sums added to eight 32-bit sums. LLVM makes one instruction of the product where there is one (`pmaddwd` of x86), and
several on other processors; the intrinsics are written without any processor's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model
from numpy.typing import NDArray

from secure.engine.compiled import kernel
from secure.engine.modular import fma, reduced, times_known
from secure.engine.vectors import LANES, load, splat, store, vector
from secure.residues.digits import DIGIT_BITS, GROUP, TILE

Array = NDArray[np.float64]

_NUMBERS = ir.VectorType(ir.DoubleType(), LANES)
_PAIRS = ir.VectorType(ir.IntType(32), LANES)
_SINGLES = ir.VectorType(ir.IntType(16), 2 * LANES)
_PRODUCTS = ir.VectorType(ir.IntType(32), 2 * LANES)
_BASE, _HALF_GROUP = float(1 << DIGIT_BITS), GROUP // 2


class PairsType(types.Type):
    """numba's type of eight pairs of 16-bit integers, or of eight 32-bit sums."""

    def __init__(self) -> None:
        super().__init__(name="pairs")


pairs = PairsType()


@register_model(PairsType)
class _PairsModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _PAIRS)


def _constant(value: int) -> Any:
    return ir.Constant(_PAIRS, [value] * LANES)


def _place(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, value=array).data
    return builder.bitcast(builder.gep(data, [index]), _PAIRS.as_pointer())


def _load_pairs(typing_context: Any, array: Any, index: Any) -> Any:
    """array[index : index + 8] of a contiguous array of int32; no bounds are checked."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_place(context, builder, signature.args[0], *arguments), align=4)

    return pairs(array, types.intp), generate


def _store_digits(typing_context: Any, array: Any, index: Any, even: Any, odd: Any) -> Any:
    """array[index : index + 8] = eight pairs of digits: of an even column, and of the odd one after it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        low, high = (builder.fptosi(value, _PAIRS) for value in arguments[2:])
        low, high = builder.and_(low, _constant((1 << DIGIT_BITS) - 1)), builder.shl(high, _constant(DIGIT_BITS))
        place = _place(context, builder, signature.args[0], *arguments[:2])
        builder.store(builder.or_(low, high), place, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector, vector), generate


def _zeros(typing_context: Any) -> Any:
    """Eight sums of nothing."""
    return pairs(), lambda context, builder, signature, arguments: _constant(0)


def _add_products(typing_context: Any, sums: Any, digits: Any, codes: Any, index: Any) -> Any:
    """sums + the two products of every pair of digits with the pair codes[index]; no bounds are checked."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[2])(context, builder, value=arguments[2]).data
        code, undefined = builder.load(builder.gep(data, [arguments[3]])), ir.Constant(_PAIRS, ir.Undefined)
        first = builder.insert_element(undefined, code, ir.Constant(ir.IntType(32), 0))
        everywhere = builder.shuffle_vector(first, undefined, _constant(0))
        left, right = (
            builder.sext(builder.bitcast(value, _SINGLES), _PRODUCTS) for value in (arguments[1], everywhere)
        )
        products, nothing = builder.mul(left, right), ir.Constant(_PRODUCTS, ir.Undefined)
        even, odd = (
            builder.shuffle_vector(products, nothing, ir.Constant(_PAIRS, list(range(first, 2 * LANES, 2))))
            for first in (0, 1)
        )
        return builder.add(arguments[0], builder.add(even, odd))

    return pairs(pairs, pairs, codes, types.intp), generate


def _as_numbers(typing_context: Any, sums: Any) -> Any:
    """Eight sums as float64."""
    return vector(pairs), lambda context, builder, signature, arguments: builder.sitofp(arguments[0], _NUMBERS)


def _floor(typing_context: Any, x: Any) -> Any:
    """The largest whole numbers that are not above x."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_NUMBERS, [_NUMBERS])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.floor.v8f64"), arguments)

    return vector(vector), generate


def _less_if_above(typing_context: Any, x: Any, highest: Any, prime: Any) -> Any:
    """x, or x - prime where x is above the highest."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, highest, prime = arguments
        return builder.select(builder.fcmp_ordered(">", x, highest), builder.fsub(x, prime), x)

    return vector(vector, vector, vector), generate


load_pairs: Any = intrinsic(_load_pairs)
store_digits: Any = intrinsic(_store_digits)
zeros: Any = intrinsic(_zeros)
add_products: Any = intrinsic(_add_products)
as_numbers: Any = intrinsic(_as_numbers)
floor: Any = intrinsic(_floor)
less_if_above: Any = intrinsic(_less_if_above)


# More than ten parameters, since kernels take plain arrays.
@kernel
def split_digits(
    work: Array, source: int, stride: int, columns: int, panel: int, digits: NDArray[np.int32], start: int, count: int,
    highest: float, prime: float,
) -> None:  # fmt: skip
    """The digits of a panel of TILE positions: for every digit, the lowest first, and every pair of columns TILE pairs.

    digits: the workspace as int32; start: where the digits lie in it. highest: the largest number with so many digits.
    """
    top, p, half, base, down = splat(highest), splat(prime), splat(0.5), splat(_BASE), splat(1 / _BASE)
    pairs = (columns + 1) // 2
    for pair in range(pairs):
        for lane in range(0, TILE, LANES):
            place = source + 2 * pair * stride + panel + lane
            even = less_if_above(load(work, place), top, p)
            odd = splat(0.0)
            if 2 * pair + 1 < columns:
                odd = less_if_above(load(work, place + stride), top, p)
            for digit in range(count):
                to = start + (digit * pairs + pair) * TILE + lane
                if digit + 1 < count:
                    even_rest, odd_rest = floor(fma(even, down, half)), floor(fma(odd, down, half))
                    store_digits(digits, to, fma(-even_rest, base, even), fma(-odd_rest, base, odd))
                    even, odd = even_rest, odd_rest
                else:
                    store_digits(digits, to, even, odd)


# More than ten parameters, since kernels take plain arrays; long, since accumulators are variables of their own.
@kernel
def digit_product(
    digits: NDArray[np.int32], start: int, count: int, pairs: int, codes: NDArray[np.int32],
    work: Array, target: int, stride: int, rows: int, bias: Array, constant: bool, prime: float, inverse: float,
) -> None:  # fmt: skip
    """codes @ digits for every digit, put together modulo the prime, and the bias where `constant`; one panel.

    codes: as of `digits.packed_codes`. target: the panel of the first row of the result.

    Ranges (derived): a sum is below 2^31. What is put together so far is below 0.6 q + 2^31, and 2^16 times that modulo
    q is within 0.6 q again: the quotient is below 2^32, so its rounding is off by less than 2^-19. With a bias, which
    is within q / 2, that stays below 2^53, and is reduced.
    """
    p, i, base, base_over_prime = splat(prime), splat(inverse), splat(_BASE), splat(_BASE * inverse)
    for first in range(0, rows, GROUP):
        left = min(GROUP, rows - first)
        for digit in range(count - 1, -1, -1):
            a0 = a1 = b0 = b1 = c0 = c1 = d0 = d1 = e0 = e1 = f0 = f1 = zeros()
            x = start + digit * pairs * TILE
            if left > _HALF_GROUP:
                for pair in range(pairs):
                    x0, x1 = load_pairs(digits, x + pair * TILE), load_pairs(digits, x + pair * TILE + LANES)
                    code = first * pairs + pair * GROUP
                    a0, a1 = add_products(a0, x0, codes, code), add_products(a1, x1, codes, code)
                    b0, b1 = add_products(b0, x0, codes, code + 1), add_products(b1, x1, codes, code + 1)
                    c0, c1 = add_products(c0, x0, codes, code + 2), add_products(c1, x1, codes, code + 2)
                    d0, d1 = add_products(d0, x0, codes, code + 3), add_products(d1, x1, codes, code + 3)
                    e0, e1 = add_products(e0, x0, codes, code + 4), add_products(e1, x1, codes, code + 4)
                    f0, f1 = add_products(f0, x0, codes, code + 5), add_products(f1, x1, codes, code + 5)
            else:
                for pair in range(pairs):
                    x0, x1 = load_pairs(digits, x + pair * TILE), load_pairs(digits, x + pair * TILE + LANES)
                    code = first * pairs + pair * _HALF_GROUP
                    a0, a1 = add_products(a0, x0, codes, code), add_products(a1, x1, codes, code)
                    b0, b1 = add_products(b0, x0, codes, code + 1), add_products(b1, x1, codes, code + 1)
                    c0, c1 = add_products(c0, x0, codes, code + 2), add_products(c1, x1, codes, code + 2)
            for row in range(left):
                if row == 0:
                    u, v = as_numbers(a0), as_numbers(a1)
                elif row == 1:
                    u, v = as_numbers(b0), as_numbers(b1)
                elif row == 2:
                    u, v = as_numbers(c0), as_numbers(c1)
                elif row == 3:
                    u, v = as_numbers(d0), as_numbers(d1)
                elif row == 4:
                    u, v = as_numbers(e0), as_numbers(e1)
                else:
                    u, v = as_numbers(f0), as_numbers(f1)
                y = target + (first + row) * stride
                if digit + 1 < count:
                    u = u + times_known(load(work, y), base, base_over_prime, p)
                    v = v + times_known(load(work, y + LANES), base, base_over_prime, p)
                if digit == 0:
                    added = splat(bias[first + row] if constant else 0.0)
                    u, v = reduced(u + added, p, i), reduced(v + added, p, i)
                store(work, y, u)
                store(work, y + LANES, v)
