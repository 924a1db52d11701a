"""Machines that can be priced: three families, their coefficients, and the YAML files they are read from.

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
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar

import yaml

from compress.errors import CostModelError
from hwmodel.band import Band
from secure.kernels import KernelTimes

ARCHITECTURES = Path(__file__).parent / "architectures"
FORMAT_VERSION = 1
KINDS = ("measured", "cited", "derived", "modelled")
PLAIN, ENCRYPTED = "plain", "encrypted"
FLAG = "flag"


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
    """A coefficient that work is divided by: zero is refused."""
    return field(metadata={"unit": unit, "divisor": True})


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A machine: a name, a title for people, and what its family adds. `modes`: what it can be asked."""

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
    """An array of multiply-accumulate units behind a buffer and a DRAM; runs networks in clear, layer by layer.

    mac_energy_pj includes the unit's registers; buffer_bytes_per_mac is the traffic that the dataflow leaves there.
    skips_zero_weights, packs_weights: 1 where zero weights take no time, or weights are stored in their own bits.
    """

    family: ClassVar[str] = "plain-array"
    modes: ClassVar[tuple[str, ...]] = (PLAIN,)
    clock_hz: Coefficient = _divisor("Hz")
    macs_per_cycle: Coefficient = _divisor("MAC/cycle")
    utilization: Coefficient = _divisor("1")
    operand_bits: Coefficient = _divisor("bit")
    mac_energy_pj: Coefficient = _unit("pJ/MAC")
    buffer_bytes_per_mac: Coefficient = _unit("byte/MAC")
    buffer_energy_pj: Coefficient = _unit("pJ/byte")
    dram_energy_pj: Coefficient = _unit("pJ/byte")
    dram_bytes_per_s: Coefficient = _divisor("byte/s")
    static_power_w: Coefficient = _unit("W")
    skips_zero_weights: Coefficient = _unit(FLAG)
    packs_weights: Coefficient = _unit(FLAG)


@dataclass(frozen=True, kw_only=True)
class CpuSeal(Architecture):
    """One core that runs plans under SEAL and networks in float32; `kernels` are the fields of KernelTimes."""

    family: ClassVar[str] = "cpu-seal"
    modes: ClassVar[tuple[str, ...]] = (PLAIN, ENCRYPTED)
    kernels: Mapping[str, Coefficient]
    mac_ns: Coefficient = _unit("ns/MAC")
    elementwise_ns: Coefficient = _unit("ns/op")
    layer_call_us: Coefficient = _unit("us/layer")
    memory_bytes_per_s: Coefficient = _divisor("byte/s")
    core_power_w: Coefficient = _unit("W")

    def coefficients(self) -> dict[str, Coefficient]:
        return {**self.kernels, **super().coefficients()}


@dataclass(frozen=True, kw_only=True)
class CkksAccelerator(Architecture):
    """A vector machine for CKKS: pipelined units over residues of word_bits, on-chip memory, and a bus for keys."""

    family: ClassVar[str] = "ckks-accelerator"
    modes: ClassVar[tuple[str, ...]] = (ENCRYPTED,)
    clock_hz: Coefficient = _divisor("Hz")
    word_bits: Coefficient = _divisor("bit")
    native_ring_degree: Coefficient = _unit("residue")
    transform_residues_per_cycle: Coefficient = _divisor("residue/cycle")
    products_per_cycle: Coefficient = _divisor("product/cycle")
    additions_per_cycle: Coefficient = _divisor("addition/cycle")
    memory_bytes_per_s: Coefficient = _divisor("byte/s")
    power_w: Coefficient = _unit("W")


FAMILIES: Mapping[str, type[Architecture]] = {kind.family: kind for kind in (PlainArray, CpuSeal, CkksAccelerator)}
KERNEL_UNITS: Mapping[str, str] = {"_ns": "ns", "_us": "us/call"}


def kernel_units() -> dict[str, str]:
    """Units of the kernel times by their name in secure.kernels.KernelTimes (the suffix says them)."""
    return {item.name: KERNEL_UNITS[item.name[-3:]] for item in fields(KernelTimes)}


def coefficient_units(family: type[Architecture]) -> dict[str, str]:
    """The coefficients a family declares, with their units."""
    return {item.name: item.metadata["unit"] for item in fields(family) if "unit" in item.metadata}


def kernel_times(architecture: Architecture) -> KernelTimes:
    """The kernel times of a CPU, as compilation and latency predictions use them.

    Raises: CostModelError for a machine of another family.
    """
    if not isinstance(architecture, CpuSeal):
        raise CostModelError(
            f"architecture '{architecture.name}': family '{architecture.family}' has no kernel times; "
            "use one of family 'cpu-seal'"
        )
    return KernelTimes(**{name: coefficient.value for name, coefficient in architecture.kernels.items()})


def list_architectures() -> tuple[str, ...]:
    """Names of the machines that ship with cipherpress."""
    return tuple(sorted(path.stem for path in ARCHITECTURES.glob("*.yaml")))


def load_architecture(name_or_path: str | Path) -> Architecture:
    """A shipped machine by name, or one of your own by the path of its YAML file.

    Raises: CostModelError naming the file, the field and what is allowed.
    """
    name = str(name_or_path)
    if name in list_architectures():
        path = ARCHITECTURES / f"{name}.yaml"
    elif Path(name).is_file():
        path = Path(name)
    else:
        raise CostModelError(
            f"architecture '{name}' is unknown; use one of {', '.join(list_architectures())} or the path of a YAML file"
        )
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise CostModelError(f"{path}: not a readable YAML file: {' '.join(str(error).split())}") from error
    return parse_architecture(document, str(path))


def parse_architecture(document: object, where: str) -> Architecture:
    """The machine a parsed YAML document describes; `where` names the file in messages.

    Raises: CostModelError.
    """
    top = _mapping(document, where, "the file")
    family = FAMILIES.get(str(top.get("family")))
    if family is None:
        raise CostModelError(f"{where}: family: got {top.get('family')!r}; allowed: {', '.join(FAMILIES)}")
    sections = {"format", "name", "family", "title", "about", "coefficients"} | (
        {"kernels"} if family is CpuSeal else set()
    )
    _exact_fields(top, sections, where, "the file")
    if top["format"] != FORMAT_VERSION:
        raise CostModelError(f"{where}: format: got {top['format']!r}; this version reads {FORMAT_VERSION}")
    texts = {key: _text(top[key], f"{where}: {key}") for key in ("name", "title", "about")}
    values: dict[str, Any] = _coefficients(top["coefficients"], coefficient_units(family), f"{where}: coefficients")
    for item in fields(family):
        if item.metadata.get("divisor") and values[item.name].low == 0:
            raise CostModelError(
                f"{where}: coefficients.{item.name}: low: got 0; work is divided by it, allowed: above 0"
            )
    if family is CpuSeal:
        values["kernels"] = _coefficients(top["kernels"], kernel_units(), f"{where}: kernels")
    return family(**texts, **values)


def _coefficients(section: object, units: Mapping[str, str], where: str) -> dict[str, Coefficient]:
    entries = _mapping(section, where, "the section")
    _exact_fields(entries, set(units), where, "the section")
    return {name: _coefficient(entries[name], unit, f"{where}.{name}") for name, unit in units.items()}


def _coefficient(entry: object, unit: str, where: str) -> Coefficient:
    entries = _mapping(entry, where, "the coefficient")
    _exact_fields(entries, {item.name for item in fields(Coefficient)}, where, "the coefficient")
    if entries["unit"] != unit:
        raise CostModelError(f"{where}: unit: got {entries['unit']!r}; allowed: {unit!r}; convert value, low and high")
    if entries["kind"] not in KINDS:
        raise CostModelError(f"{where}: kind: got {entries['kind']!r}; allowed: {', '.join(KINDS)}")
    value, low, high = (_number(entries[key], f"{where}: {key}") for key in ("value", "low", "high"))
    if not low <= value <= high:
        raise CostModelError(f"{where}: got low {low:g}, value {value:g}, high {high:g}; allowed: low <= value <= high")
    if unit == FLAG and {value, low, high} - {0.0, 1.0}:
        raise CostModelError(f"{where}: got {value:g}; a flag is 0 or 1, with low and high the same")
    return Coefficient(value, unit, low, high, _text(entries["source"], f"{where}: source"), str(entries["kind"]))


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value < 0:
        raise CostModelError(
            f"{where}: got {value!r}; allowed: a finite number, at least 0 (YAML wants 2.0e+8, not 200e6)"
        )
    return float(value)


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise CostModelError(f"{where}: got {value!r}; allowed: a text that is not empty")
    return value.strip()


def _mapping(value: object, where: str, what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise CostModelError(f"{where}: {what} must be a mapping of names, got {type(value).__name__}")
    return value


def _exact_fields(found: Mapping[str, Any], wanted: set[str], where: str, what: str) -> None:
    unknown, missing = sorted(set(found) - wanted), sorted(wanted - set(found))
    if unknown:
        raise CostModelError(f"{where}: unknown field '{unknown[0]}'; {what} allows {', '.join(sorted(wanted))}")
    if missing:
        raise CostModelError(f"{where}: missing field '{missing[0]}'; {what} needs {', '.join(sorted(wanted))}")
