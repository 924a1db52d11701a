"""Eight float64 numbers as one value in kernels, so that a butterfly compiles to vector instructions. Compiled by
numba.

LLVM vectorizes plain loops only with run-time checks that no two slices overlap. In short loops these checks take
longer than the work. A machine with narrower registers uses two or four of them per vector.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.errors import TypingError
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

LANES = 8
_IR = ir.VectorType(ir.DoubleType(), LANES)
_INDEX = ir.IntType(32)


class VectorType(types.Type):
    """numba's type of eight float64."""

    def __init__(self) -> None:
        super().__init__(name="vector")


vector = VectorType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _IR)


def _check_contiguous(*arrays: Any) -> None:
    """Vectors are loaded from and stored to adjacent numbers; strided arrays are refused."""
    for array in arrays:
        if not isinstance(array, types.Array) or array.ndim != 1 or array.layout != "C":
            raise TypingError(f"vectors are loaded from contiguous arrays of one dimension, not from {array}")


def _place(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, value=array).data
    return builder.bitcast(builder.gep(data, [index]), _IR.as_pointer())


def _load(typing_context: Any, array: Any, index: Any) -> Any:
    """array[index : index + 8] of a contiguous array; no bounds are checked."""
    _check_contiguous(array)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_place(context, builder, signature.args[0], *arguments), align=8)

    return vector(array, types.intp), generate


def _load_integers(typing_context: Any, array: Any, index: Any) -> Any:
    """array[index : index + 8] of a contiguous array of integers of at most 32 bits, as numbers; no bounds are
    checked."""
    _check_contiguous(array)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, value=arguments[0]).data
        kind = ir.VectorType(ir.IntType(array.dtype.bitwidth), LANES)
        place = builder.bitcast(builder.gep(data, [arguments[1]]), kind.as_pointer())
        convert = builder.sitofp if array.dtype.signed else builder.uitofp
        return convert(builder.load(place, align=1), _IR)

    return vector(array, types.intp), generate


def _in_reverse(typing_context: Any, value: Any) -> Any:
    """The eight numbers in the opposite order."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        order = ir.Constant(ir.VectorType(_INDEX, LANES), list(reversed(range(LANES))))
        return builder.shuffle_vector(arguments[0], ir.Constant(_IR, ir.Undefined), order)

    return vector(vector), generate


def _store(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    """array[index : index + 8] = value; no bounds are checked."""
    _check_contiguous(array)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _place(context, builder, signature.args[0], *arguments[:2]), align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


def _splat(typing_context: Any, value: Any) -> Any:
    """A vector of eight equal numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        undefined = ir.Constant(_IR, ir.Undefined)
        first = builder.insert_element(undefined, arguments[0], ir.Constant(_INDEX, 0))
        return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_INDEX, LANES), [0] * LANES))

    return vector(types.float64), generate


def _move_transposed(
    typing_context: Any, source: Any, start: Any, step: Any, target: Any, to_start: Any, to_step: Any
) -> Any:
    """Transpose an 8 x 8 square.

    Its rows are eight vectors of the source, `step` apart, from `start` on. Its columns are written to the target in
    the same way.
    """
    _check_contiguous(source, target)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def places(which: int) -> list[Any]:
            array, first, distance = arguments[which : which + 3]
            offsets = [builder.mul(distance, ir.Constant(distance.type, row)) for row in range(LANES)]
            return [
                _place(context, builder, signature.args[which], array, builder.add(first, offset)) for offset in offsets
            ]

        rows = [builder.load(place, align=8) for place in places(0)]
        for width in (1, 2, 4):
            low = [lane if not lane & width else lane - width + LANES for lane in range(LANES)]
            high = [lane + width if not lane & width else lane + LANES for lane in range(LANES)]
            masks = [ir.Constant(ir.VectorType(_INDEX, LANES), mask) for mask in (low, high)]
            for first in range(LANES):
                if not first & width:
                    pair = rows[first], rows[first + width]
                    rows[first], rows[first + width] = (builder.shuffle_vector(*pair, mask) for mask in masks)
        for row, place in zip(rows, places(3), strict=True):
            builder.store(row, place, align=8)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, target, types.intp, types.intp), generate


def _operator(function: Any, instruction: str) -> None:
    """Define a Python operator on two vectors by an instruction of the LLVM builder."""

    @type_callable(function)
    def typed(context: Any) -> Any:
        return lambda left, right: vector if left is vector and right is vector else None

    @lower_builtin(function, vector, vector)
    def lowered(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return getattr(builder, instruction)(*arguments)


for _function, _instruction in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    _operator(_function, _instruction)


@type_callable(operator.neg)
def _negative_type(context: Any) -> Any:
    return lambda value: vector if value is vector else None


@lower_builtin(operator.neg, vector)
def _negative(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.fneg(arguments[0])


load: Any = intrinsic(_load)
load_integers: Any = intrinsic(_load_integers)
in_reverse: Any = intrinsic(_in_reverse)
store: Any = intrinsic(_store)
splat: Any = intrinsic(_splat)
move_transposed: Any = intrinsic(_move_transposed)
