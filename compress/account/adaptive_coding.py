"""An adaptive arithmetic code for a layer's codes: positions, signs and magnitudes in one string, no table. Pure numpy.

Row by row every weight is one decision: is it zero? Its probability is learned from earlier decisions in the same row,
in the same column and in the whole layer. This uses that pruning empties some inputs and outputs and spares others,
which Golomb-Rice codes of gaps cannot. Signs follow, and then magnitudes in unary with one learned probability per
level. The parts are textbook (Krichevsky-Trofimov estimates, a range coder with carry), their combination is ours.
`encode` and `decode` are the code; `string_bits` is its length without making it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int32]
Array = NDArray[np.float64]
Decisions = NDArray[np.bool_]

#: Probabilities are whole multiples of 2^-16, none is 0 or 1.
PROBABILITY_BITS = 16
CERTAIN = 2**PROBABILITY_BITS
#: Each row and column starts as if it had seen this many decisions at the density of the whole layer.
PRIOR_DECISIONS = 12.0
#: The interval of the coder starts at 2^48 and never falls below 2^40, so that probabilities are exact to 2^-24.
INTERVAL_BITS = 48
LEAST_INTERVAL = 2 ** (INTERVAL_BITS - 8)


def string_bits(codes: Codes, levels: int) -> tuple[int, int]:
    """Bits of the string of `encode`, as (positions, values), for codes (rows, columns) in [-levels, levels].

    Their sum is a whole number of bytes, and never less than the string has.
    """
    nonzero = codes != 0
    positions = _length(nonzero.ravel(), significance(nonzero).ravel())
    values = sum(decisions_bits(decisions) for decisions in _value_decisions(codes[nonzero], levels))
    whole = 8 * (int((positions + values) // 8) + 2)  # up to two bytes tell the last interval from its neighbours
    return int(positions), whole - int(positions)


def decisions_bits(decisions: Decisions) -> float:
    """Bits of a sequence of decisions (count,) with one probability that is learned along the way."""
    return _length(decisions, sequence(decisions))


def encode(codes: Codes, levels: int) -> bytes:
    """The string of codes (rows, columns) in [-levels, levels]."""
    nonzero = codes != 0
    coder = _Encoder()
    coder.put(nonzero.ravel(), significance(nonzero).ravel())
    for decisions in _value_decisions(codes[nonzero], levels):
        coder.put(decisions, sequence(decisions))
    return coder.finished()


def decode(string: bytes, shape: tuple[int, int], levels: int) -> Codes:
    """The codes (rows, columns) that `encode` was given; bytes after the string are ignored."""
    rows, columns = shape
    coder = _Decoder(string)
    nonzero = np.zeros(shape, dtype=bool)
    in_column = np.zeros(columns)
    in_layer = 0.0
    for row in range(rows):
        in_row = 0.0
        for column in range(columns):
            p = _probability(
                in_layer, float(row * columns + column), in_row, float(column), in_column[column], float(row)
            )
            if coder.take(int(p)):
                nonzero[row, column] = True
                in_layer, in_row, in_column[column] = in_layer + 1, in_row + 1, in_column[column] + 1
    count = int(nonzero.sum())
    signs = np.where(_taken(coder, count), 1, -1)
    magnitudes = np.ones(count, dtype=np.int32)
    for level in range(1, levels):
        reached = np.flatnonzero(magnitudes == level)
        magnitudes[reached] += _taken(coder, len(reached))
    result = np.zeros(shape, dtype=np.int32)
    result[nonzero] = signs * magnitudes
    return result


def _taken(coder: _Decoder, count: int) -> Decisions:
    """Encode or decode a sequence of decisions with one probability that is learned along the way."""
    found = np.zeros(count, dtype=bool)
    ones = 0
    for place in range(count):
        found[place] = coder.take(int(_learned(float(ones), float(place))))
        ones += int(found[place])
    return found


def significance(nonzero: Decisions) -> Array:
    """Probability, in units of 2^-16, that each weight is not zero, from those before it; nonzero (rows, columns)."""
    rows, columns = nonzero.shape
    ones = nonzero.astype(np.float64)
    return np.asarray(
        _probability(
            (np.cumsum(ones.ravel()) - ones.ravel()).reshape(rows, columns),
            np.arange(rows * columns, dtype=np.float64).reshape(rows, columns),
            np.cumsum(ones, axis=1) - ones,
            np.arange(columns, dtype=np.float64)[None, :],
            np.cumsum(ones, axis=0) - ones,
            np.arange(rows, dtype=np.float64)[:, None],
        )
    )


def sequence(decisions: Decisions) -> Array:
    """Probability, in units of 2^-16, of each decision (count,) being true, from those before it."""
    ones = np.cumsum(decisions.astype(np.float64)) - decisions
    return np.asarray(_learned(ones, np.arange(len(decisions), dtype=np.float64)))


def _value_decisions(values: Codes, levels: int) -> Iterator[Decisions]:
    """The decisions that make up the values: first the signs, then for each level which values exceed it."""
    magnitudes = np.abs(values)
    yield values > 0
    for level in range(1, levels):
        yield magnitudes[magnitudes >= level] > level


def _length(decisions: Decisions, probabilities: Array) -> float:
    taken = np.where(decisions, probabilities, CERTAIN - probabilities)
    return float(np.sum(PROBABILITY_BITS - np.log2(taken)))


def _probability(
    in_layer: Array | float, seen: Array | float,
    in_row: Array | float, seen_in_row: Array | float,
    in_column: Array | float, seen_in_column: Array | float,
) -> Array | float:  # fmt: skip
    """The odds of row and column multiplied, divided by those of the layer, as if rows and columns were independent."""
    layer = (in_layer + 0.5) / (seen + 1.0)
    row = (in_row + PRIOR_DECISIONS * layer) / (seen_in_row + PRIOR_DECISIONS)
    column = (in_column + PRIOR_DECISIONS * layer) / (seen_in_column + PRIOR_DECISIONS)
    yes = row * column * (1.0 - layer)
    no = (1.0 - row) * (1.0 - column) * layer
    return _whole(yes / (yes + no))


def _learned(ones: Array | float, seen: Array | float) -> Array | float:
    """The Krichevsky-Trofimov estimate: half a decision of either kind is counted from the start."""
    return _whole((ones + 0.5) / (seen + 1.0))


def _whole(probability: Array | float) -> Array | float:
    return np.clip(np.floor(probability * CERTAIN + 0.5), 1.0, CERTAIN - 1.0)


class _Encoder:
    """An interval of whole numbers that every decision narrows; leading bytes are written once they are settled."""

    def __init__(self) -> None:
        self.low, self.width = 0, 2**INTERVAL_BITS
        self.bytes = bytearray()

    def put(self, decisions: Decisions, probabilities: Array) -> None:
        for decision, probability in zip(decisions.tolist(), probabilities.astype(np.int64).tolist(), strict=True):
            part = (self.width >> PROBABILITY_BITS) * probability
            if decision:
                self.width = part
            else:
                self.low += part
                self.width -= part
            while self.width < LEAST_INTERVAL:
                self._carry()
                self.bytes.append(self.low >> (INTERVAL_BITS - 8))
                self.low = (self.low << 8) & (2**INTERVAL_BITS - 1)
                self.width <<= 8

    def finished(self) -> bytes:
        """The finished string, with one or two more bytes that stay inside the interval whatever follows them."""
        for more in (1, 2):
            grain = 2 ** (INTERVAL_BITS - 8 * more)
            named = -(-self.low // grain) * grain
            if named + grain <= self.low + self.width:
                break
        self.low = named
        self._carry()
        return bytes(self.bytes) + self.low.to_bytes(INTERVAL_BITS // 8, "big")[:more]

    def _carry(self) -> None:
        if self.low >> INTERVAL_BITS:
            self.low -= 2**INTERVAL_BITS
            place = len(self.bytes) - 1
            while self.bytes[place] == 255:
                self.bytes[place] = 0
                place -= 1
            self.bytes[place] += 1


class _Decoder:
    """The interval of the encoder, and where the number that the string spells lies in it."""

    def __init__(self, string: bytes) -> None:
        self.string, self.place, self.width = string, INTERVAL_BITS // 8, 2**INTERVAL_BITS
        self.offset = int.from_bytes(string[: self.place].ljust(self.place, b"\0"), "big")

    def take(self, probability: int) -> bool:
        part = (self.width >> PROBABILITY_BITS) * probability
        decision = self.offset < part
        if decision:
            self.width = part
        else:
            self.offset -= part
            self.width -= part
        while self.width < LEAST_INTERVAL:
            following = self.string[self.place] if self.place < len(self.string) else 0
            self.offset = (self.offset << 8) | following
            self.place += 1
            self.width <<= 8
        return decision
