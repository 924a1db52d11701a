"""Costs and machines are read-only at every depth."""

from __future__ import annotations

from typing import Any

import pytest

from hwmodel.architecture import CpuSeal
from hwmodel.architecture_file import load_architecture
from hwmodel.band import Band
from hwmodel.cost import LayerCost


def test_the_parts_of_a_cost_cannot_be_changed() -> None:
    parts = {"mac": 1.0}
    cost = LayerCost.of("fc", Band(1.0, 1.0, 1.0), parts, {"dram": Band(2.0, 2.0, 2.0)})
    parts["mac"] = 5.0
    held: Any
    for held, expected in ((cost.latency_parts, {"mac": 1.0}), (cost.energy_parts, {"dram": 2.0})):
        assert held == expected
        with pytest.raises(TypeError, match="does not support item assignment"):
            held["mac"] = 5.0


@pytest.mark.parametrize("name", ["cpu-seal", "cpu-engine"])
def test_the_kernel_times_of_a_machine_cannot_be_changed(name: str) -> None:
    machine = load_architecture(name)
    assert isinstance(machine, CpuSeal)
    kernels: Any = machine.kernels
    with pytest.raises(TypeError, match="does not support item assignment"):
        kernels["call_us"] = kernels["product_ns"]
