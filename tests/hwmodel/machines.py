"""Machines and workloads for tests of prices, and the check that more work never costs less."""

from __future__ import annotations

from dataclasses import replace

from hwmodel.architecture import Coefficient, PlainArray
from hwmodel.architecture_file import list_architectures, load_architecture
from hwmodel.counts import BLOCK_SIZES, LayerWork, PlainWorkload
from hwmodel.report import CostReport

MACHINES = {name: load_architecture(name) for name in list_architectures()}
PLAIN_MACHINES = tuple(name for name, machine in MACHINES.items() if "plain" in machine.modes)
ENCRYPTED_MACHINES = tuple(name for name, machine in MACHINES.items() if "encrypted" in machine.modes)


def exact(coefficient: Coefficient, value: float) -> Coefficient:
    return replace(coefficient, value=value, low=value, high=value)


def packing_array() -> PlainArray:
    """Eyeriss as if it skipped zero weights and stored each weight in its own number of bits."""
    machine = MACHINES["eyeriss"]
    assert isinstance(machine, PlainArray)
    return replace(
        machine, packs_weights=exact(machine.packs_weights, 1), skip_granularity=exact(machine.skip_granularity, 1)
    )


def one_layer(macs: int, nonzeros: int, bits: int, elementwise: int = 0) -> PlainWorkload:
    """A dense layer on one position, with as many weights as multiply-accumulates."""
    work = LayerWork(
        layer="fc", macs=macs, nonzero_macs=nonzeros, elementwise=elementwise, weights=macs, nonzeros=nonzeros,
        weight_bits=bits, kept_weights=(nonzeros,) * len(BLOCK_SIZES), biases=10, inputs=100, outputs=10,
    )  # fmt: skip
    return PlainWorkload((work,))


def assert_never_cheaper(larger: CostReport, smaller: CostReport) -> None:
    for corner in ("value", "low", "high"):
        assert getattr(larger.latency, corner) >= getattr(smaller.latency, corner) * (1 - 1e-12)
        assert getattr(larger.energy, corner) >= getattr(smaller.energy, corner) * (1 - 1e-12)
