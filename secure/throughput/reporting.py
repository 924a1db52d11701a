"""The report of a bundle for throughput, as plain JSON values."""

from __future__ import annotations

from typing import Any

from compress.network import Network
from compress.scores import scoring_of
from secure.coded.dry import dry_run
from secure.coded.plan import BatchPlan, Linear
from secure.compiling.allowed import names_a_class
from secure.params import SECURITY_BITS
from secure.residues.times import ResidueTimes, predicted_ms
from secure.throughput.choosing import Choice
from secure.throughput.evidence import Evidence

REPORT_VERSION = 1


def batch_report(network: Network, choice: Choice, evidence: Evidence, times: ResidueTimes) -> dict[str, Any]:
    """All that the compiler decided and predicts."""
    plan, promise = choice.plan, choice.promise
    changes = {
        "predicted_disagreement": promise.disagreement_limit,
        "expected_disagreement": promise.disagreement,
        "disagreement_rows": promise.class_rows,
    }
    return {
        "version": REPORT_VERSION,
        "mode": "throughput",
        "about": dict(network.about),
        **plan_summary(plan),
        "modulus_bits_needed": choice.modulus_bits,
        "rounding_bits": choice.rounding_bits,
        "predicted_us_per_image": choice.predicted_us,
        "predicted_server_ms": 1e-3 * choice.predicted_us * plan.params.slots,
        "predicted_images_per_s": 1e6 / choice.predicted_us,
        "predicted_logit_error": promise.error,
        "predicted_systematic_error": promise.systematic_error,
        "predicted_random_error": promise.random_error,
        "error_rows": promise.rows,
        **(changes if names_a_class(scoring_of(network.about), plan.outputs) else {}),
        "held_out": evidence.held_out,
        "layers": _layers(plan, times),
    }


def plan_summary(plan: BatchPlan) -> dict[str, Any]:
    """Parameters, sizes and counts of a plan, as JSON values."""
    found, params = dry_run(plan), plan.params
    up, down = block_bytes(plan)
    return {
        "poly_modulus_degree": params.poly_modulus_degree,
        "log2_qp": params.log2_qp,
        "log2_q": params.log2_qp,
        "coeff_modulus_bits": list(params.coeff_modulus_bits),
        "limbs": len(params.data_primes),
        "parts": list(found.parts),
        "security_bits": SECURITY_BITS,
        "depth": found.depth,
        "rotations": 0,
        "rescales": 0,
        "evaluation_key_bytes": 0,
        "nonzeros": found.nonzeros,
        "batch": params.slots,
        "input_scale": plan.input_scale,
        "upload_bits_dropped": plan.upload_bits_dropped,
        "units": list(plan.units),
        "inputs": plan.inputs,
        "upload_bytes_per_block": up,
        "download_bytes_per_block": down,
        "upload_bytes": up / params.slots,
        "download_bytes": down / params.slots,
    }


def block_bytes(plan: BatchPlan) -> tuple[int, int]:
    """Bytes of the residues of a full request and of its reply, without the few of the frame around them."""
    degree = plan.params.poly_modulus_degree
    bits = [prime.bit_length() for prime in plan.params.data_primes]
    up = sum(plan.inputs * degree * (size - plan.upload_bits_dropped) for size in bits)
    down = sum(plan.outputs * plan.parts[-1] * degree * size for size in bits)
    return -(-up // 8), -(-down // 8)


def _layers(plan: BatchPlan, times: ResidueTimes) -> list[dict[str, Any]]:
    """What every layer does, in the order of the plan. predicted_ms: of a block on one thread."""
    found = predicted_ms(plan, times=times).layers_ms
    rows: dict[str, dict[str, Any]] = {}
    features = [plan.inputs, *(step.features for step in plan.steps)]
    for value, step in enumerate(plan.steps, start=1):
        row = rows.setdefault(step.layer, {"layer": step.layer, "predicted_ms": found[step.layer]})
        row["features"], row["parts"] = step.features, plan.parts[value]
        if isinstance(step, Linear):
            row["nonzeros"] = row.get("nonzeros", 0) + step.nonzeros
            row["bits"] = max(row.get("bits", 0), int(abs(step.codes).max(initial=0)).bit_length() + 1)
            row["sparsity"] = 1 - step.nonzeros / max(1, step.features * features[step.sources[0]])
    return list(rows.values())
