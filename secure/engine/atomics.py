"""Atomic operations on words of memory, cores, and calls of functions by address, for threads that work together.

Compiled by numba.
"""

from __future__ import annotations

import sys
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

WORD, _INT = ir.IntType(64), ir.IntType(32)


def _word(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, WORD.as_pointer())


def _look(typing_context: Any, address: Any) -> Any:
    """Read a word. Everything written before the word was written is then visible, too (acquire)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(_word(builder, arguments[0]), "acquire", 8)

    return types.intp(types.intp), generate


def _put(typing_context: Any, address: Any, value: Any) -> Any:
    """Write a word after everything that this thread wrote before (release)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store_atomic(arguments[1], _word(builder, arguments[0]), "release", 8)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), generate


def _increase(typing_context: Any, address: Any) -> Any:
    """Add one to a word atomically, after everything that this thread wrote before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.atomic_rmw("add", _word(builder, arguments[0]), WORD(1), "acq_rel")
        return context.get_dummy_value()

    return types.void(types.intp), generate


def _replace(typing_context: Any, address: Any, found: Any, wanted: Any) -> Any:
    """Compare and exchange: write the wanted word if the word is still the one found; whether it was."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, found, wanted = arguments
        pair = builder.cmpxchg(_word(builder, address), found, wanted, "acq_rel", "acquire")
        return builder.extract_value(pair, 1)

    return types.boolean(types.intp, types.intp, types.intp), generate


def _let_others(typing_context: Any) -> Any:
    """Yield the core to a waiting thread, if there is one."""
    return types.int32(), _on_linux("sched_yield")


def _this_core(typing_context: Any) -> Any:
    """The number of the core that this thread runs on."""
    return types.int32(), _on_linux("sched_getcpu")


def _sleep(typing_context: Any, microseconds: Any) -> Any:
    """Sleep. The system continues the thread on an idle core if there is one."""
    return types.int32(types.int32), _on_linux("usleep")


def _on_linux(name: str) -> Any:
    """The code generator of a call of a C function whose arguments are all int.

    On systems other than Linux, which may lack the function, it gives a zero. No helpers run there (`usable_cores`).
    """
    if sys.platform != "linux":
        return lambda *_: _INT(0)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        native = ir.FunctionType(_INT, [_INT] * len(arguments))
        return builder.call(cgutils.get_or_insert_function(builder.module, native, name), arguments)

    return generate


def _call(typing_context: Any, function: Any, piece: Any, worker: Any, place: Any) -> Any:
    """Call the function of type `function_type` at an address with three numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        native = function_type(context)
        nothing, error = (cgutils.alloca_once(builder, pointer.pointee) for pointer in native.args[:2])
        builder.call(builder.inttoptr(arguments[0], native.as_pointer()), [nothing, error, *arguments[1:]])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 4), generate


def function_type(context: Any) -> Any:
    """The LLVM type of a function of three numbers, by numba's calling convention, so that code inside can report
    errors."""
    return context.call_conv.get_function_type(types.none, [types.intp] * 3)


look: Any = intrinsic(_look)
put: Any = intrinsic(_put)
increase: Any = intrinsic(_increase)
replace: Any = intrinsic(_replace)
let_others: Any = intrinsic(_let_others)
this_core: Any = intrinsic(_this_core)
sleep: Any = intrinsic(_sleep)
call: Any = intrinsic(_call)
