"""Machines that can be priced: families and their coefficients. architecture_file.py reads a machine from a file.

A coefficient is a number with a unit, a band, a source and a kind:
    measured   by a benchmark of this project, on the machine the file names
    cited      from a publication
    derived    computed from cited or measured numbers
    modelled   an assumption, stated as such
The dataclasses below are the schema: a file holds exactly their coefficients, each in the unit named here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, ClassVar

from compress.errors import CostModelError
from hwmodel.band import Band
from secure.kernels.counts import KernelTimes

KINDS = ("measured", "cited", "derived", "modelled")
PLAIN, ENCRYPTED = "plain", "encrypted"
FLAG = "flag"
ROW_STATIONARY, WEIGHT_STATIONARY, VECTOR = "row-stationary", "weight-stationary", "vector"
MAPPINGS = (ROW_STATIONARY, WEIGHT_STATIONARY, VECTOR)


@dataclass(frozen=True)
class Coefficient:
    """One number of a machine: low <= value <= high in `unit`, where it comes from, and its kind (see KINDS)."""

    value: float
    unit: str
    low: float
    high: float
    source: str
    kind: str

    @property
    def band(self) -> Band:
        return Band(self.value, self.low, self.high)


def _unit(unit: str) -> Any:
    return field(metadata={"unit": unit})


def _divisor(unit: str) -> Any:
    """A coefficient that work is divided by, so that zero is refused."""
    return field(metadata={"unit": unit, "divisor": True})


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A machine: a name, a title for people, and what its family adds. modes: which work it can price."""

    family: ClassVar[str]
    modes: ClassVar[tuple[str, ...]]
    name: str
    title: str
    about: str

    def coefficients(self) -> dict[str, Coefficient]:
        """Every coefficient by name."""
        return {name: getattr(self, name) for name in coefficient_units(type(self))}


@dataclass(frozen=True, kw_only=True)
class PlainArray(Architecture):
    """Multiply-accumulate units behind a buffer and a DRAM; runs networks in clear, layer by layer.

    mapping: how a layer is laid over the units (MAPPINGS; see mapping.py), on array_rows by array_columns of them.
    utilization: share of the cycles in which the occupied units or the buffer work; in the rest, passes are loaded.
    operand_bits, smallest_bits: native width, and the narrowest width that makes the units proportionally faster.
    mac_energy_pj: of one multiply-accumulate with its registers; gated_share of it is saved where the input is zero.
    skip_granularity: 0 when zero weights take time, 1 when each is skipped, b when zero blocks of b x b are skipped.
    skip_efficiency: share of the ideal gain that skipping reaches.
    weight_store_bytes: on-chip memory for all weights of a network; 0 when they stream from DRAM layer by layer.
    zero_run_bits: bits of a non-zero input in DRAM when zeros are run-length coded; 0 when they are stored.
    dram_overlap: share of the DRAM time that double buffering hides behind the computation (1: all of it).
    shift_energy_pj: of a requantization by a power of two; used where shifts_requantize is 1.
    """

    family: ClassVar[str] = "plain-array"
    modes: ClassVar[tuple[str, ...]] = (PLAIN,)
    mapping: str
    node_nm: Coefficient = _divisor("nm")
    clock_hz: Coefficient = _divisor("Hz")
    macs_per_cycle: Coefficient = _divisor("MAC/cycle")
    array_rows: Coefficient = _divisor("unit")
    array_columns: Coefficient = _divisor("unit")
    utilization: Coefficient = _divisor("1")
    operand_bits: Coefficient = _divisor("bit")
    smallest_bits: Coefficient = _divisor("bit")
    mac_energy_pj: Coefficient = _unit("pJ/MAC")
    gated_share: Coefficient = _unit("1")
    skip_granularity: Coefficient = _unit("weight")
    skip_efficiency: Coefficient = _divisor("1")
    packs_weights: Coefficient = _unit(FLAG)
    buffer_bytes: Coefficient = _divisor("byte")
    keeps_activations: Coefficient = _unit(FLAG)
    weight_store_bytes: Coefficient = _unit("byte")
    buffer_bytes_per_mac: Coefficient = _unit("byte/MAC")
    buffer_bytes_per_s: Coefficient = _divisor("byte/s")
    buffer_energy_pj: Coefficient = _unit("pJ/byte")
    zero_run_bits: Coefficient = _unit("bit")
    dram_energy_pj: Coefficient = _unit("pJ/byte")
    dram_bytes_per_s: Coefficient = _divisor("byte/s")
    dram_overlap: Coefficient = _unit("1")
    requantize_energy_pj: Coefficient = _unit("pJ/value")
    shift_energy_pj: Coefficient = _unit("pJ/value")
    shifts_requantize: Coefficient = _unit(FLAG)
    layer_call_us: Coefficient = _unit("us/layer")
    static_power_w: Coefficient = _unit("W")


@dataclass(frozen=True, kw_only=True)
class CpuSeal(Architecture):
    """One core that runs plans under SEAL and networks in float32.

    kernels: the fields of KernelTimes, read-only.
    """

    family: ClassVar[str] = "cpu-seal"
    modes: ClassVar[tuple[str, ...]] = (PLAIN, ENCRYPTED)
    kernels: Mapping[str, Coefficient]
    mac_ns: Coefficient = _unit("ns/MAC")
    elementwise_ns: Coefficient = _unit("ns/op")
    layer_call_us: Coefficient = _unit("us/layer")
    memory_bytes_per_s: Coefficient = _divisor("byte/s")
    core_power_w: Coefficient = _unit("W")

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernels", MappingProxyType(dict(self.kernels)))

    def coefficients(self) -> dict[str, Coefficient]:
        return {**self.kernels, **super().coefficients()}


@dataclass(frozen=True, kw_only=True)
class CpuEngine(CpuSeal):
    """The same core with plans run by this project's engine, whose rotations share work (`secure.kernels.engine`)."""

    family: ClassVar[str] = "cpu-engine"


@dataclass(frozen=True, kw_only=True)
class CkksAccelerator(Architecture):
    """A vector machine for CKKS: units over residues of word_bits, on-chip memory, and a bus for what does not fit.

    occupancy: share of the cycles in which the busiest unit works. shared_units: 1 when transforms, products and
    additions run on the same lanes, one kernel after another (a GPU); 0 when each has units of its own.
    transform_passes: how often a transform reads and writes its residues in memory when they do not stay on the chip.
    halves_keys: 1 when the uniform half of a key is regenerated from a seed on the chip.
    product_energy_pj: of one modular product of two words. on_chip_energy_pj, memory_energy_pj: of a byte moved.
    """

    family: ClassVar[str] = "ckks-accelerator"
    modes: ClassVar[tuple[str, ...]] = (ENCRYPTED,)
    node_nm: Coefficient = _divisor("nm")
    clock_hz: Coefficient = _divisor("Hz")
    word_bits: Coefficient = _divisor("bit")
    native_ring_degree: Coefficient = _unit("residue")
    transform_residues_per_cycle: Coefficient = _divisor("residue/cycle")
    products_per_cycle: Coefficient = _divisor("product/cycle")
    additions_per_cycle: Coefficient = _divisor("addition/cycle")
    shared_units: Coefficient = _unit(FLAG)
    occupancy: Coefficient = _divisor("1")
    on_chip_bytes: Coefficient = _unit("byte")
    transform_passes: Coefficient = _unit("1/transform")
    halves_keys: Coefficient = _unit(FLAG)
    memory_bytes_per_s: Coefficient = _divisor("byte/s")
    product_energy_pj: Coefficient = _unit("pJ/product")
    on_chip_energy_pj: Coefficient = _unit("pJ/byte")
    memory_energy_pj: Coefficient = _unit("pJ/byte")
    static_power_w: Coefficient = _unit("W")


FAMILIES: Mapping[str, type[Architecture]] = {
    kind.family: kind for kind in (PlainArray, CpuSeal, CpuEngine, CkksAccelerator)
}
KERNEL_UNITS: Mapping[str, str] = {"_ns": "ns", "_us": "us/call"}


def kernel_units() -> dict[str, str]:
    """Field of secure.kernels.counts.KernelTimes -> its unit, which the suffix of the field names."""
    return {item.name: KERNEL_UNITS[item.name[-3:]] for item in fields(KernelTimes)}


def coefficient_units(family: type[Architecture]) -> dict[str, str]:
    """The coefficients that a family declares, with their units."""
    return {item.name: item.metadata["unit"] for item in fields(family) if "unit" in item.metadata}


def kernel_times(architecture: Architecture) -> KernelTimes:
    """The kernel times of a CPU, as compilation and latency predictions use them.

    Raises: CostModelError for a machine of another family.
    """
    if not isinstance(architecture, CpuSeal):
        raise CostModelError(
            f"architecture '{architecture.name}': family '{architecture.family}' has no kernel times; "
            "use one of family 'cpu-engine' or 'cpu-seal'"
        )
    return KernelTimes(**{name: coefficient.value for name, coefficient in architecture.kernels.items()})
