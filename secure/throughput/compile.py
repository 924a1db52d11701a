"""compile_throughput: from a Network to a BatchBundle, by the fastest plan that is precise enough.

All checks run here, before anything is encrypted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.dataset import Progress
from compress.errors import (
    CalibrationError,
    InputShapeError,
    PrecisionError,
)
from compress.network import Network
from compress.robust import InputRange, describe_outliers, find_outliers, input_range, without_outliers
from compress.scores import scoring_of
from secure.bounds.looseness import ACCEPTING, bound_warnings, says_nothing
from secure.bounds.tail import CONFIDENCE, upper_mean
from secure.bundle.batch_specs import BatchBundle, BatchClientSpec, BatchServerSpec
from secure.bundle.client_file import client_digest
from secure.bundle.files import plan_digest
from secure.bundle.interface import interface_of
from secure.coded.dry import dry_run
from secure.coded.forms import Program
from secure.coded.passes import run_passes
from secure.compiling.allowed import allowed_error
from secure.limits import Limits
from secure.residues.times import TYPICAL_RESIDUE_TIMES, ResidueTimes
from secure.throughput.choosing import Choice, largest_deviation
from secure.throughput.evidence import Evidence, gather
from secure.throughput.judged import Judged
from secure.throughput.phased import phased
from secure.throughput.promise import Allowed, Promise
from secure.throughput.reporting import batch_report
from secure.throughput.search import ROUNDING_BITS, failure, search, smallest_fast
from secure.throughput.size import check_size

Array = NDArray[np.float64]
Rows = NDArray[np.floating[Any]]

#: The limits of a call that names none.
DEFAULT_LIMITS = Limits()

#: Bits of codes with which units are compared, for weights that have none: wider codes need larger units.
UNIT_ROUNDING_BITS = 6
#: Rows that passes are checked on.
PROBES = 8


def compile_throughput(
    network: Network,
    calibration_images: Array,
    *,
    times: ResidueTimes = TYPICAL_RESIDUE_TIMES,
    held_out: Rows | None = None,
    limits: Limits = DEFAULT_LIMITS,
    accepted: InputRange | None = None,
    progress: Progress | None = None,
) -> BatchBundle:
    """The bundle of a network for many images at once, calibrated on images of shape (images, *input_shape).

    times: of the server's machine. held_out, accepted, limits, progress: as for
    `secure.compiling.compile.compile_network`.
    Raises: CompilationSizeError, before any work, when compiling is estimated to take more memory or time than the
    limits allow; CompileError (LevelBudgetError, PrecisionError, PlanError) naming the layer; PlanBudgetError when the
    upload of an image in a full block exceeds the limit; CalibrationError; InputShapeError.
    """
    report = progress or (lambda label, fraction: None)
    images, left_out = _usable(calibration_images, network)
    check_size(network, limits)
    accepted = accepted or input_range(images)
    probes = images.reshape(len(images), -1)[:PROBES]
    report("lower", 0.0)

    @cache
    def program(weight_bits: int) -> Program:
        return run_passes(network, weight_bits, probes)

    report("run the rows", 0.1)
    evidence = gather(network, program(ROUNDING_BITS[-1]), images, held_out, accepted)
    allowed = Allowed(allowed_error(evidence.outputs.T, limits, scoring_of(network.about)), limits.max_disagreement)
    report("choose parameters", 0.5)
    choice = _chosen(program, evidence, allowed, limits, times)
    loose = loose_bound(choice.promise, evidence)
    if not limits.accept_loose_bound and says_nothing(choice.promise.error, choice.promise.largest):
        raise PrecisionError(network.nodes[-1].name, f"{loose[0]}, {ACCEPTING}")
    dry_run(choice.plan)
    bundle = bundle_of(network, choice, evidence, accepted, times)
    warnings = [*loose, *promise_warnings(choice.promise, allowed, evidence), *left_out]
    if warnings:
        bundle = replace(bundle, report={**bundle.report, "warnings": warnings})
    report("compiled", 1.0)
    return bundle


def _chosen(
    program: Callable[[int], Program], evidence: Evidence, allowed: Allowed, limits: Limits, times: ResidueTimes
) -> Choice:
    """The plan of a network, with random phases where they pay.

    Raises: PrecisionError, LevelBudgetError, PlanBudgetError.
    """
    kinds = [Judged(program, evidence)]
    inputs, outputs = evidence.examined
    deviation = largest_deviation(np.zeros((outputs.shape[1], len(inputs))), evidence, allowed)
    if deviation is not None:
        turned = phased(program, evidence, UNIT_ROUNDING_BITS, deviation)
        kinds += [turned] if turned else []
    found = search(kinds, allowed, times)
    if not found:
        raise failure(program(ROUNDING_BITS[-1]), evidence, allowed)
    return smallest_fast(found, limits)


def bundle_of(
    network: Network, choice: Choice, evidence: Evidence, accepted: InputRange, times: ResidueTimes
) -> BatchBundle:
    """The bundle of a chosen plan."""
    plan = choice.plan
    bundle_id = plan_digest(plan)
    client = BatchClientSpec(
        bundle_id=bundle_id,
        params=plan.params,
        input_shape=network.input_shape,
        input_scale=plan.input_scale,
        input_low=accepted.low,
        input_high=accepted.high,
        output_shape=network.output_shape,
        output_scales=plan.output_scales,
        reply_parts=plan.parts[-1],
        predicted_logit_error=choice.promise.error,
        upload_bits_dropped=plan.upload_bits_dropped,
        units=plan.units,
        read_inputs=plan.read_inputs,
        interface=interface_of(network.about),
    )
    server = BatchServerSpec(bundle_id=bundle_id, plan=plan, client_digest=client_digest(client))
    return BatchBundle(client=client, server=server, report=batch_report(network, choice, evidence, times))


def loose_bound(promise: Promise, evidence: Evidence) -> list[str]:
    """What the rows cannot show of the bound of errors; empty where they come close to it."""
    hardest = evidence.hardest
    return bound_warnings(
        promise.error, promise.largest, promise.rows, promise.rows if hardest is None else hardest.drawn
    )


def promise_warnings(promise: Promise, allowed: Allowed, evidence: Evidence) -> list[str]:
    """What the data cannot support of a promise about classes; empty if they support all."""
    warnings: list[str] = []
    if allowed.error < inf or promise.disagreement_limit == 0:
        return warnings
    supported = upper_mean(np.zeros(promise.class_rows))
    if supported > allowed.disagreement:
        warnings.append(
            f"classes: encryption may change up to {promise.disagreement_limit:.2%} of them ({CONFIDENCE:.0%} "
            f"confidence), where {allowed.disagreement:.2%} was asked; {promise.class_rows} rows cannot show less than "
            f"{supported:.2%}; give more test rows for a promise that is closer"
        )
    if not evidence.held_out:
        warnings.append(
            f"classes: their margins come from {promise.class_rows} calibration rows, on which a network is surer than "
            "on others if it was trained on them; give test rows for a promise that holds for new inputs"
        )
    return warnings


def _usable(calibration_images: Array, network: Network) -> tuple[Array, list[str]]:
    images = np.asarray(calibration_images, dtype=np.float64)
    if len(images) == 0 or not np.isfinite(images).all():
        raise CalibrationError(network.nodes[0].name, "calibration needs at least one image of finite numbers")
    if images.shape[1:] != network.input_shape:
        raise InputShapeError(
            f"calibration images: shape {images.shape[1:]}; the network takes {network.input_shape}; "
            "compile with the data it was converted with"
        )
    outliers = find_outliers(images)
    said = [f"calibration inputs: {describe_outliers(outliers, len(images))}"] if outliers else []
    return np.asarray(without_outliers(images)), said
