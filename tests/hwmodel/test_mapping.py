"""Occupied units and DRAM traffic, against counts by hand and brute force."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel.architecture import PlainArray
from hwmodel.architecture_file import load_architecture
from hwmodel.counts import LayerWork
from hwmodel.mapping import fill, stored_weight_share, tiled_traffic_bytes
from hwmodel.shapes import convolution, dense, shape_workload

EYERISS, TPU = (cast(PlainArray, load_architecture(name)) for name in ("eyeriss", "tpu-v1"))


@pytest.mark.parametrize(
    ("layer", "occupied"), [("CONV1", 154), ("CONV2", 135), ("CONV3", 156), ("CONV4", 156), ("CONV5", 156)]
)
def test_row_stationary_occupies_the_published_units(layer: str, occupied: int) -> None:
    """Published: 154, 135, 156, 156, 156 of 168 units. CONV1 has even pieces of 13.75 rows where the chip uses 14."""
    work = next(work for work in shape_workload("alexnet").layers if work.layer == layer)
    assert fill(work, EYERISS) * 168 == pytest.approx(occupied, rel=0.02)


def test_weight_stationary_leaves_edge_tiles_partly_empty() -> None:
    assert fill(dense("fc", 256, 256), TPU) == 1
    assert fill(dense("fc", 600, 600), TPU) == pytest.approx((600 / 768) ** 2)
    assert fill(LayerWork(layer="unknown", macs=10), TPU) == 1


def test_edge_tiles_come_whole_from_dram() -> None:
    """600 x 600 weights are 9 tiles of 256 x 256 bytes on the TPU; row-stationary arrays have no tiles."""
    assert stored_weight_share(dense("fc", 600, 600), TPU) == pytest.approx(600**2 / (9 * 256**2))
    assert stored_weight_share(dense("fc", 600, 600), EYERISS) == 1


@settings(max_examples=50)
@given(rows=st.integers(1, 30), height=st.integers(1, 60))
def test_a_larger_kernel_or_output_never_takes_less_time(rows: int, height: int) -> None:
    def slots(work: LayerWork) -> float:
        return work.macs / fill(work, EYERISS)

    base = slots(convolution("c", 4, 4, rows, height))
    assert slots(convolution("c", 4, 4, rows + 1, height)) >= base
    assert slots(convolution("c", 4, 4, rows, height + 1)) >= base


@given(
    channels=st.integers(1, 40), side=st.integers(1, 12), tile=st.integers(1, 500), images=st.integers(1, 4),
    inputs=st.integers(0, 1000), weights=st.integers(0, 1000),
)  # fmt: skip
def test_traffic_lies_between_once_and_the_worst_tile(
    channels: int, side: int, tile: int, images: int, inputs: int, weights: int
) -> None:
    work = LayerWork(layer="c", channels=channels, outputs=channels * side * side)
    traffic = tiled_traffic_bytes(
        work, input_bytes=inputs, weight_bytes=weights, output_bytes=7, tile_values=tile, images=images
    )
    once = inputs + weights + 7
    assert once <= traffic <= inputs * channels + weights * images * side * side + 7
    large = tiled_traffic_bytes(
        work, input_bytes=inputs, weight_bytes=weights, output_bytes=7, tile_values=tile + 10, images=images
    )
    assert large <= traffic  # more buffer never moves more
    everything = channels * side * side * images
    assert (
        tiled_traffic_bytes(
            work, input_bytes=inputs, weight_bytes=weights, output_bytes=7, tile_values=everything, images=images
        )
        == once
    )


def test_traffic_by_hand() -> None:
    """8 channels of 100 positions where 400 partial sums fit.

    With 4 channels at a time, inputs are read twice; with all 8, weights are read twice.
    """
    work = LayerWork(layer="c", channels=8, outputs=800)
    moved = {
        (inputs, weights): tiled_traffic_bytes(
            work, input_bytes=inputs, weight_bytes=weights, output_bytes=0, tile_values=400
        )
        for inputs, weights in ((1000, 10), (10, 1000))
    }
    assert moved == {(1000, 10): 1000 + 2 * 10, (10, 1000): 2 * 10 + 1000}
