"""Laws of the prices of plain networks: sums, monotonicity, no cost without work, the right units."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.errors import CostModelError
from compress.network import Network
from hwmodel.architecture import CpuSeal, PlainArray
from hwmodel.architecture_file import ARCHITECTURES, load_architecture, parse_architecture
from hwmodel.counts import BLOCK_SIZES, LayerWork, PlainWorkload, plain_workload
from hwmodel.plain import array_dram_bytes, price_array
from hwmodel.report import CostReport, estimate
from hwmodel.shapes import convolution, dense
from tests.hwmodel.machines import (
    MACHINES,
    PLAIN_MACHINES,
    assert_never_cheaper,
    exact,
    one_layer,
    packing_array,
)

counts = st.integers(0, 100_000)


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


def test_array_units_by_hand() -> None:
    """336 MMAC at 168 per cycle and 200 MHz take 10 ms at full use; at 1 pJ per MAC they take 0.336 mJ."""
    array = load_architecture("eyeriss")
    assert isinstance(array, PlainArray)
    picojoule = exact(array.mac_energy_pj, 1.0)
    work = PlainWorkload((LayerWork(layer="conv", macs=336_000_000),))
    report = estimate(work, replace(array, utilization=exact(array.utilization, 1.0), mac_energy_pj=picojoule))
    assert report.latency_ms == pytest.approx(10.0)
    assert report.layers[0].energy_parts["multiply-accumulate"] == pytest.approx(0.336)
    assert report.layers[0].energy_parts["static"] == pytest.approx(10.0 * array.static_power_w.value)


def test_a_limiting_buffer_waits_for_passes_like_the_units() -> None:
    """64 MB per image at 3.2 GB/s take 20 ms, more than the 336 MMAC; both times are divided by the utilization."""
    array = load_architecture("eyeriss")
    assert isinstance(array, PlainArray)
    work = PlainWorkload((LayerWork(layer="conv", macs=336_000_000),))
    for utilization in (1.0, 0.8):
        machine = replace(array, utilization=exact(array.utilization, utilization))
        (cost,) = price_array(work, machine, buffer_bytes={"conv": 64e6})
        assert cost.latency_ms.value == pytest.approx(20.0 / utilization)
        assert cost.energy_parts["buffer"] == pytest.approx(64e6 * array.buffer_energy_pj.value * 1e-9)


def test_dram_bytes_by_hand() -> None:
    """100 inputs, 10 outputs, 10 biases and 50 weights of 16 bits; packed: 5 non-zeros of 4 bits and a 4-bit index."""
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


def test_the_tiny_network_is_priced_from_its_own_workload(tiny_network: Network) -> None:
    assert estimate(tiny_network, "eyeriss") == estimate(plain_workload(tiny_network), "eyeriss")


def blocked_array(granularity: int) -> PlainArray:
    """The GPU's array with another block size; 0 means that it skips nothing."""
    machine = MACHINES["a100"]
    assert isinstance(machine, PlainArray)
    return replace(
        machine,
        skip_granularity=exact(machine.skip_granularity, granularity),
        skip_efficiency=exact(machine.skip_efficiency, 0.5),
        layer_call_us=exact(machine.layer_call_us, 0.0),
    )


def test_blocks_are_skipped_only_at_the_size_the_machine_supports() -> None:
    """A quarter of the blocks of 32 is left, so half the ideal gain makes the array twice as fast.

    Blocks of 1 leave a tenth, and blocks of 64 save nothing.
    """
    work = replace(one_layer(1_000_000, 100_000, 16).layers[0], kept_weights=(10**5, 10**5, 2 * 10**5, 250_000, 10**6))
    workload = PlainWorkload((work,))
    compute = {
        size: estimate(workload, blocked_array(size)).layers[0].latency_parts["compute"] for size in (0, 1, 32, 64)
    }
    assert compute[32] == pytest.approx(compute[0] / 2)
    assert compute[64] == compute[0]
    assert compute[1] == pytest.approx(compute[0] / 5)


def test_a_block_size_that_is_not_counted_is_refused() -> None:
    with pytest.raises(CostModelError, match="'a100': skip_granularity: got 7; allowed: 0, 1, 4, 8, 16, 32, 64"):
        estimate(one_layer(10, 10, 8), blocked_array(7))


@settings(max_examples=50, deadline=None)
@given(weights=st.integers(1, 10**6), kept=st.floats(0, 1), more=st.floats(0, 1), name=st.sampled_from(PLAIN_MACHINES))
def test_removing_sparsity_of_blocks_is_never_cheaper(weights: int, kept: float, more: float, name: str) -> None:
    def layer(share: float) -> PlainWorkload:
        left = int(weights * share)
        work = one_layer(weights, left, 8).layers[0]
        return PlainWorkload((replace(work, kept_weights=(left,) * len(BLOCK_SIZES)),))

    less, full = sorted((kept, more))
    assert_never_cheaper(estimate(layer(full), MACHINES[name]), estimate(layer(less), MACHINES[name]))


@settings(max_examples=50, deadline=None)
@given(
    inputs=st.integers(1, 300), outputs=st.integers(1, 300), kernel=st.integers(1, 11), size=st.integers(1, 60),
    name=st.sampled_from(PLAIN_MACHINES),
)  # fmt: skip
def test_a_larger_convolution_is_never_cheaper(inputs: int, outputs: int, kernel: int, size: int, name: str) -> None:
    def cost(*shape: int) -> CostReport:
        return estimate(PlainWorkload((convolution("c", *shape),)), MACHINES[name])

    base = cost(inputs, outputs, kernel, size)
    for larger in (
        (inputs + 1, outputs, kernel, size), (inputs, outputs + 1, kernel, size),
        (inputs, outputs, kernel + 1, size), (inputs, outputs, kernel, size + 1),
    ):  # fmt: skip
        assert_never_cheaper(cost(*larger), base)


def test_narrow_weights_are_faster_only_where_the_units_split() -> None:
    four, eight = one_layer(10**6, 10**6, 4), one_layer(10**6, 10**6, 8)
    for name, gain in (("a100", 2.0), ("tpu-v1", 1.0), ("eyeriss", 1.0)):
        parts = [estimate(work, name).layers[0].latency_parts["compute"] for work in (eight, four)]
        assert parts[0] / parts[1] == pytest.approx(gain)


def test_power_of_two_requantization_pays_only_where_the_machine_shifts() -> None:
    plain = one_layer(1000, 1000, 8)
    shifted = PlainWorkload((replace(plain.layers[0], power_of_two_steps=1),))
    part = "requantization"
    cpu = [estimate(work, "cortex-a76").layers[0].energy_parts[part] for work in (plain, shifted)]
    assert cpu[0] / cpu[1] == pytest.approx(9, rel=0.02)
    assert estimate(plain, "tpu-v1") == estimate(shifted, "tpu-v1")


def test_zero_inputs_save_energy_and_no_time_where_they_gate() -> None:
    base = one_layer(1000, 1000, 8).layers[0]
    half = PlainWorkload((replace(base, zero_inputs=50),))
    gated, full = (estimate(work, "eyeriss").layers[0] for work in (half, PlainWorkload((base,))))
    array = MACHINES["eyeriss"]
    assert isinstance(array, PlainArray)
    saved = 1 - gated.energy_parts["multiply-accumulate"] / full.energy_parts["multiply-accumulate"]
    assert saved == pytest.approx(array.gated_share.value / 2)
    assert gated.latency_parts["compute"] == full.latency_parts["compute"]


def test_more_images_share_the_weights() -> None:
    """A batch reads weights once, so an image of 64 takes less time than a single one, but at least its computation."""
    array = MACHINES["tpu-v1"]
    assert isinstance(array, PlainArray)
    work = PlainWorkload((dense("fc", 1024, 1024),))
    (alone,), (together,) = price_array(work, array), price_array(work, array, 64)
    assert together.latency_ms.value < alone.latency_ms.value / 30
    assert together.latency_ms.value >= together.latency_parts["compute"]


def test_double_buffering_hides_the_given_share_of_transfers() -> None:
    """10 ms of computation and 5 ms of DRAM take 10 ms when all is hidden, 15 when nothing is, and 12.5 at a half."""
    array = MACHINES["eyeriss"]
    assert isinstance(array, PlainArray)
    rate = array.clock_hz.value * array.macs_per_cycle.value * array.utilization.value
    bandwidth_bytes = array.dram_bytes_per_s.value
    work = LayerWork(layer="c", macs=int(rate * 10e-3), nonzero_macs=1, inputs=int(bandwidth_bytes * 5e-3 / 2))
    for overlap, latency_ms in ((1.0, 10.0), (0.5, 12.5), (0.0, 15.0)):
        machine = replace(array, dram_overlap=exact(array.dram_overlap, overlap))
        assert estimate(PlainWorkload((work,)), machine).latency_ms == pytest.approx(latency_ms, rel=1e-4)


def test_swapped_units_are_refused() -> None:
    """A clock in MHz instead of Hz, or a bandwidth instead of an energy, is refused before anything is priced."""
    document = yaml.safe_load((ARCHITECTURES / "sharp.yaml").read_text(encoding="utf-8"))
    coefficients = document["coefficients"]
    coefficients["clock_hz"]["unit"] = "MHz"
    with pytest.raises(CostModelError, match="sharp: coefficients.clock_hz: unit: got 'MHz'; allowed: 'Hz'"):
        parse_architecture(document, "sharp")
    coefficients["clock_hz"], coefficients["memory_energy_pj"] = (
        coefficients["memory_energy_pj"],
        coefficients["clock_hz"],
    )
    with pytest.raises(CostModelError, match="clock_hz: unit: got 'pJ/byte'; allowed: 'Hz'"):
        parse_architecture(document, "sharp")
