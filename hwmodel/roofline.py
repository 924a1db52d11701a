"""The roofline of a machine, and where the layers of a report lie under it. Pure.

An operation is a multiply-accumulate in clear and a modular product under encryption. Bytes are those over the memory
bus.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

from hwmodel.architecture import Architecture, CkksAccelerator, PlainArray
from hwmodel.report import CostReport


@dataclass(frozen=True)
class RooflinePoint:
    """One layer: operations per byte moved (None when nothing is moved), and operations per second."""

    layer: str
    operations_per_byte: float | None
    operations_per_s: float


@dataclass(frozen=True)
class Roofline:
    """peak_operations_per_s and memory_bytes_per_s bound every point: rate <= min(peak, intensity * bandwidth)."""

    architecture: str
    operation: str
    peak_operations_per_s: float
    memory_bytes_per_s: float
    points: tuple[RooflinePoint, ...]

    def attainable(self, operations_per_byte: float) -> float:
        """Operations per second that the roof allows at an intensity."""
        return min(self.peak_operations_per_s, operations_per_byte * self.memory_bytes_per_s)


def roofline(report: CostReport, machine: Architecture) -> Roofline | None:
    """The roofline of a report on its machine; None for a CPU, whose model counts no bytes."""
    if isinstance(machine, PlainArray):
        peak = machine.clock_hz.value * machine.macs_per_cycle.value
        if machine.smallest_bits.value < machine.operand_bits.value:
            peak *= machine.operand_bits.value / machine.smallest_bits.value
        return Roofline(machine.name, "multiply-accumulate", peak, machine.dram_bytes_per_s.value, _points(report))
    if isinstance(machine, CkksAccelerator):
        butterflies = machine.transform_residues_per_cycle.value * log2(machine.native_ring_degree.value) / 2
        lanes = max(butterflies, machine.products_per_cycle.value)
        if not machine.shared_units.value:
            lanes = butterflies + machine.products_per_cycle.value
        peak = machine.clock_hz.value * lanes
        return Roofline(machine.name, "modular product", peak, machine.memory_bytes_per_s.value, _points(report))
    return None


def _points(report: CostReport) -> tuple[RooflinePoint, ...]:
    return tuple(
        RooflinePoint(
            layer.layer,
            layer.operations / layer.moved_bytes if layer.moved_bytes else None,
            layer.operations / (layer.latency_ms.value * 1e-3),
        )
        for layer in report.layers
        if layer.operations and layer.latency_ms.value
    )
