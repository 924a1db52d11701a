"""What counts as wrong in a selftest, its table by family, and what is said below the table. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from scipy.stats import binom

from cipherpress.selftest.batched import BatchResult
from cipherpress.selftest.case import CaseResult

#: At most this share of all inputs may lie outside the bound of their bundle.
ALLOWED_OUTSIDE = 1e-4
#: The plan in clear and the network may differ by so much, relative to the outputs' rms: plans keep weights as float32,
#: which is off by 6e-8, and every square doubles what is relative.
ALLOWED_PLAN_ERROR = 1e-5
#: A promised share of changed classes is broken when as many changes as measured are less likely than this.
LEAST_CHANCE = 1e-4


def wrongs(results: Sequence[CaseResult]) -> list[str]:
    """Everything that is wrong, one line each; empty when every promise held."""
    lines = []
    for result in results:
        name = f"{result.family}, seed {result.seed}"
        if result.outcome == "failed":
            lines.append(f"{name}: {result.reason}")
        if result.plan_error > ALLOWED_PLAN_ERROR:
            lines.append(f"{name}: the plan in clear differs from the network by {result.plan_error:.2g} of its rms")
        if result.seal_ratio is not None and result.seal_ratio > 1:
            lines.append(f"{name}: under SEAL an error is {result.seal_ratio:.2f} times the bound")
        for run, where in ((result, ""), (result.batched, ", in batches")):
            if run is not None and _too_many_changed(run):
                lines.append(
                    f"{name}{where}: {run.changed} of {run.inputs} classes changed, "
                    f"at most {run.promised:.2%} were promised"
                )
    for runs, where in ((results, ""), (_batched(results), " in batches")):
        outside, inputs = sum(run.outside for run in runs), sum(run.inputs for run in runs)
        if outside > ceil(ALLOWED_OUTSIDE * inputs):
            lines.append(f"{outside} of {inputs} inputs{where} lie outside the bound of their bundle; 1 in 10,000 may")
    return lines


def _too_many_changed(run: CaseResult | BatchResult) -> bool:
    """Whether so many changed classes contradict the promised share."""
    if run.changed is None or run.promised is None:
        return False
    return bool(binom.sf(run.changed - 1, run.inputs, min(run.promised, 1.0)) < LEAST_CHANCE)


def _batched(results: Sequence[CaseResult]) -> list[BatchResult]:
    return [result.batched for result in results if result.batched is not None]


def refusals(results: Sequence[CaseResult]) -> list[str]:
    """Everything that was refused, one line each: networks, second plans for SEAL, and plans for batches."""
    networks = [(one, "", one.reason) for one in results if one.outcome == "refused"]
    plans = [(one, ", plan for both backends", one.seal_reason) for one in results if one.seal_plan == "refused"]
    batches = [
        (one, ", in batches", one.batched.reason)
        for one in results
        if one.batched is not None and one.batched.outcome == "refused"
    ]
    return [f"{one.family}, seed {one.seed}{what}: {reason}" for one, what, reason in (*networks, *plans, *batches)]


def summary(results: Sequence[CaseResult]) -> dict[str, Any]:
    """All that a selftest found, as JSON values."""
    return {
        "networks": len(results),
        "inputs": sum(one.inputs for one in results),
        "outside": sum(one.outside for one in results),
        "seal_inputs": sum(one.seal_inputs for one in results),
        "rows": by_family(results),
        "batch_rows": batches_by_family(results),
        "cases": [one.as_json() for one in results],
        "refused": refusals(results),
        "wrong": wrongs(results),
    }


def remarks(found: Mapping[str, Any]) -> list[str]:
    """The lines below the table of a summary: what was refused, and what is wrong."""
    return [f"{name}: {line}" for name in ("refused", "wrong") for line in found[name]]


def by_family(results: Sequence[CaseResult]) -> list[dict[str, Any]]:
    """One row per family, in the order of their first network."""
    names = list(dict.fromkeys(result.family for result in results))
    return [_row(name, [result for result in results if result.family == name]) for name in names]


def batches_by_family(results: Sequence[CaseResult]) -> list[dict[str, Any]]:
    """One row per family with networks that were run in throughput mode, in the order of their first network."""
    rows = []
    for family in dict.fromkeys(result.family for result in results):
        own = _batched([result for result in results if result.family == family])
        compiled = [run for run in own if run.outcome == "compiled"]
        with_classes = [run for run in compiled if run.promised is not None]
        if own:
            rows.append(
                {
                    "family": family,
                    "compiled": len(compiled),
                    "refused": len(own) - len(compiled),
                    "inputs": sum(run.inputs for run in compiled),
                    "outside": sum(run.outside for run in compiled),
                    "error_over_bound": max((run.largest_ratio for run in compiled), default=None),
                    "changed": sum(run.changed or 0 for run in with_classes) if with_classes else None,
                    "promised": sum((run.promised or 0.0) * run.inputs for run in with_classes)
                    if with_classes
                    else None,
                }
            )
    return rows


def _row(family: str, own: Sequence[CaseResult]) -> dict[str, Any]:
    compiled = [result for result in own if result.outcome == "compiled"]
    with_classes = [result for result in compiled if result.promised is not None]
    expected = sum((result.promised or 0.0) * result.inputs for result in with_classes)
    return {
        "family": family,
        "networks": len(own),
        "compiled": len(compiled),
        "refused": sum(result.outcome == "refused" for result in own),
        "failed": sum(result.outcome == "failed" for result in own),
        "inputs": sum(result.inputs for result in compiled),
        "outside": sum(result.outside for result in compiled),
        "error_over_bound": max((result.largest_ratio for result in compiled), default=None),
        "loosest_error_over_bound": min((result.largest_ratio for result in compiled), default=None),
        "seal_networks": sum(result.seal_ratio is not None for result in compiled),
        "seal_second_plans": sum(result.seal_plan == "second" for result in compiled),
        "seal_error_over_bound": max(
            (result.seal_ratio for result in compiled if result.seal_ratio is not None), default=None
        ),
        "changed": sum(result.changed or 0 for result in with_classes) if with_classes else None,
        "promised": expected if with_classes else None,
        "score_lost": max(
            ((result.score_plain or 0.0) - (result.score_converted or 0.0) for result in compiled), default=None
        ),
        "seconds": max(result.seconds for result in own),
        "peak_mb": max(result.peak_rss_bytes for result in own) / 1e6,
    }
