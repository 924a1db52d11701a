"""Several versions of one network compared: what each compression saves, in clear and encrypted. Pure.

The first version is the baseline, usually the dense network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compress.errors import CostModelError
from compress.pareto import pareto_front
from hwmodel.architecture import ENCRYPTED, PLAIN, Architecture
from hwmodel.report import Comparison, CostReport, Work, compare
from secure.bundle.batch_specs import BatchBundle
from secure.bundle.specs import Bundle


@dataclass(frozen=True)
class Variant:
    """One version: its name, its costs on every machine, and its accuracy if that is known."""

    label: str
    comparison: Comparison
    accuracy: float | None = None

    def report(self, architecture: str, mode: str) -> CostReport | None:
        """The estimate for one machine and mode; None when there is none."""
        found = [r for r in self.comparison.reports if (r.architecture, r.mode) == (architecture, mode)]
        return found[0] if found else None


@dataclass(frozen=True)
class Saving:
    """What a version costs on a machine in one mode, and the baseline's cost over it (1 for the baseline itself)."""

    label: str
    architecture: str
    mode: str
    latency_ms: float
    energy_mj: float
    times_faster: float
    times_less_energy: float


@dataclass(frozen=True)
class ParetoPoint:
    """Accuracy against encrypted latency. on_front: no other version is as good in both and better in one."""

    label: str
    accuracy: float
    latency_ms: float
    on_front: bool


@dataclass(frozen=True)
class VariantTable:
    """All versions, the baseline first."""

    variants: tuple[Variant, ...]

    def savings(self) -> tuple[Saving, ...]:
        """Savings of every version over the baseline on the same machine and in the same mode."""
        baseline, rows = self.variants[0], []
        for variant in self.variants:
            for report in variant.comparison.reports:
                base = baseline.report(report.architecture, report.mode)
                if base is None or not report.latency_ms:
                    continue
                rows.append(
                    Saving(
                        variant.label,
                        report.architecture,
                        report.mode,
                        report.latency_ms,
                        report.energy_mj,
                        base.latency_ms / report.latency_ms,
                        base.energy_mj / report.energy_mj,
                    )
                )
        return tuple(rows)

    def privacy_overhead(self, plain: str, encrypted: str) -> dict[str, float]:
        """Encrypted latency on one machine over plain latency on another (or the same), by version."""
        ratios = {}
        for variant in self.variants:
            clear, secret = variant.report(plain, PLAIN), variant.report(encrypted, ENCRYPTED)
            if clear is not None and secret is not None and clear.latency_ms:
                ratios[variant.label] = secret.latency_ms / clear.latency_ms
        return ratios

    def pareto(self, architecture: str) -> tuple[ParetoPoint, ...]:
        """Points of the versions whose accuracy is known and which the machine runs encrypted."""
        known = [
            (variant.label, variant.accuracy, report.latency_ms)
            for variant in self.variants
            if variant.accuracy is not None and (report := variant.report(architecture, ENCRYPTED)) is not None
        ]
        points = [(-accuracy, latency) for _, accuracy, latency in known]
        front = {
            points[index] for index in pareto_front(points)
        }  # versions that are equal in both are all on the front
        return tuple(
            ParetoPoint(label, accuracy, latency, point in front)
            for (label, accuracy, latency), point in zip(known, points, strict=True)
        )

    def waterfall(self, plain: str, encrypted: str) -> tuple[tuple[str, float], ...]:
        """Latencies from the baseline in clear to the last version encrypted: (step, milliseconds)."""
        first, last = self.variants[0], self.variants[-1]
        steps = (
            (f"{first.label}, in clear", first.report(plain, PLAIN)),
            (f"{last.label}, in clear", last.report(plain, PLAIN)),
            (f"{first.label}, encrypted", first.report(encrypted, ENCRYPTED)),
            (f"{last.label}, encrypted", last.report(encrypted, ENCRYPTED)),
        )
        return tuple((step, report.latency_ms) for step, report in steps if report is not None)

    def to_json(self) -> dict[str, Any]:
        return {
            "variants": [{"label": v.label, "accuracy": v.accuracy, **v.comparison.to_json()} for v in self.variants],
            "savings": [vars(saving) for saving in self.savings()],
        }

    def __str__(self) -> str:
        lines = [
            f"{s.label:24} {s.architecture:12} {s.mode:10} {s.latency_ms:10.4g} ms {s.energy_mj:10.4g} mJ "
            f"{s.times_faster:7.2f} x faster {s.times_less_energy:7.2f} x less energy"
            for s in self.savings()
        ]
        for name in dict.fromkeys(report.architecture for report in self.variants[0].comparison.reports):
            overhead = self.privacy_overhead(name, name)
            lines += [
                f"{name}: encrypted takes {ratio:.3g} times the plain latency of {label}"
                for label, ratio in overhead.items()
            ]
        lines.append(f"one image, against {self.variants[0].label}; every figure is modelled")
        return "\n".join(lines)


def compare_variants(
    subjects: Mapping[str, Bundle | BatchBundle | Work | Sequence[Work]],
    architectures: Sequence[str | Path | Architecture],
    accuracies: Mapping[str, float] | None = None,
) -> VariantTable:
    """Costs of every version on every machine; the first version is the baseline.

    Raises: CostModelError without any version, or when a machine can do nothing with one.
    """
    if not subjects:
        raise CostModelError("variants: none given; give at least the baseline")
    known = accuracies or {}
    return VariantTable(
        tuple(Variant(label, compare(subject, architectures), known.get(label)) for label, subject in subjects.items())
    )
