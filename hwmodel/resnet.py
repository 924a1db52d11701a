"""The encrypted ResNet-20 of Lee et al., ICML 2022, for one 32 x 32 image. ARK, SHARP and Cheddar report its time.

The operations are counted from the public SEAL code of that work (read). It has multiplexed parallel convolutions on
2^15 slots, an approximate ReLU of degrees 15, 15 and 27 and a product, and bootstraps on 2^14, 2^13 and 2^12 slots.
That code has 16 levels between bootstraps. The machines have other numbers of levels, so a bootstrap is placed where
the next step needs more levels than are left. The average pool and the last layer (under 100 rotations at the lowest
level) are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import ceil, log2

from hwmodel.encrypted_counts import EncryptedWorkload, OperationWork
from hwmodel.hybrid import rescale
from hwmodel.reference import (
    additions,
    bootstrap_rows,
    ciphertext_products,
    hoisted,
    plain_products,
    repeated,
    row,
    switches,
    workload,
)
from hwmodel.schemes import Scheme
from secure.plan import Kind

LOG2_SLOTS = 15
KERNEL = 9
CONVOLUTION_LEVELS = 2
#: Products of ciphertexts per depth of the three odd polynomials (baby steps T1, T3, T5, T7); the last is with the
#: input.
RELU = ((1, 2, 3, 1), (1, 2, 3, 1), (1, 2, 3, 3, 1, 1))


@dataclass(frozen=True)
class Convolution:
    """A 3 x 3 convolution: channels, input height, gap between input values (a power of two), stride, slots."""

    inputs: int
    outputs: int
    size: int
    gap: int
    stride: int
    log2_slots: int

    @property
    def stacked(self) -> int:
        """Groups of gap x gap channels that lie one after the other."""
        return ceil(self.inputs / self.gap**2)

    @property
    def copies(self) -> int:
        """Copies of the input in one ciphertext; that many outputs are computed at once."""
        used = self.gap**2 * self.size**2 * self.stacked
        return 2 ** int(log2(2**LOG2_SLOTS / used))

    @property
    def output(self) -> Convolution:
        """The convolution after this one, on the same channels."""
        gap, size = self.gap * self.stride, self.size // self.stride
        return Convolution(self.outputs, self.outputs, size, gap, 1, self.log2_slots)


def convolutions() -> Iterator[Convolution]:
    """The 19 convolutions in order; shortcuts are counted with the strided convolutions."""
    last = Convolution(3, 16, 32, 1, 1, 14)
    yield last
    for channels, log2_slots in ((16, 14), (32, 13), (64, 12)):
        for _ in range(6):
            before = last.output
            stride = 2 if channels > before.inputs else 1
            last = Convolution(before.inputs, channels, before.size, before.gap, stride, log2_slots)
            yield last


#: A part of a layer without a bootstrap inside: the levels that it takes, and its operations from a starting level.
Step = tuple[int, Callable[[int], Iterator[OperationWork]]]


def resnet20(scheme: Scheme) -> EncryptedWorkload:
    """One inference, from an image encrypted at the highest level."""
    rows: list[OperationWork] = []
    bootstraps: Counter[int] = Counter()
    level = scheme.top
    for layer in convolutions():
        for depth, operations in _steps(scheme, layer):
            if level < depth:
                bootstraps[layer.log2_slots] += 1
                level = scheme.levels_left
            rows += operations(level)
            level -= depth
    for log2_slots, count in bootstraps.items():
        rows += (repeated(work, count) for work in bootstrap_rows(scheme, log2_slots))
    return workload(scheme, tuple(rows))


def _steps(scheme: Scheme, layer: Convolution) -> Iterator[Step]:
    yield CONVOLUTION_LEVELS, partial(_convolution, scheme, layer)
    for polynomial in RELU:
        yield len(polynomial), partial(_polynomial, scheme, polynomial)


def _convolution(scheme: Scheme, layer: Convolution, level: int) -> Iterator[OperationWork]:
    """Shifts of the input times filters, sums over input channels, selection of outputs, copies of the result."""
    name, (before, after, last) = "convolutions", (scheme.primes[level - drop] for drop in range(3))
    groups = ceil(layer.outputs / layer.copies)
    sums = groups * (2 * int(log2(layer.gap)) + ceil(log2(layer.stacked)))
    shortcut = layer.gap * layer.stacked if layer.stride > 1 else 0
    copies = layer.output.copies - 1
    yield hoisted(scheme, name, before, KERNEL - 1)
    yield plain_products(scheme, name, level, groups * KERNEL)
    yield row(scheme, name, Kind.RESCALE, before, groups, rescale(scheme.ring, before, before - after))
    yield switches(scheme, name, after, sums + layer.outputs + shortcut, keys=sums + layer.outputs + shortcut)
    yield additions(scheme, name, before, groups * (KERNEL - 1))
    yield additions(scheme, name, after, sums + layer.outputs + shortcut)
    yield plain_products(scheme, name, level - 1, layer.outputs + shortcut)
    yield row(scheme, name, Kind.RESCALE, after, 1, rescale(scheme.ring, after, after - last))
    if copies:
        yield switches(scheme, name, last, copies, keys=copies)


def _polynomial(scheme: Scheme, products_by_depth: tuple[int, ...], level: int) -> Iterator[OperationWork]:
    for depth, products in enumerate(products_by_depth):
        yield from ciphertext_products(scheme, "activations", level - depth, products)
