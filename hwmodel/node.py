"""A machine as if it were built at another technology node. Energies scale by published factors; times stay. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from compress.errors import CostModelError
from hwmodel.architecture import Architecture, CkksAccelerator, Coefficient, PlainArray
from hwmodel.band import Band
from hwmodel.scaling import node_factor

#: Energies of logic and on-chip memory, and static power. DRAM is another chip and stays as it is.
SCALED = {
    PlainArray: ("mac_energy_pj", "buffer_energy_pj", "requantize_energy_pj", "shift_energy_pj", "static_power_w"),
    CkksAccelerator: ("product_energy_pj", "on_chip_energy_pj", "static_power_w"),
}


def at_node(machine: Architecture, node_nm: float) -> Architecture:
    """The machine with its on-chip energies at another node and the same clock; the factors' band widens the energies'.

    Raises: CostModelError for a machine without a node, or a node outside the published factors.
    """
    if not isinstance(machine, PlainArray | CkksAccelerator):
        raise CostModelError(
            f"architecture '{machine.name}': its coefficients were measured, so there is no node to scale from; "
            "leave it out of --node"
        )
    factor = node_factor(machine.node_nm.value, node_nm)
    scaled: dict[str, Any] = {name: _scaled(getattr(machine, name), factor, node_nm) for name in SCALED[type(machine)]}
    scaled["node_nm"] = Coefficient(node_nm, "nm", node_nm, node_nm, "asked for", "modelled")
    return replace(machine, **scaled)


def _scaled(coefficient: Coefficient, factor: Band, node_nm: float) -> Coefficient:
    band = coefficient.band * factor
    source = f"{coefficient.source}; scaled to {node_nm:g} nm"
    kind = coefficient.kind if factor.low == factor.high else "modelled"
    return replace(coefficient, value=band.value, low=band.low, high=band.high, source=source, kind=kind)
