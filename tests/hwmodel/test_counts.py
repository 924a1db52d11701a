"""Counts, against numbers worked out by hand and against the plan's own operations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from compress.errors import CostModelError
from compress.network import Conv, Input, Network, Weights
from hwmodel.counts import BLOCK_SIZES, PlainWorkload, plain_workload, weights_in_kept_blocks, with_weights
from hwmodel.encrypted_counts import encrypted_workload
from hwmodel.shapes import dense
from secure.kernels.counts import KernelCounts, plan_operation_kernels
from secure.plan import Kind, Plan


def test_a_network_is_counted_layer_by_layer(tiny_network: Network) -> None:
    work = {layer.layer: layer for layer in plain_workload(tiny_network).layers}
    conv, fc = work["conv"], work["fc"]
    assert (conv.macs, conv.nonzero_macs) == (2 * 9 * 16, 15 * 16)
    assert (conv.weights, conv.nonzeros, conv.weight_bits, conv.inputs, conv.outputs) == (18, 15, 4, 36, 32)
    assert conv.packed_bits == min(18 * 4, 15 * (4 + 4))
    assert (fc.macs, fc.nonzero_macs, fc.biases) == (24, 20, 3)
    assert work["act"].elementwise == 2 * 32
    assert work["pool"].elementwise == 4 * 8
    assert work["x"].idle and work["flat"].idle


def test_totals_are_the_sums_of_layers_and_survive_json(tiny_network: Network) -> None:
    workload = plain_workload(tiny_network)
    assert workload.total("macs") == sum(layer.macs for layer in workload.layers) == 288 + 24
    assert PlainWorkload.from_json(workload.to_json()) == workload


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("text", "plain_workload: not a list of layers; compile the network again"),
        ([{"layer": "fc"}], "plain_workload: a layer needs exactly .*macs.*; compile the network again"),
    ],
)
def test_a_document_that_is_not_a_workload_is_refused(document: object, message: str) -> None:
    with pytest.raises(CostModelError, match=message):
        PlainWorkload.from_json(document)


def test_a_workload_with_an_invalid_count_is_refused(tiny_network: Network) -> None:
    document = plain_workload(tiny_network).to_json()
    document[1]["macs"] = -5
    with pytest.raises(CostModelError, match="plain_workload: macs: got -5; allowed: whole numbers, at least 0"):
        PlainWorkload.from_json(document)


@pytest.mark.parametrize(
    ("degree", "level", "transforms", "butterflies", "products", "key_bytes"),
    [
        # l = 2: 3 * 4 transforms of 2048 * 12 butterflies; a key of 2 * 2 * 3 limbs; 12 + 4 limbs of products
        (4096, 2, 12, 294_912, 65_536, 393_216),
        # l = 3: 4 * 5 transforms of 4096 * 13 butterflies; a key of 2 * 3 * 4 limbs (1.57 MB); 24 + 6 limbs
        (8192, 3, 20, 1_064_960, 245_760, 1_572_864),
    ],
)
@pytest.mark.parametrize("kind", [Kind.ROTATE, Kind.RELINEARIZE])
def test_a_key_switch_by_hand(
    make_plan: Callable[..., Plan],
    kind: Kind,
    degree: int,
    level: int,
    transforms: int,
    butterflies: int,
    products: int,
    key_bytes: int,
) -> None:
    kernels = encrypted_workload(make_plan([(kind, "fc")], degree=degree, levels=level)).kernels
    assert (kernels.transforms, kernels.butterflies) == (transforms, butterflies)
    assert (kernels.products, kernels.key_bytes) == (products, key_bytes)


@pytest.mark.parametrize(
    ("degree", "level", "product", "square", "rescale_butterflies", "rescale"),
    [
        # l = 3: products of 2*3 limbs, squares of 3*3; a rescale transforms 6 limbs of 2048 * 12 and multiplies 4
        (4096, 3, 24_576, 36_864, 147_456, 16_384),
        # l = 2: products of 2*2 limbs, squares of 3*2; a rescale transforms 4 limbs of 4096 * 13 and multiplies 2
        (8192, 2, 32_768, 49_152, 212_992, 16_384),
    ],
)
def test_products_squares_and_rescales_by_hand(
    make_plan: Callable[..., Plan],
    degree: int,
    level: int,
    product: int,
    square: int,
    rescale_butterflies: int,
    rescale: int,
) -> None:
    steps = [(Kind.MULTIPLY_PLAIN, "a"), (Kind.SQUARE, "b"), (Kind.RELINEARIZE, "c"), (Kind.RESCALE, "d")]
    rows = {row.kind: row for row in encrypted_workload(make_plan(steps, degree=degree, levels=level)).rows}
    plain, squared, rescaled = rows[Kind.MULTIPLY_PLAIN], rows[Kind.SQUARE], rows[Kind.RESCALE]
    assert (plain.kernels.butterflies, plain.kernels.products, plain.kernels.key_bytes) == (0, product, 0)
    assert plain.plaintext_bytes == level * degree * 8
    assert (squared.kernels.butterflies, squared.kernels.products) == (0, square)
    assert (rescaled.kernels.butterflies, rescaled.kernels.products) == (rescale_butterflies, rescale)


def test_ciphertexts_keys_and_raised_digits_are_counted_in_limbs(make_plan: Callable[..., Plan]) -> None:
    """Two rotations by 1 and 2 at l = 3: each reads and writes 6 limbs and raises 3 digits to 4 limbs; two keys."""
    limb_bytes = 8192 * 8
    (row,) = encrypted_workload(make_plan([(Kind.ROTATE, "a"), (Kind.ROTATE, "a")], levels=3)).rows
    assert row.ciphertext_bytes == 2 * 12 * limb_bytes
    assert row.raised_bytes == 3 * 4 * limb_bytes
    assert (row.keys, row.one_key_bytes) == (2, 24 * limb_bytes)


def test_weights_in_kept_blocks_by_brute_force() -> None:
    codes = np.random.default_rng(3).random((13, 5, 3)) < 0.05
    for size in BLOCK_SIZES:
        matrix = codes.reshape(13, 15)
        blocks = [matrix[r : r + size, c : c + size] for r in range(0, 13, size) for c in range(0, 15, size)]
        assert weights_in_kept_blocks(codes, size) == sum(block.size for block in blocks if block.any())
    assert weights_in_kept_blocks(np.zeros((4, 4), dtype=bool), 4) == 0


def test_a_plan_is_counted_operation_by_operation(make_plan: Callable[..., Plan]) -> None:
    steps = [
        (Kind.ROTATE, "a"),
        (Kind.ROTATE, "a"),
        (Kind.SQUARE, "a"),
        (Kind.RELINEARIZE, "a"),
        (Kind.RESCALE, "a"),
        (Kind.ROTATE, "b"),
        (Kind.ADD, "b"),
        (Kind.ADD_PLAIN, "b"),
        (Kind.DROP, "b"),
    ]
    plan = make_plan(steps, levels=3)
    work = encrypted_workload(plan)
    assert work.operations == Counter((op.kind, plan.working_level(op)) for op in plan.ops)
    assert work.operations[Kind.ROTATE, 3] == 2 and work.operations[Kind.ROTATE, 2] == 1
    assert work.kernels == sum((plan_operation_kernels(plan, op) for op in plan.ops), KernelCounts())
    by_layer = [sum((row.kernels for row in rows), KernelCounts()) for rows in work.layers().values()]
    assert sum(by_layer, KernelCounts()) == work.kernels
    assert list(work.layers()) == ["a", "b"]


def test_stored_keys_count_every_distinct_rotation_and_the_relinearization(make_plan: Callable[..., Plan]) -> None:
    plan = make_plan([(Kind.ROTATE, "a"), (Kind.ROTATE, "a"), (Kind.SQUARE, "a"), (Kind.RELINEARIZE, "a")], levels=3)
    assert encrypted_workload(plan).key_bytes == 3 * 1_572_864


def test_a_shape_counts_its_weights_and_refuses_another_number():
    codes = np.array([[1, 0, 0], [0, 0, 2]])
    counted = with_weights(dense("q", 3, 2, positions=5), Weights(codes=codes, step=np.array(0.25), bits=4))
    assert (counted.macs, counted.nonzero_macs, counted.nonzeros, counted.weight_bits) == (30, 10, 2, 4)
    assert counted.power_of_two_steps == 1
    with pytest.raises(CostModelError, match="layer 'q' has 8 weights by its shape, 6 were given"):
        with_weights(dense("q", 4, 2), Weights(codes=codes, step=np.array(1.0)))


def test_a_grouped_convolution_is_counted_by_group() -> None:
    """4 input channels on 3 x 3 in 2 groups, 6 output channels of 2 x 2 kernels."""
    codes = np.ones((6, 2, 2, 2), dtype=np.int8)
    conv = Conv(
        name="conv", inputs=("x",), shape=(6, 2, 2), weights=Weights(codes, np.array(1.0), 4), bias=np.zeros(6),
        stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=2,
    )  # fmt: skip
    work = plain_workload(Network(nodes=(Input(name="x", inputs=(), shape=(4, 3, 3)), conv))).layers[1]
    assert (work.groups, work.channels, work.fan_in) == (2, 3, 2 * 2 * 2)
    assert (work.macs, work.kernel_rows, work.output_rows) == (6 * 8 * 4, 2, 2)
