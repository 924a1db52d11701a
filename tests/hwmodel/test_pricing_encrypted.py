"""Laws of the prices of encrypted plans: sums, monotonicity, no cost without work, keys read once where they fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodel.architecture import CkksAccelerator, PlainArray, kernel_times
from hwmodel.architecture_file import load_architecture
from hwmodel.counts import PlainWorkload
from hwmodel.encrypted_counts import encrypted_workload
from hwmodel.reference import bootstrap
from hwmodel.report import estimate
from hwmodel.residency import residency, words_per_residue
from hwmodel.schemes import SCHEMES
from hwmodel.shapes import dense
from secure.kernels.counts import operation_kernels
from secure.kernels.seal import seal_operation_kernels
from secure.plan import Kind, Plan
from tests.hwmodel.machines import (
    ENCRYPTED_MACHINES,
    MACHINES,
    assert_never_cheaper,
    exact,
)

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
    # The accelerator's high value is the same for every ring below the native one, so this law is for the CPU alone.
    larger = make_plan(steps, degree=16384, levels=4, start=level)
    assert_never_cheaper(estimate(larger, MACHINES["cpu-seal"]), estimate(base, MACHINES["cpu-seal"]))


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


def test_a_core_takes_the_kernels_of_every_operation(make_plan: Callable[..., Plan]) -> None:
    steps = [(Kind.ROTATE, "a"), (Kind.MULTIPLY_PLAIN, "a"), (Kind.SQUARE, "a"), (Kind.RELINEARIZE, "a")]
    times = kernel_times(load_architecture("cpu-seal"))
    each = [times.milliseconds(seal_operation_kernels(kind, 3, 8192)) for kind, _ in steps]
    assert estimate(make_plan(steps, degree=8192, levels=3), "cpu-seal").latency_ms == pytest.approx(sum(each))


@pytest.mark.parametrize(
    ("degree", "level", "products", "additions"), [(4096, 1, 24_576, 32_768), (8192, 3, 114_688, 294_912)]
)
def test_a_key_switch_of_seal_reduces_once(degree: int, level: int, products: int, additions: int) -> None:
    """N=4096, 1 prime: 4N sums reduced, 2N divided; 4N unreduced, 4N added. N=8192, 3: 8N + 6N; 24N + 12N."""
    plain, priced = operation_kernels(Kind.ROTATE, level, degree), seal_operation_kernels(Kind.ROTATE, level, degree)
    assert (priced.products, priced.additions) == (products, additions)
    assert (priced.transforms, priced.butterflies, priced.key_bytes) == (
        plain.transforms, plain.butterflies, plain.key_bytes,
    )  # fmt: skip
    assert seal_operation_kernels(Kind.RESCALE, 2, degree) == operation_kernels(Kind.RESCALE, 2, degree)


def test_accelerator_bracket_by_hand(make_plan: Callable[..., Plan]) -> None:
    """One plain product, N=8192, 3 levels, 27-bit residues, one word per residue.

    Low: 2*3*8192 products at 133120 per cycle and 1 GHz. Value: the same at 66 % occupancy, all on the chip. High:
    eight times as long (the native ring is 8 times N) at 44 %, plus plaintext, operand and result, which are
    5 * 3*8192 words of 3.5 bytes, at 1 TB/s.
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


def test_keys_stay_on_the_chip_only_when_they_fit(make_plan: Callable[..., Plan]) -> None:
    """Three rotations with keys of 1.57 MB (27-bit residues in 28-bit words: 3.5 of 8 bytes), halved by the machine.

    N=8192, 3 primes: a limb is 65,536 bytes. A rotation holds 12 limbs of raised digits and 12 of operand and result.
    It has 20 transforms, which cross the bus three times each where nothing stays: in, out, and for a base conversion.
    """
    machine = MACHINES["craterlake"]
    assert isinstance(machine, CkksAccelerator)
    work = encrypted_workload(make_plan([(Kind.ROTATE, "a")] * 3, levels=3))
    (row,) = work.rows
    large, small, none = (
        residency(work, replace(machine, on_chip_bytes=exact(machine.on_chip_bytes, size)))
        for size in (1e9, 1.5e6, 0.0)
    )
    key_bytes = 1_572_864 * 3.5 / 8 / 2
    assert (large.moved_bytes(row), large.keys) == (0, True)
    assert not small.keys and small.moved_bytes(row) == pytest.approx(3 * key_bytes)
    spilled_limbs = 12 + 12 + 3 * 20
    assert none.moved_bytes(row) == pytest.approx(3 * (key_bytes + spilled_limbs * 65_536 * 3.5 / 8))


def test_a_key_is_loaded_once_for_many_uses_if_it_fits(make_plan: Callable[..., Plan]) -> None:
    """The same key is used three times: one load where it fits beside the operation's working set, otherwise three."""
    machine = MACHINES["craterlake"]
    assert isinstance(machine, CkksAccelerator)
    work = encrypted_workload(make_plan([(Kind.ROTATE, "a")] * 3, levels=3))
    same = replace(work, rows=(replace(work.rows[0], keys=1),))
    working, key = 24 * 65_536 * 3.5 / 8, 1_572_864 * 3.5 / 8 / 2
    for room, loads in ((working + key, 1), (working + key / 2, 3)):
        kept = residency(same, replace(machine, on_chip_bytes=exact(machine.on_chip_bytes, room)))
        assert kept.moved_bytes(same.rows[0]) == pytest.approx(loads * key)


def test_a_gpu_adds_transfers_to_its_kernels(make_plan: Callable[..., Plan]) -> None:
    """With one kind of lane, kernels and transfers add up; with separate units the busiest one hides the transfers."""
    gpu = MACHINES["a100-ckks"]
    assert isinstance(gpu, CkksAccelerator)
    plan = make_plan([(Kind.ROTATE, "a")])
    cramped = replace(gpu, on_chip_bytes=exact(gpu.on_chip_bytes, 0))
    own_units = replace(cramped, shared_units=exact(gpu.shared_units, 0))
    (layer,) = estimate(plan, cramped).layers
    bus_ms = layer.moved_bytes / gpu.memory_bytes_per_s.value * 1e3
    assert layer.latency_parts["memory"] == pytest.approx(bus_ms)
    (hidden,) = estimate(plan, own_units).layers
    assert hidden.latency_ms.value == pytest.approx(max(bus_ms, hidden.latency_parts["compute"]))


def test_scaling_a_coefficient_scales_time_or_energy_by_its_unit(make_plan: Callable[..., Plan]) -> None:
    """Twice the bandwidth halves memory-bound time, twice the clock compute-bound time; energy follows pJ."""
    array = MACHINES["eyeriss"]
    assert isinstance(array, PlainArray)
    bound = PlainWorkload((dense("fc", 4096, 1000),))  # weights only: bound by DRAM
    faster = replace(array, dram_bytes_per_s=exact(array.dram_bytes_per_s, 2 * array.dram_bytes_per_s.value))
    memory_ms = [estimate(bound, machine).layers[0].latency_parts["DRAM"] for machine in (array, faster)]
    assert memory_ms[0] > 1.9 * memory_ms[1]
    sharp = MACHINES["sharp"]
    assert isinstance(sharp, CkksAccelerator)
    doubled = replace(
        sharp, clock_hz=exact(sharp.clock_hz, 2e9), product_energy_pj=exact(sharp.product_energy_pj, 14.0)
    )
    plan = make_plan([(Kind.ROTATE, "a")])
    before, after = (estimate(plan, machine).layers[0] for machine in (sharp, doubled))
    assert after.latency_ms.value == pytest.approx(before.latency_ms.value / 2)
    ratio = 14.0 / sharp.product_energy_pj.value
    assert after.energy_parts["modular products"] == pytest.approx(before.energy_parts["modular products"] * ratio)


def test_average_power_stays_below_what_was_published() -> None:
    """Power is below 1.5 times the published one and above a tenth of it; a wrong unit would change it tenfold."""
    for name, watts in (("craterlake", 320), ("ark", 281.3), ("sharp", 113)):
        report = estimate(bootstrap(SCHEMES[name]), name)
        assert watts / 10 < report.energy_mj / report.latency_ms < 1.5 * watts
