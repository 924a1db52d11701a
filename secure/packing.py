"""Slot maps: which feature of a value each slot of its ciphertexts carries. Pure.

A slot map is an int32 array (ciphertexts, slots): the flat feature in each slot, or EMPTY for a slot that holds zero.
A feature may stand in several slots; every copy has the same value. No slot ever holds anything else, so what a client
decrypts is the outputs and zeros.
"""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from secure.stages import Grid

SlotMap = NDArray[np.int32]
EMPTY = -1


def next_power_of_two(number: int) -> int:
    """The smallest power of two that is at least `number` (at least 1)."""
    return 1 << max(0, number - 1).bit_length()


def periodic_map(size: int, slots: int) -> SlotMap:
    """Feature s mod period in slot s, period the next power of two: as many copies as fit; more ciphertexts when it does not."""
    period = min(next_power_of_two(size), slots)
    ciphertexts = -(-size // slots)
    features = np.arange(ciphertexts * slots).reshape(ciphertexts, slots)
    if ciphertexts == 1:
        features = features % period
    return np.where(features < size, features, EMPTY).astype(np.int32)


def fanned_map(size: int, rows: int, slots: int) -> SlotMap:
    """An input laid out for a dense map onto `rows` rows, so that only `width` rotations are needed instead of `period`.

    Slot s holds feature (s div period) * width + s mod width, with period = next_power_of_two(rows) and width the smallest
    power of two with period * size <= width * slots: each block of `period` slots repeats `width` features, already where the
    rotations 0 .. width - 1 want them (the prototype's construction). Falls back to `periodic_map` when nothing is gained.
    """
    period = next_power_of_two(rows)
    if period >= slots or size >= slots:
        return periodic_map(size, slots)
    width = next_power_of_two(-(-period * size // slots))
    if width >= period:
        return periodic_map(size, slots)
    slot = np.arange(slots)
    features = slot // period * width + slot % width
    return np.where(features < size, features, EMPTY).astype(np.int32)[None, :]


def raster_positions(grid: Grid, raster: tuple[int, ...]) -> NDArray[np.int64]:
    """The place of every position of one channel on a raster in C order: a strided value leaves gaps, so that a
    convolution of any stride needs one rotation a tap."""
    offsets = np.zeros(1, dtype=np.int64)
    for axis, (size, step) in enumerate(zip(grid.sizes, grid.steps, strict=True)):
        pitch = prod(raster[axis + 1 :])
        offsets = (offsets[:, None] + np.arange(size)[None, :] * (step * pitch)).ravel()
    return offsets


def grid_map(grid: Grid, raster: tuple[int, ...], slots: int) -> SlotMap:
    """One channel a block of next_power_of_two(raster) slots, positions on the raster; as many ciphertexts as needed."""
    block = next_power_of_two(prod(raster))
    per_ciphertext = slots // block
    ciphertexts = -(-grid.channels // per_ciphertext)
    places = raster_positions(grid, raster)
    result = np.full(ciphertexts * slots, EMPTY, dtype=np.int32)
    for channel in range(grid.channels):
        result[channel * block + places] = np.arange(len(places)) + channel * len(places)
    return result.reshape(ciphertexts, slots)


def replicated_grid_map(grid: Grid, raster: tuple[int, ...], slots: int) -> SlotMap:
    """One channel a ciphertext, repeated in every block: for a client's few input channels, so that every output channel
    finds its input in its own block."""
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


def spread(values: NDArray, slot_map: SlotMap) -> NDArray[np.float64]:
    """Flat features (..., features) into slots (..., ciphertexts, slots), zero where the map is EMPTY."""
    padded = np.concatenate([values, np.zeros((*values.shape[:-1], 1))], axis=-1)
    return np.asarray(padded[..., slot_map], dtype=np.float64)
