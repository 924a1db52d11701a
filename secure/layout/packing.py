"""Slot maps: which feature of a value each slot of its ciphertexts carries. Pure.

A slot map is an int32 array (ciphertexts, slots): the flat feature in each slot, or EMPTY for a slot that holds zero.
A feature may lie in several slots; all copies have the same value. The output map of the last stage has nothing else
in its slots, so a client decrypts outputs and zeros only.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secure.stages.stages import Grid

SlotMap = NDArray[np.int32]
EMPTY = -1


def next_power_of_two(number: int) -> int:
    """The smallest power of two that is at least `number` (at least 1)."""
    return 1 << max(0, number - 1).bit_length()


def periodic_map(size: int, slots: int) -> SlotMap:
    """Feature s mod period in slot s, where period is the next power of two above `size`.

    Small values are repeated as often as they fit. Values larger than one ciphertext take several.
    """
    period = min(next_power_of_two(size), slots)
    ciphertexts = -(-size // slots)
    features = np.arange(ciphertexts * slots).reshape(ciphertexts, slots)
    if ciphertexts == 1:
        features = features % period
    return np.where(features < size, features, EMPTY).astype(np.int32)


def fanned_map(features: NDArray[np.integer], rows: int, slots: int, share: int | None = None) -> SlotMap:
    """Input features laid out for a dense map onto `rows` rows, so that it needs `width` rotations instead of `period`.

    period = next_power_of_two(rows). Every block of `period` slots holds its own share of the features, repeated so
    often that any `width` slots in a row hold the whole share. So rotations 0 to width - 1 bring every feature to
    every row. If copies of the share fit the block until past the last row, they follow one another from slot 0 on,
    and width = share. Otherwise they are spread evenly around the block, and width = period / copies, rounded up.
    Where that gains nothing, the result is that of `periodic_map`.
    share: features per block; by default the fewest that hold all features.
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
    """Features that each block of next_power_of_two(rows) slots has to hold."""
    return -(-count // (slots // next_power_of_two(rows)))


def _fanned(features: NDArray[Any], share: int, starts: NDArray[Any], period: int, slots: int) -> SlotMap:
    """Every block with a copy of its share of the features at each of `starts`."""
    blocks = slots // period
    padded = np.append(features, np.full(blocks * share - len(features), EMPTY)).reshape(blocks, share)
    result = np.full((blocks, period), EMPTY, dtype=np.int32)
    for start in starts:
        result[:, start : start + share] = padded
    return result.reshape(1, slots)


def in_planes(features: NDArray[np.integer], planes: int, places: SlotMap, count: int | None = None) -> SlotMap:
    """(ciphertexts * planes, slots): feature i of plane 0 and feature i + count of plane 1 in the slots of place i.

    count: features per plane; by default the fewest that hold all features.
    """
    count = count or -(-len(features) // planes)
    padded = np.append(features, np.full(count * planes - len(features), EMPTY)).reshape(planes, count)
    rows = [np.where(places == EMPTY, EMPTY, np.append(plane, EMPTY)[places]) for plane in padded]
    return np.stack(rows, axis=1).reshape(-1, places.shape[1]).astype(np.int32)


def raster_positions(grid: Grid, raster: tuple[int, ...]) -> NDArray[np.int64]:
    """The place of every position of one channel on a raster in C order.

    A strided value leaves gaps on the raster, so that a convolution of any stride needs one rotation per tap.
    """
    offsets = np.zeros(1, dtype=np.int64)
    for axis, (size, step) in enumerate(zip(grid.sizes, grid.steps, strict=True)):
        pitch = prod(raster[axis + 1 :])
        offsets = (offsets[:, None] + np.arange(size)[None, :] * (step * pitch)).ravel()
    return offsets


def grid_map(grid: Grid, raster: tuple[int, ...], slots: int) -> SlotMap:
    """One channel per block of next_power_of_two(raster) slots, its positions on the raster; as many ciphertexts as
    needed."""
    block = next_power_of_two(prod(raster))
    per_ciphertext = slots // block
    ciphertexts = -(-grid.channels // per_ciphertext)
    places = raster_positions(grid, raster)
    result = np.full(ciphertexts * slots, EMPTY, dtype=np.int32)
    for channel in range(grid.channels):
        result[channel * block + places] = np.arange(len(places)) + channel * len(places)
    return result.reshape(ciphertexts, slots)


def replicated_grid_map(grid: Grid, raster: tuple[int, ...], slots: int) -> SlotMap:
    """One channel per ciphertext, repeated in every block, so that every output channel finds its input in its own
    block.

    For inputs of few channels.
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
    """The slots that a client encrypts, (..., ciphertexts, slots), for flat inputs (..., features). Complex for two
    planes.

    input_slots: (ciphertexts, planes, slots).
    """
    planes = spread(values, input_slots)
    return planes[..., 0, :] if planes.shape[-2] == 1 else planes[..., 0, :] + 1j * planes[..., 1, :]


def input_gradient(slots: NDArray[Any], input_slots: NDArray[np.int32], size: int) -> NDArray[np.float64]:
    """The transpose of `input_vectors`: derivatives by slots (..., ciphertexts, slots) to derivatives by `size`
    features.

    A complex derivative d means: changing the slot by z changes the quantity by Re(conj(d) z).
    """
    rows = slots.reshape(-1, *slots.shape[-2:])
    result = np.zeros((len(rows), size))
    for plane in range(input_slots.shape[1]):
        used = input_slots[:, plane] != EMPTY
        for total, row in zip(result, rows.imag if plane else rows.real, strict=True):
            np.add.at(total, input_slots[:, plane][used], row[used])
    return result.reshape(*slots.shape[:-2], size)


def spread(values: NDArray, slot_map: SlotMap) -> NDArray[np.float64]:
    """Flat features (..., features) into slots (..., ciphertexts, slots), zero where the map is EMPTY."""
    padded = np.concatenate([values, np.zeros((*values.shape[:-1], 1))], axis=-1)
    return np.asarray(padded[..., slot_map], dtype=np.float64)
