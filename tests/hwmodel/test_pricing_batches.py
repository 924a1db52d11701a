"""Plans for throughput: their work counted by hand, and the laws of their prices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from compress.errors import CostModelError
from hwmodel.architecture import CkksAccelerator
from hwmodel.architecture_file import list_architectures, load_architecture
from hwmodel.batch_counts import BatchLayerWork, batch_workload
from hwmodel.batch_prices import MESSAGES, batch_words
from hwmodel.report import compare, estimate
from secure.coded.plan import BatchPlan, Linear
from secure.params import make_params
from secure.residues.times import predicted_ms
from tests.hwmodel.machines import assert_never_cheaper
from tests.secure.small_batches import FIRST, LAST, every_step_plan, small_batch_bundle

PLAN = every_step_plan()
MACHINES = [
    name for name in list_architectures() if "encrypted" in load_architecture(name).modes and name != "cpu-seal"
]


def test_every_step_is_counted_by_its_parts() -> None:
    counted = {layer.layer: layer for layer in batch_workload(PLAN).layers}
    first, last = np.count_nonzero(FIRST), np.count_nonzero(LAST)
    assert counted == {
        # two parts: every code meets two residues
        "fc1": BatchLayerWork(layer="fc1", multiply_adds=2 * first, additions=4, read=12, written=8, codes=first),
        # x^2 of two parts has three products; the linear term has two more, and all but two results are sums
        "act": BatchLayerWork(layer="act", products=4 * 3 + 4 * 2, additions=4 * 2 + 4, read=8, written=12),
        "gate": BatchLayerWork(layer="gate", products=4 * 4, additions=4 * (4 - 3), read=16, written=12),
        # the first value is added as it is, the second one four times
        "add": BatchLayerWork(layer="add", products=4 * 3, additions=4 * 3, read=24, written=12),
        "turn": BatchLayerWork(layer="turn", read=12, written=12),
        "fc2": BatchLayerWork(layer="fc2", multiply_adds=3 * last, additions=3, read=12, written=9, codes=last),
    }


def test_a_block_has_an_image_in_every_slot() -> None:
    work = batch_workload(PLAN)
    assert (work.images, work.primes, work.poly_modulus_degree) == (2048, 2, 4096)
    assert (work.inputs, work.outputs) == (6 * 2, 3 * 3)
    assert work.log2_q == pytest.approx(60, abs=0.01)


def test_one_core_takes_what_the_compiler_predicts() -> None:
    report, wanted = estimate(PLAN, "cpu-engine"), predicted_ms(PLAN)
    assert report.batch == 2048
    assert report.latency_ms * 2048 == pytest.approx(wanted.total_ms)
    found = {layer.layer: layer.latency_ms.value * 2048 for layer in report.layers}
    assert found == pytest.approx({**wanted.layers_ms, MESSAGES: wanted.moved_ms})
    assert report.as_json()["images_per_s"] == pytest.approx(2048 / wanted.total_ms * 1e3)
    assert report.latency_basis == ("measured",)


@pytest.mark.parametrize("name", MACHINES)
def test_totals_are_sums_and_lie_in_their_bands(name: str) -> None:
    report = estimate(PLAN, name)
    assert [layer.layer for layer in report.layers] == ["fc1", "act", "gate", "add", "turn", "fc2", MESSAGES]
    for layer in report.layers:
        assert 0 <= layer.latency_ms.low <= layer.latency_ms.value <= layer.latency_ms.high
        assert sum(layer.latency_parts.values()) == pytest.approx(layer.latency_ms.value)
        assert sum(layer.energy_parts.values()) == pytest.approx(layer.energy_mj.value)


def dense(nonzeros: int, primes: int = 1) -> BatchPlan:
    """A layer of 64 outputs and 784 inputs with so many codes in each row."""
    layer = Linear(
        layer="fc",
        sources=(0,),
        scales=np.ones(64),
        starts=np.arange(65) * nonzeros,
        columns=np.tile(np.arange(nonzeros, dtype=np.int32), 64),
        codes=np.ones(64 * nonzeros, dtype=np.int32),
        bias=np.zeros(64),
    )
    params = make_params(4096, [30] * primes, None)
    return BatchPlan(params=params, inputs=784, input_scale=1.0, steps=(layer,))


@pytest.mark.parametrize("name", MACHINES)
def test_more_codes_and_more_primes_are_never_cheaper(name: str) -> None:
    costs = [estimate(dense(nonzeros), name) for nonzeros in (8, 80, 784)]
    for smaller, larger in zip(costs, costs[1:], strict=False):
        assert_never_cheaper(larger, smaller)
    assert_never_cheaper(estimate(dense(80, 3), name), estimate(dense(80), name))


def test_an_accelerator_takes_as_many_words_as_the_modulus_has_bits() -> None:
    work = batch_workload(dense(80, 3))
    for name, words in (("craterlake", 4), ("a100-ckks", 3)):
        machine = load_architecture(name)
        assert isinstance(machine, CkksAccelerator)
        assert batch_words(work, machine) == -(-90 // int(machine.word_bits.value)) == words
        report = estimate(work, machine)
        assert report.layers[0].operations == 64 * 80 * 2 * words * 2  # two parts, and two positions an image
        assert "derived" in report.latency_basis


def test_a_bundle_is_priced_in_every_mode_that_a_machine_has() -> None:
    with pytest.raises(CostModelError, match="SEAL does not run plans for throughput; choose cpu-engine"):
        estimate(PLAN, "cpu-seal")
    bundle = small_batch_bundle()
    assert [report.mode for report in compare(bundle, ["cpu-engine", "craterlake"]).reports] == ["encrypted"] * 2
    with pytest.raises(CostModelError, match="choose another architecture"):
        compare(bundle, ["cpu-seal"])
    priced = replace(bundle, report={**bundle.report, "plain_workload": []})
    assert [(one.architecture, one.mode) for one in compare(priced, ["cpu-seal", "cpu-engine"]).reports] == [
        ("cpu-seal", "plain"), ("cpu-engine", "plain"), ("cpu-engine", "encrypted"),
    ]  # fmt: skip
    assert "one image of a full block" in str(compare(bundle, ["cpu-engine"]))
