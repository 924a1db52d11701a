"""Prices of a plan, layer by layer.

cpu-seal:     latency = sum over operations of kernel counts * kernel times (one thread, nothing overlaps).
accelerator:  a bracket, because such machines schedule what a plan does not say (keys kept on chip, fused steps):
    low   compute only: per layer the busiest unit, all others hidden behind it, keys and plaintexts on chip, a small
          ring filling the pipelines as well as the native one;
    high  the units one after the other, a ring smaller than the native one taking as long as the native one, keys and
          plaintexts streamed from memory at every use, not overlapped, key switches quadratic in words per residue;
    value their geometric mean: no claim is made inside the bracket.
A residue wider than the machine's word is carried as ceil(bits / word) words (derived).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import ceil

from hwmodel.architecture import CkksAccelerator, CpuSeal
from hwmodel.band import ZERO, Band, bracket, exactly
from hwmodel.cost import LayerCost
from hwmodel.counts import EncryptedWorkload, OperationWork
from secure.kernels import RESIDUE_BYTES, KernelTimes
from secure.plan import Kind

KEY_SWITCHES = (Kind.ROTATE, Kind.RELINEARIZE)


def price_seal(workload: EncryptedWorkload, cpu: CpuSeal) -> tuple[LayerCost, ...]:
    """Cost of every layer on one core under SEAL; latency parts by kind of operation."""
    corners = [
        KernelTimes(**{name: getattr(coefficient, corner) for name, coefficient in cpu.kernels.items()})
        for corner in ("value", "low", "high")
    ]
    costs = []
    for layer, rows in workload.layers().items():
        parts: dict[str, Band] = defaultdict(lambda: ZERO)
        for row in rows:
            parts[row.kind.value] += Band(*(times.milliseconds(row.kernels, row.count) for times in corners))
        latency_ms = sum(parts.values(), ZERO)
        energies = {kind: part * cpu.core_power_w.band for kind, part in parts.items()}
        costs.append(LayerCost.of(layer, latency_ms, {kind: part.value for kind, part in parts.items()}, energies))
    return tuple(costs)


def price_accelerator(workload: EncryptedWorkload, machine: CkksAccelerator) -> tuple[LayerCost, ...]:
    """Bracketed cost of every layer on a CKKS accelerator; energy is power times time."""
    costs = []
    for layer, rows in workload.layers().items():
        low_s, high_s = _compute_only_s(rows, workload, machine), _all_streamed_s(rows, workload, machine)
        latency_ms = bracket(low_s * 1e3, high_s * 1e3)
        energies = {"chip": latency_ms * machine.power_w.band}
        costs.append(LayerCost.of(layer, latency_ms, {"bracket": latency_ms.value}, energies))
    return tuple(costs)


def words_per_residue(workload: EncryptedWorkload, machine: CkksAccelerator) -> int:
    """Machine words that carry one residue of the plan."""
    return ceil(workload.residue_bits / machine.word_bits.value)


def _unit_cycles(row: OperationWork, degree: int, machine: CkksAccelerator) -> tuple[Band, Band, Band]:
    """Cycles of the transform, product and addition units, one word a residue."""
    return (
        exactly(row.kernels.transforms * degree) / machine.transform_residues_per_cycle.band,
        exactly(row.kernels.products) / machine.products_per_cycle.band,
        exactly(row.kernels.additions) / machine.additions_per_cycle.band,
    )


def _compute_only_s(rows: Sequence[OperationWork], workload: EncryptedWorkload, machine: CkksAccelerator) -> float:
    words = words_per_residue(workload, machine)
    cycles = [_unit_cycles(row, workload.poly_modulus_degree, machine) for row in rows]
    busiest: float = max(sum(unit.low for unit in units) for units in zip(*cycles, strict=True))
    return words * busiest / machine.clock_hz.high


def _all_streamed_s(rows: Sequence[OperationWork], workload: EncryptedWorkload, machine: CkksAccelerator) -> float:
    words = words_per_residue(workload, machine)
    stretch = max(1.0, machine.native_ring_degree.value / workload.poly_modulus_degree)
    seconds = 0.0
    for row in rows:
        factor = words**2 if row.kind in KEY_SWITCHES else words
        cycles = sum((unit.high for unit in _unit_cycles(row, workload.poly_modulus_degree, machine)), 0.0)
        word_bytes = machine.word_bits.value / 8 / RESIDUE_BYTES
        streamed_bytes = (row.kernels.key_bytes + row.plaintext_bytes) * word_bytes
        seconds += factor * (stretch * cycles / machine.clock_hz.low + streamed_bytes / machine.memory_bytes_per_s.low)
    return seconds
