"""Prices of a plan, layer by layer.

cpu-seal, cpu-engine: latency = sum over operations of kernel counts * kernel times (one thread, nothing overlaps).
accelerator: latency is a value inside a band, because a plan does not say how such a machine schedules it.
    low   Computation alone. In each layer the busiest unit works at full occupancy and hides all others. Everything is
          on the chip. A ring smaller than the native one fills the pipelines as well.
    value max(busiest unit / occupancy, bytes over the bus / bandwidth). What fits on the chip stays there
          (residency.py), and transfers are double-buffered. Where all units are the same lanes (a GPU), kernels run one
          after another. Some are then bound by the lanes and some by memory, neither hides the other, and the sum
          replaces the maximum.
    high  The units work one after the other. A ring smaller than the native one takes as long as the native one.
          Everything is streamed from memory at every use and nothing overlaps. Key switches are quadratic in the words
          per residue.
    energy = products + on-chip traffic + memory traffic + static power * latency.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from hwmodel.architecture import CkksAccelerator, CpuEngine, CpuSeal
from hwmodel.band import ZERO, Band, exactly
from hwmodel.cost import LayerCost
from hwmodel.encrypted_counts import KEY_SWITCHES, EncryptedWorkload, OperationWork
from hwmodel.residency import residency, words_per_residue
from secure.kernels.counts import KernelCounts, KernelTimes

MJ_PER_PJ = 1e-9
MS_PER_S = 1e3
#: Words that a product or an addition moves on the chip: two operands in, one result out.
WORDS_PER_OPERATION = 3
#: Words that a transform moves on the chip per residue: one in and one out; the stages between are pipelined.
WORDS_PER_TRANSFORMED = 2


def price_core(workload: EncryptedWorkload, cpu: CpuSeal) -> tuple[LayerCost, ...]:
    """Cost of every layer on one core under SEAL or the engine; latency parts by kind of operation."""
    corners = [
        KernelTimes(**{name: getattr(coefficient, corner) for name, coefficient in cpu.kernels.items()})
        for corner in ("value", "low", "high")
    ]
    shares = isinstance(cpu, CpuEngine)
    costs = []
    for layer, rows in workload.layers().items():
        parts: dict[str, Band] = defaultdict(lambda: ZERO)
        for row in rows:
            kernels = row.engine_kernels if shares else row.seal_kernels
            parts[row.kind.value] += Band(*(times.milliseconds(kernels) for times in corners))
        latency_ms = sum(parts.values(), ZERO)
        energies = {kind: part * cpu.core_power_w.band for kind, part in parts.items()}
        costs.append(LayerCost.of(layer, latency_ms, {kind: part.value for kind, part in parts.items()}, energies))
    return tuple(costs)


def price_accelerator(workload: EncryptedWorkload, machine: CkksAccelerator) -> tuple[LayerCost, ...]:
    """Cost of every layer on a CKKS accelerator."""
    return tuple(_layer(layer, rows, workload, machine) for layer, rows in workload.layers().items())


def _layer(
    layer: str, rows: Sequence[OperationWork], workload: EncryptedWorkload, machine: CkksAccelerator
) -> LayerCost:
    kept = residency(workload, machine)
    words = words_per_residue(workload, machine)
    units_ms = [cycles * words / machine.clock_hz.band * MS_PER_S for cycles in _unit_cycles(rows, workload, machine)]
    compute_ms = busiest(units_ms, machine)
    moved = [sum(kept.moved_bytes(row) for row in rows), sum(kept.all_streamed_bytes(row) for row in rows)]
    moved_bytes = Band(moved[0], 0.0, max(moved))
    bus_ms = moved_bytes / machine.memory_bytes_per_s.band * MS_PER_S
    busy_ms = compute_ms.value / machine.occupancy.value
    value_ms = busy_ms + bus_ms.value if machine.shared_units.value else max(busy_ms, bus_ms.value)
    high_ms = _serial_ms(rows, workload, machine) + bus_ms.high
    latency_ms = Band(value_ms, compute_ms.low, max(high_ms, value_ms))
    kernels = sum((row.kernels for row in rows), KernelCounts())
    products = (kernels.butterflies + kernels.products) * words
    touched = (kernels.products + kernels.additions) * WORDS_PER_OPERATION
    touched += kernels.transforms * workload.poly_modulus_degree * WORDS_PER_TRANSFORMED
    touched_bytes = touched * words * machine.word_bits.value / 8
    energies = {
        "modular products": machine.product_energy_pj.band * (products * MJ_PER_PJ),
        "on-chip memory": machine.on_chip_energy_pj.band * (touched_bytes * MJ_PER_PJ),
        "memory": moved_bytes * machine.memory_energy_pj.band * MJ_PER_PJ,
        "static": latency_ms * machine.static_power_w.band,  # ms * W = mJ
    }
    parts = {"compute": busy_ms, "memory": value_ms - busy_ms}
    return LayerCost.of(layer, latency_ms, parts, energies, operations=products, moved_bytes=moved_bytes.value)


def _unit_cycles(
    rows: Sequence[OperationWork], workload: EncryptedWorkload, machine: CkksAccelerator
) -> tuple[Band, Band, Band]:
    """Cycles of the transform, product and addition units at full occupancy, with one word per residue."""
    kernels = sum((row.kernels for row in rows), KernelCounts())
    return (
        exactly(kernels.transforms * workload.poly_modulus_degree) / machine.transform_residues_per_cycle.band,
        exactly(kernels.products) / machine.products_per_cycle.band,
        exactly(kernels.additions) / machine.additions_per_cycle.band,
    )


def busiest(units: Sequence[Band], machine: CkksAccelerator) -> Band:
    """What the unit with the most work takes; all units one after the other where they are the same lanes."""
    if machine.shared_units.value:
        return sum(units, ZERO)
    return Band(*(max(getattr(unit, corner) for unit in units) for corner in ("value", "low", "high")))


def _serial_ms(rows: Sequence[OperationWork], workload: EncryptedWorkload, machine: CkksAccelerator) -> float:
    """The high end: units in turn, a small ring as slow as the native one, key switches quadratic in words."""
    words = words_per_residue(workload, machine)
    stretch = max(1.0, machine.native_ring_degree.value / workload.poly_modulus_degree)
    cycles = 0.0
    for row in rows:
        factor = words**2 if row.kind in KEY_SWITCHES else words
        cycles += factor * sum(unit.high for unit in _unit_cycles([row], workload, machine))
    return stretch * cycles / machine.clock_hz.low / machine.occupancy.low * MS_PER_S
