"""compile_throughput: from a Network to a BatchBundle, by the fastest plan that is precise enough.

All checks run here, before anything is encrypted.
"""

from __future__ import annotations

import resource
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.dataset import Progress
from compress.errors import (
    CalibrationError,
    InputShapeError,
)
from compress.network import Network
from compress.robust import InputRange, describe_outliers, find_outliers, input_range, without_outliers
from compress.scores import scoring_of
from secure.bundle.batch_specs import BatchBundle, BatchClientSpec, BatchServerSpec
from secure.bundle.client_file import client_digest
from secure.bundle.files import plan_digest
from secure.bundle.interface import interface_of
from secure.coded.dry import dry_run
from secure.coded.passes import run_passes
from secure.compiling.allowed import allowed_error
from secure.limits import Limits
from secure.throughput.choosing import ROUNDING_BITS, candidates
from secure.throughput.evidence import gather
from secure.throughput.promise import Allowed
from secure.throughput.reporting import batch_report

Array = NDArray[np.float64]
Rows = NDArray[np.floating[Any]]

#: The limits of a call that names none.
DEFAULT_LIMITS = Limits()

#: Rows that passes are checked on.
PROBES = 8


def compile_throughput(
    network: Network,
    calibration_images: Array,
    *,
    held_out: Rows | None = None,
    limits: Limits = DEFAULT_LIMITS,
    accepted: InputRange | None = None,
    progress: Progress | None = None,
) -> BatchBundle:
    """The bundle of a network for many images at once, calibrated on images of shape (images, *input_shape).

    held_out, accepted, limits, progress: as for `secure.compiling.compile.compile_network`.
    Raises: CompileError (LevelBudgetError, PrecisionError, PlanError) naming the layer; PlanBudgetError when the upload
    of a block exceeds the limit; CalibrationError; InputShapeError.
    """
    start = time.perf_counter()
    report = progress or (lambda label, fraction: None)
    images, left_out = _usable(calibration_images, network)
    accepted = accepted or input_range(images)
    flat = images.reshape(len(images), -1)
    report("lower", 0.0)
    program = run_passes(network, ROUNDING_BITS[-1], flat[:PROBES])
    report("gather", 0.1)
    evidence = gather(network, program, images, held_out, accepted)
    scoring = scoring_of(network.about)
    allowed = Allowed(allowed_error(evidence.outputs.T, limits, scoring), limits.max_disagreement)
    report("choose parameters", 0.5)
    choice = min(candidates(program, evidence, allowed, ROUNDING_BITS[-1]), key=lambda one: one.predicted_us)
    bundle_id = plan_digest(choice.plan)
    dry_run(choice.plan)
    client = BatchClientSpec(
        bundle_id=bundle_id,
        params=choice.plan.params,
        input_shape=network.input_shape,
        input_scale=choice.plan.input_scale,
        input_low=accepted.low,
        input_high=accepted.high,
        output_shape=network.output_shape,
        output_scales=choice.plan.output_scales,
        reply_parts=choice.plan.parts[-1],
        predicted_logit_error=choice.promise.error,
        upload_bits_dropped=choice.plan.upload_bits_dropped,
        interface=interface_of(network.about),
    )
    server = BatchServerSpec(bundle_id=bundle_id, plan=choice.plan, client_digest=client_digest(client))
    content = batch_report(network, choice, evidence)
    content["warnings"] = left_out
    content["compile_seconds"] = time.perf_counter() - start
    content["compile_peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    report("compiled", 1.0)
    return BatchBundle(client=client, server=server, report=content)


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
