"""Laws of the prices: sums, monotonicity, nothing for no work, units in the right order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.network import Network
from hwmodel.architecture import CkksAccelerator, Coefficient, CpuSeal, PlainArray, kernel_times
from hwmodel.architecture_file import list_architectures, load_architecture
from hwmodel.counts import BLOCK_SIZES, LayerWork, PlainWorkload, plain_workload
from hwmodel.encrypted_counts import encrypted_workload
from hwmodel.plain import array_dram_bytes
from hwmodel.report import CostReport, estimate
from hwmodel.residency import words_per_residue
from secure.kernels import predicted_milliseconds
from secure.plan import Kind, Plan

MACHINES = {name: load_architecture(name) for name in list_architectures()}
PLAIN_MACHINES = tuple(name for name, machine in MACHINES.items() if "plain" in machine.modes)
ENCRYPTED_MACHINES = tuple(name for name, machine in MACHINES.items() if "encrypted" in machine.modes)
counts = st.integers(0, 100_000)


def exact(coefficient: Coefficient, value: float) -> Coefficient:
    return replace(coefficient, value=value, low=value, high=value)


def packing_array() -> PlainArray:
    """Eyeriss as if it skipped zero weights and stored weights in their own bits."""
    machine = MACHINES["eyeriss"]
    assert isinstance(machine, PlainArray)
    return replace(
        machine, packs_weights=exact(machine.packs_weights, 1), skip_granularity=exact(machine.skip_granularity, 1)
    )


def one_layer(macs: int, nonzeros: int, bits: int, elementwise: int = 0) -> PlainWorkload:
    """A dense layer on one position: as many weights as multiply-accumulates."""
    work = LayerWork(
        layer="fc", macs=macs, nonzero_macs=nonzeros, elementwise=elementwise, weights=macs, nonzeros=nonzeros,
        weight_bits=bits, kept_weights=(nonzeros,) * len(BLOCK_SIZES), biases=10, inputs=100, outputs=10,
    )  # fmt: skip
    return PlainWorkload((work,))


def assert_never_cheaper(larger: CostReport, smaller: CostReport) -> None:
    for corner in ("value", "low", "high"):
        assert getattr(larger.latency, corner) >= getattr(smaller.latency, corner) * (1 - 1e-12)
        assert getattr(larger.energy, corner) >= getattr(smaller.energy, corner) * (1 - 1e-12)


@settings(max_examples=50, deadline=None)
@given(macs=counts, more=counts, nonzeros=counts, bits=st.integers(1, 15), elementwise=counts)
def test_more_weights_nonzeros_or_bits_are_never_cheaper(
    macs: int, more: int, nonzeros: int, bits: int, elementwise: int
) -> None:
    nonzeros = min(nonzeros, macs)
    base = one_layer(macs, nonzeros, bits, elementwise)
    for machine in (*(MACHINES[name] for name in PLAIN_MACHINES), packing_array()):
        cost = estimate(base, machine)
        assert_never_cheaper(estimate(one_layer(macs + more, nonzeros, bits, elementwise), machine), cost)
        assert_never_cheaper(estimate(one_layer(macs, macs, bits, elementwise), machine), cost)
        assert_never_cheaper(estimate(one_layer(macs, nonzeros, bits + 1, elementwise), machine), cost)
        assert_never_cheaper(estimate(one_layer(macs, nonzeros, bits, elementwise + more), machine), cost)


def test_pruning_and_low_bits_pay_only_where_the_machine_supports_them() -> None:
    dense, small = one_layer(50_000, 50_000, 16), one_layer(50_000, 5_000, 4)
    assert estimate(dense, "eyeriss").latency_ms == estimate(small, "eyeriss").latency_ms
    assert estimate(dense, packing_array()).latency_ms > 2 * estimate(small, packing_array()).latency_ms


KINDS = st.sampled_from([Kind.ROTATE, Kind.MULTIPLY_PLAIN, Kind.ADD, Kind.ADD_PLAIN, Kind.SQUARE])


@settings(max_examples=30, deadline=None)
@given(kinds=st.lists(KINDS, max_size=6), extra=KINDS, level=st.integers(1, 3))
def test_more_operations_levels_or_ring_are_never_cheaper(
    make_plan: Callable[..., Plan], kinds: list[Kind], extra: Kind, level: int
) -> None:
    steps = [(kind, f"layer{index % 2}") for index, kind in enumerate(kinds)]
    base = make_plan(steps, degree=8192, levels=4, start=level)
    for machine in (MACHINES[name] for name in ENCRYPTED_MACHINES):
        cost = estimate(base, machine)
        longer = make_plan([*steps, (extra, "layer0")], degree=8192, levels=4, start=level)
        assert_never_cheaper(estimate(longer, machine), cost)
        assert_never_cheaper(estimate(make_plan(steps, degree=8192, levels=4, start=level + 1), machine), cost)
    # On the accelerator's high every ring below the native one costs the same, so only the CPU is asked for this law.
    larger = make_plan(steps, degree=16384, levels=4, start=level)
    assert_never_cheaper(estimate(larger, MACHINES["cpu-seal"]), estimate(base, MACHINES["cpu-seal"]))


@pytest.mark.parametrize("name", PLAIN_MACHINES)
def test_plain_layers_without_work_cost_nothing_and_totals_are_sums(name: str, tiny_network: Network) -> None:
    report = estimate(tiny_network, name)
    assert report.latency_ms == pytest.approx(sum(layer.latency_ms.value for layer in report.layers))
    assert report.energy_high_mj == pytest.approx(sum(layer.energy_mj.high for layer in report.layers))
    for layer in report.layers:
        idle = layer.layer in ("x", "flat")
        assert (layer.latency_ms.high == 0 and layer.energy_mj.high == 0) is idle
        assert sum(layer.latency_parts.values()) == pytest.approx(layer.latency_ms.value)
        assert sum(layer.energy_parts.values()) == pytest.approx(layer.energy_mj.value)


@pytest.mark.parametrize("name", ENCRYPTED_MACHINES)
def test_encrypted_totals_are_sums_and_an_empty_plan_costs_nothing(name: str, make_plan: Callable[..., Plan]) -> None:
    report = estimate(make_plan([(Kind.ROTATE, "a"), (Kind.RESCALE, "b"), (Kind.ADD, "b")]), name)
    assert [layer.layer for layer in report.layers] == ["a", "b"]
    for layer in report.layers:
        assert 0 < layer.latency_ms.low <= layer.latency_ms.value <= layer.latency_ms.high
        assert sum(layer.latency_parts.values()) == pytest.approx(layer.latency_ms.value)
        assert sum(layer.energy_parts.values()) == pytest.approx(layer.energy_mj.value)
    empty = estimate(make_plan([]), name)
    assert (empty.latency_ms, empty.energy_mj) == (0.0, 0.0)


def test_the_cpu_estimate_is_the_compilers_own_prediction(make_plan: Callable[..., Plan]) -> None:
    plan = make_plan([(Kind.ROTATE, "a"), (Kind.MULTIPLY_PLAIN, "a"), (Kind.SQUARE, "a"), (Kind.RELINEARIZE, "a")])
    times = kernel_times(load_architecture("cpu-seal"))
    assert estimate(plan, "cpu-seal").latency_ms == pytest.approx(predicted_milliseconds(plan, times))


def test_array_units_by_hand() -> None:
    """336 MMAC at 168 a cycle and 200 MHz take 10 ms at full use; 1 pJ a MAC is 0.336 mJ."""
    array = load_architecture("eyeriss")
    assert isinstance(array, PlainArray)
    picojoule = exact(array.mac_energy_pj, 1.0)
    work = PlainWorkload((LayerWork(layer="conv", macs=336_000_000),))
    report = estimate(work, replace(array, utilization=exact(array.utilization, 1.0), mac_energy_pj=picojoule))
    assert report.latency_ms == pytest.approx(10.0)
    assert report.layers[0].energy_parts["multiply-accumulate"] == pytest.approx(0.336)
    assert report.layers[0].energy_parts["static"] == pytest.approx(10.0 * array.static_power_w.value)


def test_dram_bytes_by_hand() -> None:
    """100 in, 10 out, 10 biases and 50 weights of 16 bits; packed, 5 non-zeros of 4 bits with a 4-bit index."""
    array = load_architecture("eyeriss")
    assert isinstance(array, PlainArray)
    work = one_layer(50, 5, 4).layers[0]
    assert array_dram_bytes(work, array) == (120 + 50) * 2
    assert array_dram_bytes(work, packing_array()) == 120 * 2 + 5


def test_cpu_units_by_hand() -> None:
    cpu = load_architecture("cpu-seal")
    assert isinstance(cpu, CpuSeal)
    nanosecond = replace(cpu.mac_ns, value=1.0, low=1.0, high=1.0)
    report = estimate(one_layer(1_000_000, 0, 8), replace(cpu, mac_ns=nanosecond))
    assert report.latency_ms == pytest.approx(1.0 + cpu.layer_call_us.value * 1e-3)
    assert report.energy_mj == pytest.approx(report.latency_ms * cpu.core_power_w.value)


def test_accelerator_bracket_by_hand(make_plan: Callable[..., Plan]) -> None:
    """One plain product, N=8192, 3 levels, 27-bit residues, one word each.

    Low: 2*3*8192 products at 133120 a cycle and 1 GHz. Value: the same at 66 % occupancy, all on the chip. High: eight
    times as long (the native ring is 8 times N) at 44 %, plus plaintext, operand and result, 5 * 3*8192 words of 3.5
    bytes, at 1 TB/s.
    """
    machine = load_architecture("craterlake")
    assert isinstance(machine, CkksAccelerator)
    plan = make_plan([(Kind.MULTIPLY_PLAIN, "a")])
    assert words_per_residue(encrypted_workload(plan), machine) == 1
    report = estimate(plan, machine)
    low_s = 2 * 3 * 8192 / 133120 / 1e9
    assert report.latency_low_ms == pytest.approx(low_s * 1e3)
    assert report.latency_ms == pytest.approx(low_s / 0.66 * 1e3)
    assert report.latency_high_ms == pytest.approx((8 * low_s / 0.44 + 5 * 3 * 8192 * 3.5 / 1e12) * 1e3)


def test_wide_residues_take_more_words_on_the_accelerator(make_plan: Callable[..., Plan]) -> None:
    machine = load_architecture("craterlake")
    assert isinstance(machine, CkksAccelerator)
    work = encrypted_workload(make_plan([(Kind.ROTATE, "a")]))
    wide = replace(work, residue_bits=40)
    assert words_per_residue(wide, machine) == 2
    assert estimate(wide, machine).latency_low_ms == pytest.approx(2 * estimate(work, machine).latency_low_ms)
    assert 2 < estimate(wide, machine).latency_high_ms / estimate(work, machine).latency_high_ms < 4


def test_the_tiny_network_is_priced_from_its_own_workload(tiny_network: Network) -> None:
    assert estimate(tiny_network, "eyeriss") == estimate(plain_workload(tiny_network), "eyeriss")
