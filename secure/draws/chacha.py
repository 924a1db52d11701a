"""ChaCha20 (RFC 8439, section 2.3), eight blocks at a time: one lane of a vector is one block. Compiled by numba.

A stream is the blocks of one key and one nonce, from block number 0 on. Its words are little-endian, as in the RFC.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic
from numpy.typing import NDArray

from secure.draws.compiled import kernel

Words32 = NDArray[np.uint32]

KEY_BYTES = 32
#: Words of 32 bits of a block, and blocks that are made together.
BLOCK_WORDS, LANES = 16, 8
#: Words of 32 bits that are made together.
BATCH_WORDS = BLOCK_WORDS * LANES
#: Where the number of the block stands in the state, and where the nonce begins.
COUNTER, NONCE = 12, 13

_CONSTANTS = np.frombuffer(b"expand 32-byte k", dtype="<u4")
_DOUBLE_ROUNDS = 10
#: The words of the quarter rounds of a double round: four columns, then four diagonals.
_QUARTERS = tuple(
    (column, 4 + (column + shift) % 4, 8 + (column + 2 * shift) % 4, 12 + (column + 3 * shift) % 4)
    for shift in (0, 1)
    for column in range(4)
)
#: A quarter round: a += b, d = (d ^ a) <<< 16, and so on, as (added to, addend, mixed, bits) by place in the quarter.
_STEPS = ((0, 1, 3, 16), (2, 3, 1, 12), (0, 1, 3, 8), (2, 3, 1, 7))
_I32 = ir.IntType(32)
_VECTOR = ir.VectorType(_I32, LANES)


def initial_state(key: bytes, nonce: tuple[int, int, int]) -> Words32:
    """(16,): the state of block 0 for a key of 32 bytes and a nonce of three words."""
    state = np.zeros(BLOCK_WORDS, dtype=np.uint32)
    state[:4], state[4:COUNTER], state[NONCE:] = _CONSTANTS, np.frombuffer(key, dtype="<u4"), nonce
    return state


def keystream(key: bytes, nonce: tuple[int, int, int], words: int, counter: int = 0) -> Words32:
    """(words,): the stream of a key and a nonce from a block number on."""
    result = np.empty(-(-words // BATCH_WORDS) * BATCH_WORDS, dtype=np.uint32)
    fill(initial_state(key, nonce), np.uint32(counter), result)
    return result[:words]


def _eight_blocks(typing_context: Any, state: Any, numbers: Any, nonces: Any, result: Any, start: Any) -> Any:
    """result[start : start + 128] = eight blocks of a state, one after the other; no bounds are checked.

    numbers (8,): of the blocks. nonces (8,): the last words of their nonces.
    """
    for array in (state, numbers, nonces, result):
        if not isinstance(array, types.Array) or array.layout != "C" or array.dtype != types.uint32:
            raise TypingError(f"blocks are made in contiguous arrays of uint32, not in {array}")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def place(which: int, index: Any) -> Any:
            array = context.make_array(signature.args[which])(context, builder, value=arguments[which])
            return builder.gep(array.data, [index])

        first = [_splat(builder, builder.load(place(0, _index(word)))) for word in range(BLOCK_WORDS)]
        for word, which in ((COUNTER, 1), (BLOCK_WORDS - 1, 2)):
            lanes = builder.bitcast(place(which, _index(0)), _VECTOR.as_pointer())
            first[word] = builder.load(lanes, align=4)
        slots = [cgutils.alloca_once_value(builder, value) for value in first]
        with cgutils.for_range(builder, _index(_DOUBLE_ROUNDS)):
            state = [builder.load(slot) for slot in slots]
            _double_round(builder, state)
            for slot, value in zip(slots, state, strict=True):
                builder.store(value, slot)
        words = [builder.add(builder.load(slot), value) for slot, value in zip(slots, first, strict=True)]
        for half in (0, LANES):
            for lane, row in enumerate(_transposed(builder, words[half : half + LANES])):
                target = place(3, builder.add(arguments[4], _index(lane * BLOCK_WORDS + half)))
                builder.store(row, builder.bitcast(target, _VECTOR.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(state, numbers, nonces, result, types.intp), generate


def _index(value: int) -> Any:
    return ir.Constant(ir.IntType(64), value)


def _splat(builder: Any, value: Any) -> Any:
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_VECTOR, [0] * LANES))


def _double_round(builder: Any, state: list[Any]) -> None:
    """A column round and a diagonal round, in place."""
    rotation_type = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    rotation = cgutils.get_or_insert_function(builder.module, rotation_type, f"llvm.fshl.v{LANES}i32")
    for quarter in _QUARTERS:
        for added_to, addend, mixed, bits in _STEPS:
            total = builder.add(state[quarter[added_to]], state[quarter[addend]])
            both = builder.xor(state[quarter[mixed]], total)
            state[quarter[added_to]] = total
            state[quarter[mixed]] = builder.call(rotation, [both, both, ir.Constant(_VECTOR, [bits] * LANES)])


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """The columns of eight vectors."""
    rows = list(rows)
    for width in (1, 2, 4):
        low = [lane if not lane & width else lane - width + LANES for lane in range(LANES)]
        high = [lane + width if not lane & width else lane + LANES for lane in range(LANES)]
        masks = [ir.Constant(_VECTOR, mask) for mask in (low, high)]
        for first in range(LANES):
            if not first & width:
                pair = rows[first], rows[first + width]
                rows[first], rows[first + width] = (builder.shuffle_vector(*pair, mask) for mask in masks)
    return rows


eight_blocks: Any = intrinsic(_eight_blocks)


@kernel
def fill(state: Words32, counter: Any, result: Words32) -> None:
    """result (multiple of 128,): the stream of a state from block number `counter` on."""
    numbers, nonces = np.empty(LANES, dtype=np.uint32), np.empty(LANES, dtype=np.uint32)
    nonces[:] = state[BLOCK_WORDS - 1]
    for start in range(0, len(result), BATCH_WORDS):
        for lane in range(LANES):
            numbers[lane] = np.uint32(counter + start // BLOCK_WORDS + lane)
        eight_blocks(state, numbers, nonces, result, start)
