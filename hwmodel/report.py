"""estimate and compare: what a network or a plan costs on one machine, and on several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compress.errors import ConfigError, CostModelError
from compress.network import Network
from hwmodel.architecture import (
    ENCRYPTED,
    KINDS,
    PLAIN,
    Architecture,
    CkksAccelerator,
    CpuEngine,
    CpuSeal,
    PlainArray,
    coefficient_units,
)
from hwmodel.architecture_file import list_architectures, load_architecture
from hwmodel.band import ZERO, Band
from hwmodel.batch_counts import BatchWorkload, batch_workload
from hwmodel.batch_prices import price_batch_accelerator, price_batch_core
from hwmodel.ckks import price_accelerator, price_core
from hwmodel.cost import LayerCost
from hwmodel.counts import PlainWorkload, plain_workload
from hwmodel.encrypted_counts import EncryptedWorkload, encrypted_workload
from hwmodel.plain import price_array, price_cpu
from secure.bundle.batch_specs import BatchBundle
from secure.bundle.specs import Bundle
from secure.coded.plan import BatchPlan
from secure.plan import Plan

#: What runs in one mode: the first two in clear, the others encrypted.
Work = Network | PlainWorkload | Plan | EncryptedWorkload | BatchPlan | BatchWorkload
Counted = PlainWorkload | EncryptedWorkload | BatchWorkload

#: The types of what can be priced, for messages.
PRICED = (
    "a Network or PlainWorkload, priced in clear, or a Plan, EncryptedWorkload or Bundle, priced encrypted; "
    "convert a torch module first"
)


@dataclass(frozen=True, kw_only=True)
class CostReport:
    """What one image costs on one machine in one mode, 'plain' or 'encrypted'. Every figure is modelled.

    kind: always 'modelled'. latency_basis, energy_basis: the kinds of the coefficients that the figures rest on.
    layers: the cost of every layer; the totals are their sums. batch: images that run at once; what is stated of one
    image is its share of a full block.
    """

    architecture: str
    mode: str
    layers: tuple[LayerCost, ...]
    latency_basis: tuple[str, ...]
    energy_basis: tuple[str, ...]
    kind: str = "modelled"
    batch: int = 1

    @property
    def latency(self) -> Band:
        """Milliseconds per image."""
        return sum((layer.latency_ms for layer in self.layers), ZERO)

    @property
    def energy(self) -> Band:
        """Millijoules per image."""
        return sum((layer.energy_mj for layer in self.layers), ZERO)

    @property
    def latency_ms(self) -> float:
        return self.latency.value

    @property
    def latency_low_ms(self) -> float:
        return self.latency.low

    @property
    def latency_high_ms(self) -> float:
        return self.latency.high

    @property
    def energy_mj(self) -> float:
        return self.energy.value

    @property
    def energy_low_mj(self) -> float:
        return self.energy.low

    @property
    def energy_high_mj(self) -> float:
        return self.energy.high

    def as_json(self) -> dict[str, Any]:
        """JSON values: latency_ms, energy_mj, architecture, mode, low, high, kind, basis and layers; of a block of
        several images also batch and images_per_s."""
        several = {"batch": self.batch, "images_per_s": 1e3 / self.latency_ms} if self.batch > 1 else {}
        return {
            **several,
            "architecture": self.architecture,
            "mode": self.mode,
            "latency_ms": self.latency_ms,
            "energy_mj": self.energy_mj,
            "low": {"latency_ms": self.latency_low_ms, "energy_mj": self.energy_low_mj},
            "high": {"latency_ms": self.latency_high_ms, "energy_mj": self.energy_high_mj},
            "kind": self.kind,
            "basis": {"latency_ms": list(self.latency_basis), "energy_mj": list(self.energy_basis)},
            "layers": [layer.as_json() for layer in self.layers],
        }


@dataclass(frozen=True)
class Comparison:
    """Reports beside each other, in the order asked for."""

    reports: tuple[CostReport, ...]

    @property
    def privacy_overhead(self) -> dict[str, float]:
        """Machine -> encrypted latency over plain latency, for machines that have both."""
        latency = {(report.architecture, report.mode): report.latency_ms for report in self.reports}
        return {
            name: latency[name, ENCRYPTED] / plain_ms
            for (name, mode), plain_ms in latency.items()
            if mode == PLAIN and (name, ENCRYPTED) in latency and plain_ms > 0
        }

    def to_json(self) -> dict[str, Any]:
        return {"estimates": [report.as_json() for report in self.reports], "privacy_overhead": self.privacy_overhead}

    def __str__(self) -> str:
        header = ("architecture", "mode", "latency", "low .. high", "energy", "low .. high", "figures rest on")
        rows = [header, *(_table_row(report) for report in self.reports)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines.insert(1, "  ".join("-" * width for width in widths))
        lines += [
            f"{name}: encrypted takes {ratio:.3g} times the plain latency"
            for name, ratio in self.privacy_overhead.items()
        ]
        whole = "one image" if all(report.batch == 1 for report in self.reports) else "one image of a full block"
        lines.append(f"{whole}; every figure is modelled from coefficients of the kinds named (latency; energy)")
        return "\n".join(lines)


def estimate(work: Work | Bundle | BatchBundle, architecture: str | Path | Architecture) -> CostReport:
    """What a network costs in clear, or a plan or bundle encrypted, on a machine, given by name, path or value.

    `compare` prices a bundle in both modes. Of a plan for throughput it is one image's share of a full block.

    Raises: ConfigError for work of another type; CostModelError when the machine does not run that kind of work, or its
    file is wrong.
    """
    machine = architecture if isinstance(architecture, Architecture) else load_architecture(architecture)
    workload = _workload(work)
    mode = PLAIN if isinstance(workload, PlainWorkload) else ENCRYPTED
    layers = _price(workload, machine)
    latency_basis, energy_basis = _basis(machine, mode, derived=isinstance(workload, BatchWorkload))
    return CostReport(
        architecture=machine.name,
        mode=mode,
        layers=layers,
        latency_basis=latency_basis,
        energy_basis=energy_basis,
        batch=workload.images if isinstance(workload, BatchWorkload) else 1,
    )


def compare(
    subject: Bundle | BatchBundle | Work | Sequence[Work],
    architectures: str | Path | Architecture | Sequence[str | Path | Architecture],
) -> Comparison:
    """Reports for every machine, in every mode that it has and the subject offers.

    A bundle offers both modes, a network or plain workload the plain one, a plan the encrypted one.
    architectures: one machine, or several in the order of the reports.

    Raises: ConfigError for a subject of another type and for no architecture; CostModelError when a machine can do
    nothing with the subject.
    """
    works = _works(subject)
    reports = []
    for machine in _machines(architectures):
        modes = [mode for mode in machine.modes if mode in works and _runs(works[mode], machine)]
        priced = [estimate(works[mode], machine) for mode in modes]
        if not priced:
            raise CostModelError(
                f"architecture '{machine.name}' prices {' and '.join(machine.modes)} work, this has "
                f"{' and '.join(works)} work only; choose another architecture, or compile the network again"
            )
        reports += priced
    return Comparison(tuple(reports))


def _runs(work: Work, machine: Architecture) -> bool:
    """Whether a machine of this mode runs the work: SEAL does not run plans for throughput."""
    return not isinstance(work, BatchPlan | BatchWorkload) or type(machine) is not CpuSeal


def _machines(
    architectures: str | Path | Architecture | Sequence[str | Path | Architecture],
) -> list[Architecture]:
    """Raises: ConfigError for no architecture; CostModelError."""
    chosen = [architectures] if isinstance(architectures, str | Path | Architecture) else architectures
    if not isinstance(chosen, Sequence) or not chosen:
        names = ", ".join(list_architectures())
        raise ConfigError("architectures", architectures, f"one or more of {names}, or paths of YAML files")
    return [one if isinstance(one, Architecture) else load_architecture(one) for one in chosen]


def _works(subject: Bundle | BatchBundle | Work | Sequence[Work]) -> dict[str, Work]:
    """Work by mode.

    Raises: ConfigError for another type.
    """
    if isinstance(subject, Bundle | BatchBundle):
        works: dict[str, Work] = {ENCRYPTED: subject.server.plan}
        if "plain_workload" in subject.report:
            works[PLAIN] = PlainWorkload.from_json(subject.report["plain_workload"])
        return works
    if isinstance(subject, list | tuple) and subject:
        return {mode: work for part in subject for mode, work in _works(part).items()}
    work = _workload(subject, "subject")
    return {PLAIN if isinstance(work, PlainWorkload) else ENCRYPTED: work}


def _workload(work: object, field: str = "work") -> Counted:
    """The counted work; of a bundle, that of its plan.

    Raises: ConfigError naming `field` for another type.
    """
    match work:
        case PlainWorkload() | EncryptedWorkload() | BatchWorkload():
            return work
        case Network():
            return plain_workload(work)
        case Plan():
            return encrypted_workload(work)
        case Bundle():
            return encrypted_workload(work.server.plan)
        case BatchPlan():
            return batch_workload(work)
        case BatchBundle():
            return batch_workload(work.server.plan)
    raise ConfigError(field, type(work).__name__, PRICED)


def _price(work: Counted, machine: Architecture) -> tuple[LayerCost, ...]:
    match work, machine:
        case PlainWorkload(), PlainArray():
            return price_array(work, machine)
        case PlainWorkload(), CpuSeal():
            return price_cpu(work, machine)
        case EncryptedWorkload(), CpuSeal():
            return price_core(work, machine)
        case EncryptedWorkload(), CkksAccelerator():
            return price_accelerator(work, machine)
        case BatchWorkload(), CpuEngine():
            return price_batch_core(work, machine)
        case BatchWorkload(), CkksAccelerator():
            return price_batch_accelerator(work, machine)
        case BatchWorkload(), CpuSeal():
            raise CostModelError(
                f"architecture '{machine.name}': SEAL does not run plans for throughput; choose cpu-engine"
            )
    mode = PLAIN if isinstance(work, PlainWorkload) else ENCRYPTED
    raise CostModelError(
        f"architecture '{machine.name}' has no {mode} mode; it prices {' and '.join(machine.modes)} work; "
        "choose another architecture"
    )


def _basis(machine: Architecture, mode: str, *, derived: bool = False) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Kinds of the coefficients that latency and energy rest on, the best supported first.

    derived: whether the work is of a kind that nobody has run on an accelerator.
    """
    if isinstance(machine, CpuSeal):
        plain = {name: getattr(machine, name) for name in coefficient_units(CpuSeal) if name != "core_power_w"}
        latency, energy = dict(machine.kernels if mode == ENCRYPTED else plain), {"core_power_w": machine.core_power_w}
    else:
        # a coefficient of zero, such as that of a call that costs no time, does not weaken a figure
        every = {name: coefficient for name, coefficient in machine.coefficients().items() if coefficient.high > 0}
        latency = {
            name: coefficient for name, coefficient in every.items() if not name.endswith(("_pj", "_w", "gated_share"))
        }
        energy = {name: coefficient for name, coefficient in every.items() if name not in latency}
    kinds = {coefficient.kind for coefficient in latency.values()}
    energy_kinds = kinds | {coefficient.kind for coefficient in energy.values()}
    bracketed = {"modelled"} if isinstance(machine, CkksAccelerator) else set()  # its schedule is assumed
    bracketed |= {"derived"} if bracketed and derived else set()
    return _ordered(kinds | bracketed), _ordered(energy_kinds | bracketed)


def _ordered(kinds: set[str]) -> tuple[str, ...]:
    return tuple(kind for kind in KINDS if kind in kinds)


def _table_row(report: CostReport) -> tuple[str, ...]:
    latency, energy = report.latency, report.energy
    return (
        report.architecture,
        report.mode,
        f"{latency.value:.3g} ms",
        f"{latency.low:.3g} .. {latency.high:.3g}",
        f"{energy.value:.3g} mJ",
        f"{energy.low:.3g} .. {energy.high:.3g}",
        f"{', '.join(report.latency_basis)}; {', '.join(report.energy_basis)}",
    )
