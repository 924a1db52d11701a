"""Counts: against numbers written down by hand, and against the plan's own operations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from compress.errors import CostModelError
from compress.network import Network
from hwmodel.counts import PlainWorkload, plain_workload
from hwmodel.encrypted_counts import encrypted_workload
from secure.kernels import KernelCounts, plan_operation_kernels
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
def test_a_workload_that_is_not_one_is_refused(document: object, message: str) -> None:
    with pytest.raises(CostModelError, match=message):
        PlainWorkload.from_json(document)


def test_a_workload_with_a_count_that_is_no_count_is_refused(tiny_network: Network) -> None:
    document = plain_workload(tiny_network).to_json()
    document[1]["macs"] = -5
    with pytest.raises(CostModelError, match="plain_workload: macs: got -5; allowed: whole numbers, at least 0"):
        PlainWorkload.from_json(document)


@pytest.mark.parametrize(
    ("degree", "level", "transforms", "butterflies", "products", "key_bytes"),
    [
        # l = 2: 3 * 4 transforms of 2048 * 12 butterflies; a key of 2 * 2 * 3 limbs; 12 + 4 limbs of products
        (4096, 2, 12, 294_912, 65_536, 393_216),
        # l = 3: 4 * 5 transforms of 4096 * 13 butterflies; a key of 2 * 3 * 4 limbs (the notes' 1.57 MB); 24 + 6 limbs
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


def test_a_rescale_and_a_plain_product_by_hand(make_plan: Callable[..., Plan]) -> None:
    work = encrypted_workload(make_plan([(Kind.MULTIPLY_PLAIN, "fc"), (Kind.RESCALE, "fc")], degree=4096, levels=3))
    product, rescale = work.rows
    assert (product.kernels.transforms, product.kernels.products) == (0, 2 * 3 * 4096)
    assert product.plaintext_bytes == 3 * 4096 * 8
    assert (rescale.kernels.transforms, rescale.kernels.products) == (6, 2 * 2 * 4096)


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
