"""How a layer in clear is laid over an array: which share of the units it occupies, and what DRAM moves. Pure.

Each mapping is a fixed rule. Only the height of an output tile is searched.

row-stationary     A kernel of R rows occupies R rows of the array, and each column computes one output row. Kernels or
                   outputs with more rows than the array are folded; unused rows take further copies (Eyeriss, ISCA
                   2016). Dense layers fill the array.
weight-stationary  The array holds a tile of array_rows inputs by array_columns outputs. Edge tiles are partly empty, in
                   the array and in DRAM, which delivers whole tiles.
vector             Any layer fills the units.
"""

from __future__ import annotations

from math import ceil

from hwmodel.architecture import ROW_STATIONARY, WEIGHT_STATIONARY, PlainArray
from hwmodel.counts import LayerWork


def fill(work: LayerWork, array: PlainArray) -> float:
    """Share of the array's units that the layer occupies, above 0 and at most 1."""
    rows, columns = int(array.array_rows.value), int(array.array_columns.value)
    if array.mapping == ROW_STATIONARY and work.kernel_rows:
        return _folded(work.output_rows, columns) * _stacked(work.kernel_rows, rows)
    if array.mapping == WEIGHT_STATIONARY and work.fan_in:
        return _folded(work.fan_in, rows) * _folded(work.channels, columns)
    return 1.0


def stored_weight_share(work: LayerWork, array: PlainArray) -> float:
    """Share of the bytes read from DRAM for weights that are weights; the rest fills edge tiles of the array."""
    return fill(work, array) if array.mapping == WEIGHT_STATIONARY else 1.0


def _folded(length: int, units: int) -> float:
    """Mean occupancy when `length` is cut into pieces of at most `units`."""
    return length / (ceil(length / units) * units)


def _stacked(length: int, units: int) -> float:
    """Occupancy when copies of a short `length` are stacked, and a long one is folded."""
    return _folded(length, units) if length > units else length * (units // length) / units


def tiled_traffic_bytes(
    work: LayerWork,
    *,
    input_bytes: float,
    weight_bytes: float,
    output_bytes: float,
    tile_values: float,
    images: int = 1,
) -> float:
    """DRAM bytes of a layer whose partial sums stay in a buffer of `tile_values` output values.

    A tile of m channels by p positions is finished before the next one starts. Inputs are read once per m channels,
    weights once per p positions, and outputs are written once. m is the power of two, or the number of all channels,
    that moves the fewest bytes.
    """
    if not work.channels:
        return input_bytes + weight_bytes + output_bytes
    positions = images * work.outputs // (work.channels * work.groups)
    candidates = {min(1 << power, work.channels) for power in range(work.channels.bit_length() + 1)}
    moved = []
    for channels in candidates:
        tile_positions = max(1, int(tile_values // channels))
        again = ceil(work.channels / channels)
        moved.append(input_bytes * again + weight_bytes * ceil(positions / tile_positions))
    return min(moved) + output_bytes
