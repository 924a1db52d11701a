"""What one layer costs: latency and energy with their bands, and the parts they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from hwmodel.band import ZERO, Band


@dataclass(frozen=True)
class LayerCost:
    """latency_ms, energy_mj: bands. *_parts: the values again by component, read-only; they sum to the band's value.

    operations: multiply-accumulates in clear, modular products encrypted. moved_bytes: over the bus to memory.
    """

    layer: str
    latency_ms: Band
    energy_mj: Band
    latency_parts: Mapping[str, float]
    energy_parts: Mapping[str, float]
    operations: float = 0.0
    moved_bytes: float = 0.0

    def __post_init__(self) -> None:
        for name in ("latency_parts", "energy_parts"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @classmethod
    def of(
        cls,
        layer: str,
        latency_ms: Band,
        latency_parts: Mapping[str, float],
        energies: Mapping[str, Band],
        *,
        operations: float = 0.0,
        moved_bytes: float = 0.0,
    ) -> LayerCost:
        """A cost whose energy is the sum of the given components."""
        energy = sum(energies.values(), ZERO)
        parts = {name: part.value for name, part in energies.items()}
        return cls(layer, latency_ms, energy, latency_parts, parts, operations, moved_bytes)

    def as_json(self) -> dict[str, Any]:
        return {
            "layer": self.layer,
            "latency_ms": self.latency_ms.value,
            "energy_mj": self.energy_mj.value,
            "low": {"latency_ms": self.latency_ms.low, "energy_mj": self.energy_mj.low},
            "high": {"latency_ms": self.latency_ms.high, "energy_mj": self.energy_mj.high},
            "latency_parts_ms": dict(self.latency_parts),
            "energy_parts_mj": dict(self.energy_parts),
            "operations": self.operations,
            "moved_bytes": self.moved_bytes,
        }


def no_cost(layer: str) -> LayerCost:
    """A layer without work."""
    return LayerCost(layer, ZERO, ZERO, {}, {})
