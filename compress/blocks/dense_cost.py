"""What a dense layer costs on ciphertexts by the weights it keeps, as the compiler lays it out. Pure; derived.

Let r be the rows that have a weight, k the inputs that are read, S the slots, and P = next_power_of_two(r).

First layer: the client repeats the inputs so that S / P blocks of P slots hold a share of them each, two inputs per
    slot. That makes D = ceil(ceil(k / 2) / (S / P)) diagonals (where shares are repeated evenly, only those that have a
    weight), log2(S / P) folds, and one fold with the conjugate.
Later layers: inputs repeat every I = next_power_of_two(k) slots, and G copies of them compute ceil(r / G) rows each; in
    the last layer G = 1. That makes D = next_power_of_two(ceil(r / G)) diagonals, fewer where some have no weight, and
    log2(I / D) folds. The best G is taken.

With hoisting the rotations of one value share its digits. A baby step then costs only its products with a key, while a
giant step or a pair of folds costs transforms of its own. A test checks that this orders networks as the compiler's own
prediction does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from math import ceil, log2

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from compress.blocks.patterns import Groups, Mask, coordinates

Kept = NDArray[np.bool_]

#: Inputs per slot of the client: real and imaginary part.
PLANES = 2
#: Baby-step counts that are tried.
BABY_STEPS = tuple(2**power for power in range(10))
#: Milliseconds of a limb transform, of a pass over one row of residues, and of one call, at N = 8192. They come from an
#: early calibration and are all one and a half times today's. Only shares of a cost are used, so a common factor
#: cancels.
LIMB_MS, ROW_MS, CALL_MS = 0.0588, 0.0024, 0.009
MEASURED_DEGREE = 8192


@dataclass(frozen=True, kw_only=True)
class Prices:
    """Milliseconds of each operation at one level, in a ring of twice the slots.

    digits: cutting a value into digits. end: what a sum needs at its end. key_bytes: key bytes that one key switch
    reads.
    """

    digits: float
    baby: float
    giant: float
    fold_pair: float
    product: float
    end: float
    key_bytes: float

    @staticmethod
    def at(level: int, slots: int) -> Prices:
        """The prices at a level, from the transforms and passes of the engine's key switch (derived).

        In that key switch every prime is a digit.
        """
        degree = 2 * slots
        size = degree / MEASURED_DEGREE
        limb, row = LIMB_MS * size * log2(degree) / log2(MEASURED_DEGREE), ROW_MS * size
        digits = (level + level**2) * limb + level**2 * row
        switch = (2 * level * (level + 1) + level + 2 * (level + 1)) * row + CALL_MS
        half_division = (level + 1) * limb + 2 * level * row
        return Prices(
            digits=digits,
            baby=switch,
            giant=digits + switch + half_division,
            fold_pair=digits + 3 * switch + half_division,
            product=4 * (level + 1) * row + 2 * CALL_MS,
            end=2 * half_division,
            key_bytes=16.0 * level * (level + 1) * degree,
        )

    def folds(self, count: int) -> float:
        return count // 2 * self.fold_pair + count % 2 * self.giant


@dataclass(frozen=True, kw_only=True)
class DenseWork:
    """How many operations one layout needs."""

    babies: int
    giants: int
    products: int
    folds: int

    def milliseconds(self, prices: Prices) -> float:
        sums = self.babies * prices.baby + self.giants * prices.giant + self.products * prices.product
        return bool(self.babies) * prices.digits + sums + prices.folds(self.folds) + prices.end


@dataclass(frozen=True, kw_only=True)
class DenseCost:
    """A prepared layer.

    rows, inputs: which rows and inputs a block touches, (rows, blocks) and (inputs, blocks). classes: which diagonals
    it touches, (diagonals, blocks), by the number of copies that share the rows; for a first layer by 1.
    """

    rows: sparse.csr_matrix
    inputs: sparse.csr_matrix
    classes: dict[int, sparse.csr_matrix]
    reads_input: bool
    slots: int
    prices: Prices

    def time(self, kept: Kept) -> float:
        """Milliseconds above those of a layer with a single weight, which is the part that pruning can change."""
        return max(0.0, self.milliseconds(kept) - self._fixed_ms)

    def milliseconds(self, kept: Kept) -> float:
        """Milliseconds of the whole layer."""
        work = self.work(kept)
        return 0.0 if work is None else work.milliseconds(self.prices)

    def energy(self, kept: Kept) -> float:
        """Bytes that key switches (keys) and products (plaintexts, 8 bytes per residue) read."""
        work = self.work(kept)
        if work is None:
            return 0.0
        switches = work.babies + work.giants + work.folds // 2 * 3 + work.folds % 2
        return switches * self.prices.key_bytes + work.products * 16.0 * self.slots

    def work(self, kept: Kept) -> DenseWork | None:
        """The operations of the cheapest layout; None when no block is kept."""
        chosen = kept.astype(np.int32)
        rows = int((self.rows @ chosen > 0).sum())
        read = int((self.inputs @ chosen > 0).sum())
        if not rows or not read:
            return None
        return self._cheapest(self._first(rows, read, chosen) if self.reads_input else self._later(rows, read, chosen))

    def _cheapest(self, layouts: Iterable[DenseWork]) -> DenseWork:
        return min(layouts, key=lambda work: work.milliseconds(self.prices))

    def _first(self, rows: int, read: int, chosen: NDArray[np.int32] | None) -> Iterator[DenseWork]:
        """The layouts of a first layer. Periods may be wider than needed, so that one row less never costs more."""
        for period in _powers(rows, self.rows.shape[0]):
            shares = max(1, self.slots // period)
            yield from _even_splits(ceil(ceil(read / PLANES) / shares), int(log2(shares)) + 1)
        for incidence in self.classes.values():
            folds = int(log2(self.slots // next_power_of_two(self.rows.shape[0]))) + 1
            yield from _splits(_alive(incidence, chosen), folds)

    def _later(self, rows: int, read: int, chosen: NDArray[np.int32] | None) -> Iterator[DenseWork]:
        """chosen: the blocks that are kept; None stands for a single weight on the first diagonal."""
        for groups, incidence in self.classes.items():
            widest = incidence.shape[0]
            alive = _alive(incidence, chosen)
            for period in _powers(read, self.inputs.shape[0]):
                if groups > 1 and groups * period > self.slots:
                    break
                if len(alive) < widest <= period:
                    yield from _splits(alive, int(log2(period // widest)))
                for window in _powers(ceil(rows / groups), ceil(self.rows.shape[0] / groups)):
                    if groups == 1 or window <= period:
                        yield from _even_splits(min(window, period), int(log2(max(1, period // window))))

    @cached_property
    def _fixed_ms(self) -> float:
        layouts = self._first(1, 1, None) if self.reads_input else self._later(1, 1, None)
        return self._cheapest(layouts).milliseconds(self.prices)


def dense_cost(
    shape: tuple[int, ...], layers_left: int, reads_input: bool, groups: Groups, slots: int, mask: Mask | None = None
) -> DenseCost:
    """The cost of a dense layer of shape (out, in).

    groups: the block number of each weight. layers_left: linear layers from here to the output, this one included.

    mask: weights that still live; inputs and outputs without any are left out.
    """
    mask = np.ones(shape, dtype=bool) if mask is None or not mask.any() else mask
    at, blocks = coordinates(shape, mask=mask), int(groups.max()) + 1
    row, column, flat = at.output[mask], at.input[mask], groups[mask].astype(np.int64)
    outputs, inputs = int(mask.any(axis=1).sum()), int(mask.any(axis=0).sum())
    classes = {}
    if reads_input:
        share = input_share(outputs, inputs, slots)
        if share is not None:
            classes[1] = _incidence((column - row) % share, share, flat, blocks)
    else:
        copies = 1
        while copies == 1 or (layers_left > 1 and copies <= min(slots, outputs)):
            share = -(-outputs // copies)
            window = min(next_power_of_two(share), next_power_of_two(inputs))
            classes[copies] = _incidence((column - row % share) % window, window, flat, blocks)
            copies *= 2
    return DenseCost(
        rows=_incidence(row, outputs, flat, blocks),
        inputs=_incidence(column, inputs, flat, blocks),
        classes=classes,
        reads_input=reads_input,
        slots=slots,
        prices=Prices.at(max(2, layers_left), slots),
    )


def input_share(outputs: int, inputs: int, slots: int) -> int | None:
    """How many inputs (of one of the PLANES) each block of the client's layout repeats; None if outputs fill the slots.

    Input i meets output r in diagonal (i - r) modulo this number. It is a power of two where other numbers would not
    repeat evenly up to the last row.
    """
    period = next_power_of_two(outputs)
    if period >= slots:
        return None
    share = ceil(ceil(inputs / PLANES) / (slots // period))
    even = ceil((outputs + share - 1) / share) * share <= period
    return share if even else min(next_power_of_two(share), period)


def next_power_of_two(number: int) -> int:
    """The smallest power of two that is at least `number` (at least 1)."""
    return 1 << max(0, number - 1).bit_length()


def _alive(incidence: sparse.csr_matrix, chosen: NDArray[np.int32] | None) -> NDArray[np.int64]:
    """The diagonals that have a weight; a single one when no blocks are given."""
    return np.zeros(1, dtype=np.int64) if chosen is None else np.flatnonzero(incidence @ chosen > 0)


def _powers(least: int, most: int) -> Iterator[int]:
    """The powers of two from the first that is at least `least` to the first that is at least `most`."""
    power = next_power_of_two(least)
    while power <= next_power_of_two(most):
        yield power
        power *= 2


@cache
def _even_splits(diagonals: int, folds: int) -> tuple[DenseWork, ...]:
    """Every split of `count` consecutive diagonals into baby and giant steps."""
    return tuple(_splits(np.arange(diagonals), folds))


def _splits(diagonals: NDArray[np.int64], folds: int) -> Iterator[DenseWork]:
    """Every split of diagonals into baby and giant steps."""
    for step in BABY_STEPS:
        babies, giants = np.unique(diagonals % step), np.unique(diagonals // step)
        turned, rotated = int(np.count_nonzero(babies)), int(np.count_nonzero(giants))
        yield DenseWork(babies=turned, giants=rotated, products=len(diagonals), folds=folds)


def _incidence(numbers: NDArray[np.int64], count: int, flat: NDArray[np.int64], blocks: int) -> sparse.csr_matrix:
    """Which numbers the weights of each block have, (count, blocks)."""
    touched = np.unique(numbers.ravel().astype(np.int64) * blocks + flat)
    number, block = np.divmod(touched, blocks)
    return sparse.csr_matrix((np.ones(len(touched), dtype=np.int32), (number, block)), shape=(count, blocks))
