"""The compiler's report: plain JSON values for people and cost models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from compress.network import Network
from compress.scores import scoring_of
from secure.compiling.allowed import names_a_class
from secure.drafting.draft import Draft
from secure.kernels.counts import KernelCounts, KernelTimes
from secure.kernels.engine import engine_kernels
from secure.kernels.seal import plan_seal_kernels
from secure.params import SECURITY_BITS
from secure.plan import Kind, Plan

REPORT_VERSION = 1


def compile_report(
    network: Network, draft: Draft, times: KernelTimes, *, weighed: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """All that the compiler decided and predicts, as JSON values. weighed: the alternatives that it tried.

    Raises: ValueError for a draft without a plan or without predicted errors.
    """
    plan, found = draft.plan, draft.assessment
    if plan is None or found is None:
        raise ValueError("the draft has no plan or no predicted errors; run all passes first")
    server_ms = times.milliseconds(sum(_operation_kernels(plan), KernelCounts()))
    request = draft.requests.plan_cost(plan)
    changes = {
        "predicted_disagreement": found.disagreement_limit,
        "expected_disagreement": found.disagreement,
        "disagreement_rows": found.class_rows,
    }
    return {
        "version": REPORT_VERSION,
        "mode": "latency",
        "about": dict(network.about),
        **plan_summary(plan),
        "backend": "engine" if plan.params.fits_engine else "seal",
        "objective": "round-trip" if draft.round_trip else "server",
        "predicted_server_ms": server_ms,
        "predicted_round_trip_ms": server_ms + request.milliseconds,
        "request": {**asdict(request), "link_mbit_s": draft.requests.link_mbit_s},
        "predicted_logit_error": found.error,
        "error_grows_beyond": draft.rows.grows_beyond,
        "predicted_systematic_error": found.systematic_error,
        "predicted_random_error": found.random_error,
        "error_rows": found.rows,
        **(changes if names_a_class(scoring_of(network.about), len(draft.evidence.outputs)) else {}),
        "held_out": draft.rows.held_out,
        "calibration_images": int(draft.evidence.atoms[0].shape[1]),
        "layers": _layers(plan, times),
        "layouts": [
            {"layer": stage.layer, "offers": [asdict(offer) for offer in offers]}
            for stage, offers in zip(draft.stages, draft.offers, strict=True)
        ],
        "weighed": list(weighed),
    }


def plan_summary(plan: Plan) -> dict[str, Any]:
    """Operation counts and parameters of a plan, as JSON values."""
    return {
        "poly_modulus_degree": plan.params.poly_modulus_degree,
        "log2_qp": plan.params.log2_qp,
        "coeff_modulus_bits": list(plan.params.coeff_modulus_bits),
        "security_bits": SECURITY_BITS,
        "depth": plan.depth,
        "levels": plan.input_level,
        "rotations": plan.rotations,
        "plain_multiplications": plan.count(Kind.MULTIPLY_PLAIN),
        "ciphertext_multiplications": plan.count(Kind.SQUARE) + plan.count(Kind.MULTIPLY),
        "rescales": plan.count(Kind.RESCALE),
        "galois_keys": len(plan.key_manifest.galois_elements),
        "special_primes": len(plan.params.special_primes),
        "digits": list(plan.params.digits),
        "input_ciphertexts": plan.inputs,
        "output_ciphertexts": len(plan.outputs),
    }


def _operation_kernels(plan: Plan) -> tuple[KernelCounts, ...]:
    """The kernels of every operation, in the plan's order, under the backend that runs the plan."""
    if plan.params.fits_engine:
        return engine_kernels(plan)
    return plan_seal_kernels(plan)


def _layers(plan: Plan, times: KernelTimes) -> list[dict[str, Any]]:
    """Operations and predicted time of every layer, in the order of the plan."""
    rows: dict[str, dict[str, Any]] = {}
    work: dict[str, KernelCounts] = {}
    for op, own in zip(plan.ops, _operation_kernels(plan), strict=True):
        row = rows.setdefault(op.layer, {"layer": op.layer, "level": plan.working_level(op)})
        row[op.kind.value] = row.get(op.kind.value, 0) + 1
        work[op.layer] = work.get(op.layer, KernelCounts()) + own
    for layer, kernels in work.items():
        rows[layer]["predicted_ms"] = times.milliseconds(kernels)
    return list(rows.values())
