"""Architecture files: YAML in, a checked machine out. Errors name the file and the field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from compress.errors import CostModelError, shown
from hwmodel.architecture import (
    FAMILIES,
    FLAG,
    KINDS,
    MAPPINGS,
    Architecture,
    Coefficient,
    CpuEngine,
    CpuSeal,
    PlainArray,
    coefficient_units,
    kernel_units,
)
from hwmodel.yaml_file import read_yaml

ARCHITECTURES = Path(__file__).parent / "architectures"
FORMAT_VERSION = 1
#: No coefficient of a machine in its unit is near this.
LARGEST_NUMBER = 1e30


def list_architectures() -> tuple[str, ...]:
    """Names of the machines that ship with cipherpress."""
    return tuple(sorted(path.stem for path in ARCHITECTURES.glob("*.yaml")))


def load_architecture(name_or_path: str | Path) -> Architecture:
    """A machine that ships with cipherpress, by name, or another one, by the path of its YAML file.

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
    return parse_architecture(read_yaml(path), str(path))


def parse_architecture(document: object, where: str) -> Architecture:
    """The machine that a parsed YAML document describes; `where` names the file in messages.

    Raises: CostModelError.
    """
    top = _mapping(document, where, "the file")
    family = FAMILIES.get(str(top.get("family")))
    if family is None:
        raise CostModelError(f"{where}: family: got {shown(top.get('family'))}; allowed: {', '.join(FAMILIES)}")
    own = {CpuSeal: {"kernels"}, CpuEngine: {"kernels"}, PlainArray: {"mapping"}}.get(family, set())
    _exact_fields(top, {"format", "name", "family", "title", "about", "coefficients"} | own, where, "the file")
    if top["format"] != FORMAT_VERSION:
        raise CostModelError(f"{where}: format: got {shown(top['format'])}; this version reads {FORMAT_VERSION}")
    texts = {key: _text(top[key], f"{where}: {key}") for key in ("name", "title", "about")}
    values: dict[str, Any] = _coefficients(top["coefficients"], coefficient_units(family), f"{where}: coefficients")
    for item in fields(family):
        if item.metadata.get("divisor") and values[item.name].low == 0:
            raise CostModelError(
                f"{where}: coefficients.{item.name}: low: got 0; work is divided by it, allowed: above 0"
            )
    if family is PlainArray:
        if top["mapping"] not in MAPPINGS:
            raise CostModelError(f"{where}: mapping: got {shown(top['mapping'])}; allowed: {', '.join(MAPPINGS)}")
        values["mapping"] = top["mapping"]
    if issubclass(family, CpuSeal):
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
        raise CostModelError(
            f"{where}: unit: got {shown(entries['unit'])}; allowed: {unit!r}; convert value, low and high"
        )
    if entries["kind"] not in KINDS:
        raise CostModelError(f"{where}: kind: got {shown(entries['kind'])}; allowed: {', '.join(KINDS)}")
    value, low, high = (_number(entries[key], f"{where}: {key}") for key in ("value", "low", "high"))
    if not low <= value <= high:
        raise CostModelError(f"{where}: got low {low:g}, value {value:g}, high {high:g}; allowed: low <= value <= high")
    if unit == FLAG and {value, low, high} - {0.0, 1.0}:
        raise CostModelError(f"{where}: got {value:g}; a flag is 0 or 1, with low and high the same")
    if unit == "1" and high > 1:
        raise CostModelError(f"{where}: high: got {high:g}; a share is at most 1")
    return Coefficient(value, unit, low, high, _text(entries["source"], f"{where}: source"), str(entries["kind"]))


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LARGEST_NUMBER:
        raise CostModelError(
            f"{where}: got {shown(value)}; allowed: a finite number, at least 0 and at most {LARGEST_NUMBER:g} "
            "(YAML wants 2.0e+8, not 200e6)"
        )
    return float(value)


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not value.strip() or not value.replace("\n", " ").isprintable():
        raise CostModelError(
            f"{where}: got {shown(value)}; allowed: a text that is not empty, without control characters"
        )
    return value.strip()


def _mapping(value: object, where: str, what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise CostModelError(f"{where}: {what} must be a mapping of names, got {type(value).__name__}")
    return value


def _exact_fields(found: Mapping[str, Any], wanted: set[str], where: str, what: str) -> None:
    unknown, missing = sorted(set(found) - wanted), sorted(wanted - set(found))
    if unknown:
        raise CostModelError(f"{where}: unknown field {shown(unknown[0])}; {what} allows {', '.join(sorted(wanted))}")
    if missing:
        raise CostModelError(f"{where}: missing field '{missing[0]}'; {what} needs {', '.join(sorted(wanted))}")
