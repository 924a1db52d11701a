"""Slot maps: which feature of a value each slot of its ciphertexts carries. Pure.

A slot map is an int32 array (ciphertexts, slots): the number of the feature in each slot, or EMPTY. A feature may lie
in several slots; all copies have the same value. In the input and in the network's outputs, EMPTY slots hold zero, so
a client decrypts outputs and zeros only. In values between them, EMPTY slots may hold partial sums
(`DiagonalTable.partial`).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # a client lays out its input by this file, and needs no stages
    from secure.stages.stages import Grid

SlotMap = NDArray[np.int32]
EMPTY = -1


def next_power_of_two(number: int) -> int:
    """The smallest power of two that is at least `number` (at least 1)."""
    return 1 << max(0, number - 1).bit_length()


def periodic_map(size: int, slots: int) -> SlotMap:
    """Feature s mod period in slot s, where period is the smallest power of two that is at least `size`.

    A small value is repeated as often as it fits. A value larger than one ciphertext takes several.
    """
    period = min(next_power_of_two(size), slots)
    ciphertexts = -(-size // slots)
    features = np.arange(ciphertexts * slots).reshape(ciphertexts, slots)
    if ciphertexts == 1:
        features = features % period
    return np.where(features < size, features, EMPTY).astype(np.int32)


def fanned_map(features: NDArray[np.integer], rows: int, slots: int, share: int | None = None) -> SlotMap:
    """Input features laid out so that a dense map onto `rows` rows needs few rotations, (ciphertexts, slots).

    Let period = next_power_of_two(rows). With `periodic_map`, such a map needs rotations 0 to period - 1. Here, every
    block of `period` slots holds its own share of the features, in several copies, so that any `width` slots in a row
    hold the whole share. Rotations 0 to width - 1 then bring every feature to every row.

    If the copies that cover all rows fit the block, they follow one another from slot 0 on, and width = share.
    Otherwise as many as fit are spread evenly around the block, and width = period / copies, rounded up. Where only one
    copy fits, the result is that of `periodic_map`.
    share: features per block; by default as few as possible.
    """
    period, count = next_power_of_two(rows), len(features)
    if count and period < slots:
        share = share or least_share(count, rows, slots)
        copies = -(-(rows + share - 1) // share)
        if copies * share <= period:
            return _fanned(features, share, np.arange(copies) * share, period, slots)
        copies = period // share if share <= period else 1
        if copies > 1:
            return _fanned(features, period // copies, np.arange(copies) * period // copies, period, slots)
    positions = periodic_map(count, slots)
    return np.where(positions == EMPTY, EMPTY, np.append(features, EMPTY)[positions]).astype(np.int32)


def least_share(count: int, rows: int, slots: int) -> int:
    """The fewest features that each block of next_power_of_two(rows) slots must hold, for `count` in one ciphertext."""
    return -(-count // (slots // next_power_of_two(rows)))


def _fanned(features: NDArray[Any], share: int, starts: NDArray[Any], period: int, slots: int) -> SlotMap:
    """(1, slots): every block of `period` slots with a copy of its share of the features at each of `starts`."""
    blocks = slots // period
    padded = np.append(features, np.full(blocks * share - len(features), EMPTY)).reshape(blocks, share)
    result = np.full((blocks, period), EMPTY, dtype=np.int32)
    for start in starts:
        result[:, start : start + share] = padded
    return result.reshape(1, slots)


def in_planes(features: NDArray[np.integer], planes: int, places: SlotMap, count: int | None = None) -> SlotMap:
    """Features divided over planes, (ciphertexts * planes, slots). The planes of one ciphertext follow one another.

    places: a slot map of numbers 0 to count - 1. Where it has i, plane 0 holds features[i] and plane 1 holds
    features[count + i]. count: features per plane; by default as few as possible.
    """
    count = count or -(-len(features) // planes)
    padded = np.append(features, np.full(count * planes - len(features), EMPTY)).reshape(planes, count)
    rows = [np.where(places == EMPTY, EMPTY, np.append(plane, EMPTY)[places]) for plane in padded]
    return np.stack(rows, axis=1).reshape(-1, places.shape[1]).astype(np.int32)


def raster_positions(grid: Grid, raster: tuple[int, ...]) -> NDArray[np.int64]:
    """The place, in slots, of every position of one channel on a raster in C order, (positions,).

    A strided value leaves gaps on the raster. So a convolution of any stride needs one rotation per tap.
    """
    offsets = np.zeros(1, dtype=np.int64)
    for axis, (size, step) in enumerate(zip(grid.sizes, grid.steps, strict=True)):
        pitch = prod(raster[axis + 1 :])
        offsets = (offsets[:, None] + np.arange(size)[None, :] * (step * pitch)).ravel()
    return offsets


def grid_map(grid: Grid, raster: tuple[int, ...], slots: int) -> SlotMap:
    """The slot map with one channel per block of slots, its positions on the raster.

    A block is as large as the raster, padded to a power of two.
    """
    block = next_power_of_two(prod(raster))
    per_ciphertext = slots // block
    ciphertexts = -(-grid.channels // per_ciphertext)
    places = raster_positions(grid, raster)
    result = np.full(ciphertexts * slots, EMPTY, dtype=np.int32)
    for channel in range(grid.channels):
        result[channel * block + places] = np.arange(len(places)) + channel * len(places)
    return result.reshape(ciphertexts, slots)


def replicated_grid_map(grid: Grid, raster: tuple[int, ...], slots: int) -> SlotMap:
    """The slot map with one channel per ciphertext, repeated in every block. For inputs of few channels.

    Every output channel then finds all input channels in its own block.
    """
    block = next_power_of_two(prod(raster))
    places = raster_positions(grid, raster)
    result = np.full((grid.channels, slots // block, block), EMPTY, dtype=np.int32)
    for channel in range(grid.channels):
        result[channel, :, places] = (np.arange(len(places)) + channel * len(places))[:, None]
    return result.reshape(grid.channels, slots)


def period_of(slot_map: SlotMap) -> int:
    """The smallest power of two after which every ciphertext of the map repeats."""
    period = slot_map.shape[1]
    while period > 1 and np.array_equal(slot_map[:, : period // 2], slot_map[:, period // 2 : period]):
        period //= 2
    return period


def input_vectors(values: NDArray, input_slots: NDArray[np.int32]) -> NDArray[Any]:
    """The slots that a client encrypts, (..., ciphertexts, slots), for flat inputs (..., features).

    input_slots: the feature in every slot, (ciphertexts, planes, slots). With two planes the result is complex.
    """
    planes = spread(values, input_slots)
    return planes[..., 0, :] if planes.shape[-2] == 1 else planes[..., 0, :] + 1j * planes[..., 1, :]


def input_gradient(slots: NDArray[Any], input_slots: NDArray[np.int32], size: int) -> NDArray[np.float64]:
    """The transpose of `input_vectors`: derivatives by slots (..., ciphertexts, slots) to derivatives by features.

    Returns: (..., size). A complex derivative d means: changing the slot by z changes the quantity by Re(conj(d) z).
    """
    rows = slots.reshape(-1, *slots.shape[-2:])
    result = np.zeros((len(rows), size))
    for plane in range(input_slots.shape[1]):
        used = input_slots[:, plane] != EMPTY
        for total, row in zip(result, rows.imag if plane else rows.real, strict=True):
            np.add.at(total, input_slots[:, plane][used], row[used])
    return result.reshape(*slots.shape[:-2], size)


def spread(values: NDArray, slot_map: SlotMap) -> NDArray[np.float64]:
    """The slots (..., ciphertexts, slots) of flat features (..., features); zero where the map is EMPTY."""
    padded = np.concatenate([values, np.zeros((*values.shape[:-1], 1))], axis=-1)
    return np.asarray(padded[..., slot_map], dtype=np.float64)


def folded(slots: NDArray[Any], folds: Sequence[int]) -> NDArray[Any]:
    """The slots after these folds: each adds the slots rotated by its number of steps, one fold after the other."""
    for fold in folds:
        slots = slots + np.roll(slots, -fold, axis=-1)
    return slots


def unfolded(derivatives: NDArray[Any], folds: Sequence[int]) -> NDArray[Any]:
    """The transpose of `folded`: derivatives by the slots after the folds to those by the slots before them."""
    for fold in reversed(folds):
        derivatives = derivatives + np.roll(derivatives, fold, axis=-1)
    return derivatives


def read_slots(output_map: SlotMap, size: int) -> NDArray[np.int32]:
    """(size, 2): the ciphertext and the slot where the client reads each output.

    Of several copies, the one nearest to the middle slot is read, since the first slots have most noise under SEAL.
    """
    slots = output_map.shape[1]
    result = np.zeros((size, 2), dtype=np.int32)
    for feature in range(size):
        ciphertext, slot = np.nonzero(output_map == feature)
        best = int(np.argmin(np.abs(slot - slots // 2)))
        result[feature] = ciphertext[best], slot[best]
    return result
