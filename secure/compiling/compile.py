"""compile_network: from a Network to a Bundle, by the cheapest plan that is precise enough (`secure.compiling.search`).

All checks run here, before anything is encrypted.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.dataset import Progress
from compress.errors import (
    CalibrationError,
    CipherpressError,
    CompileError,
    InputShapeError,
    PlanError,
)
from compress.network import Network
from compress.robust import InputRange, describe_outliers, find_outliers, input_range, without_outliers
from compress.scores import scoring_of
from secure.bounds.edges import gather_edges
from secure.bundle.client_file import client_digest
from secure.bundle.files import plan_digest
from secure.bundle.interface import interface_of
from secure.bundle.specs import Bundle, ClientSpec, ServerSpec
from secure.compiling.allowed import allowed_error
from secure.compiling.estimate import check_size
from secure.compiling.failing import failure
from secure.compiling.judging import check_bound, judged_rows, promise_warnings, search_reach
from secure.compiling.reporting import compile_report
from secure.compiling.search import START, Alternative, Outcome, search
from secure.compiling.switching import with_best_switching
from secure.compiling.ways import Way, planned_sizes, stages_in, ways_of
from secure.drafting.draft import Draft, gather_evidence
from secure.kernels.counts import KernelTimes
from secure.kernels.requests import TYPICAL_REQUEST_TIMES, RequestPrices, RequestTimes
from secure.layout.packing import read_slots
from secure.limits import Limits
from secure.parties.release import DEFAULT_ANSWERS, release_cost
from secure.passes import run_passes
from secure.passes.emit import emit
from secure.stages.stages import Stage

Array = NDArray[np.float64]
Rows = NDArray[np.floating[Any]]

logger = logging.getLogger(__name__)

#: The limits of a call that names none.
DEFAULT_LIMITS = Limits()

#: The most numbers that the values of all stages on the calibration images may be, half a gigabyte, and the fewest
#: images that are kept all the same.
MOST_VALUES, FEWEST_IMAGES = 1 << 26, 64

#: The largest value of a stage: 60 bits leave no room in the modulus for its error to be a useful share of it.
LARGEST_VALUE = 2.0**60


def compile_network(
    network: Network,
    calibration_images: Array,
    *,
    times: KernelTimes,
    seal_times: KernelTimes | None = None,
    request_times: RequestTimes = TYPICAL_REQUEST_TIMES,
    held_out: Rows | None = None,
    limits: Limits = DEFAULT_LIMITS,
    accepted: InputRange | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """The bundle of a network, calibrated on images of shape (images, *input_shape).

    held_out: rows of the same shape that the network was not trained on. Errors and changed classes are judged on them;
    without them on the calibration images, and the report's `warnings` say what that leaves open. accepted: the inputs
    that clients may encrypt; by default what the images support (`compress.robust`). Images that are outliers are left
    out, and the report's `warnings` name them.

    times: kernel times of the server's machine under the engine. seal_times: those under SEAL, for networks that need
    larger primes than the engine takes; by default `times`. request_times: those of encryption, loading and decryption.
    limits: see `secure.limits`. progress: called with the name of a step and the share done, from 0 to 1.
    Raises: CompilationSizeError, before any work, when compiling is estimated to take more memory or time than the
    limits allow; PlanBudgetError when every plan that is precise enough exceeds a limit in bytes; CompileError
    (LevelBudgetError, SlotOverflowError, PrecisionError, PlanError) naming the layer; CalibrationError;
    InputShapeError.
    """
    report = progress or (lambda label, fraction: None)
    images, left_out = _usable(calibration_images, network)
    check_size(network, len(images), limits, planned_sizes(network))
    accepted = accepted or input_range(images)
    report("lay out", 0.0)
    requests = RequestPrices(times=request_times, link_mbit_s=limits.link_mbit_s)
    final, outcome = chosen_draft(
        network, images, held_out, accepted, limits=limits, times=(times, seal_times or times), requests=requests,
        progress=report,
    )  # fmt: skip
    if not limits.accept_loose_bound:
        check_bound(final)
    bundle = bundle_of(network, final, outcome.weighed, outcome.times or times, accepted)
    warnings = [*promise_warnings(final), *left_out]
    if warnings:
        bundle = replace(bundle, report={**bundle.report, "warnings": warnings})
    report("compiled", 1.0)
    return bundle


def chosen_draft(
    network: Network,
    images: Array,
    held_out: Rows | None,
    accepted: InputRange,
    *,
    limits: Limits,
    times: tuple[KernelTimes, KernelTimes],
    requests: RequestPrices,
    progress: Progress,
    ways: Sequence[Way] | None = None,
) -> tuple[Draft, Outcome]:
    """The draft that the bundle is made of, with its plan, and what else was tried.

    The network is planned in several ways where these make a difference (`secure.compiling.ways`), and the cheapest
    plan wins. ways: those that are tried; by default all that may win.
    images: for calibration, without outliers. times: kernel times under the engine and under SEAL. Others as for
    `compile_network`, which see for what is raised.
    """
    ways = ways_of(network) if ways is None else ways
    found: list[tuple[Draft, Outcome]] = []
    failed: list[CipherpressError] = []
    for number, way in enumerate(ways):
        first = _first_draft(network, images, held_out, accepted, limits, way=way)
        start = replace(first, times=times[0], requests=requests)
        try:
            found.append(_searched(start, limits, times, _part(progress, number, len(ways))))
        except PlanError:
            raise  # a defect of a pass
        except CipherpressError as error:
            failed.append(error)
    if not found:
        raise failed[0]
    return min(found, key=lambda one: _milliseconds(one[1]))


def _milliseconds(outcome: Outcome) -> float:
    """The predicted time by which the best draft was chosen; infinite without one."""
    return next((one.predicted_ms for one in outcome.weighed if not one.verdict), inf)


def _part(progress: Progress, number: int, parts: int) -> Progress:
    """A callback for one of several parts of the same length."""
    return lambda label, share: progress(label, (number + share) / parts)


def _searched(
    start: Draft, limits: Limits, times: tuple[KernelTimes, KernelTimes], progress: Progress
) -> tuple[Draft, Outcome]:
    """`chosen_draft` for stages that are given. Raises: CipherpressError where no plan is good enough."""
    outcome = search(start, *times, limits, progress)
    if outcome.best is None:
        raise failure(outcome, limits)
    progress("write the plan", 0.95)
    final = run_passes(outcome.best, start=emit)
    if final is None:
        raise CompileError(
            start.stages[-1].layer, "a pass gave up after the parameters were chosen; this is a defect of it"
        )
    logger.info("chose %s of %d alternatives", final.choice, len(outcome.weighed))
    return with_best_switching(final, times[0], limits.keys_bytes), outcome


def _usable(calibration_images: Array, network: Network) -> tuple[Array, list[str]]:
    """The calibration images that are no outliers, and what was left out, for the report's warnings.

    Raises: CalibrationError, InputShapeError.
    """
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


def _first_draft(
    network: Network, images: Array, held_out: Rows | None, accepted: InputRange, limits: Limits, *, way: Way
) -> Draft:
    """The draft that the search starts from: stages, and all that is known of the values that they take.

    Raises: CalibrationError where values overflow; what `judged_rows` raises.
    """
    stages = stages_in(network, way)
    images = _as_many_as_fit(stages, images)
    evidence = gather_evidence(stages, images)
    for stage, value in zip(stages, evidence.values, strict=True):
        largest = float(np.abs(value).max())
        if not largest <= LARGEST_VALUE:  # as is true of what is not a number
            raise CalibrationError(
                stage.layer,
                f"its values reach {largest:.3g} on calibration inputs, where {LARGEST_VALUE:.3g} is the most; they "
                "explode from layer to layer; convert the network again, or scale its weights",
            )
    judged = judged_rows(stages, images, held_out, accepted, evidence)
    edges, exploding = gather_edges(stages, images, accepted.low, accepted.high, evidence)
    return Draft(
        stages=stages,
        evidence=evidence,
        choice=START,
        judged=judged,
        reach=search_reach(stages, evidence),
        edges=edges,
        exploding=exploding,
        extremes=None if judged.hardest is None else gather_evidence(stages, judged.hardest.largest),
        allowed_error=allowed_error(evidence.outputs, limits, scoring_of(network.about)),
        allowed_disagreement=limits.max_disagreement,
        round_trip=limits.objective == "round-trip",
        client_folds=limits.fold == "client",
        both_backends=limits.backends == "both",
    )


def _as_many_as_fit(stages: Sequence[Stage], images: Array) -> Array:
    """Calibration images whose values take at most MOST_VALUES numbers: all, or evenly spaced ones; at least a few."""
    each = images[0].size + 2 * sum(stage.size for stage in stages)
    count = max(FEWEST_IMAGES, MOST_VALUES // each)
    return images if len(images) <= count else images[np.linspace(0, len(images) - 1, count).astype(int)]


def bundle_of(
    network: Network,
    draft: Draft,
    weighed: Sequence[Alternative],
    times: KernelTimes,
    accepted: InputRange | None = None,
) -> Bundle:
    """The bundle of a draft whose plan is written.

    weighed: all alternatives that the search tried. times: the kernel times that the report predicts with. accepted:
    the inputs that clients may encrypt; by default what the calibration inputs support.
    Raises: CompileError for a draft without a plan or without predicted errors.
    """
    plan, found = draft.plan, draft.assessment
    if plan is None or found is None:
        raise CompileError(draft.stages[-1].layer, "its draft has no plan or no predicted errors; run all passes first")
    bundle_id = plan_digest(plan)
    accepted = accepted or input_range(draft.evidence.atoms[0].T.reshape(-1, *network.input_shape))
    client = ClientSpec(
        bundle_id=bundle_id,
        params=plan.params,
        keys=plan.made_keys,
        input_shape=network.input_shape,
        input_slots=draft.atom_maps[0].reshape(-1, draft.choice.planes, draft.choice.slots),
        input_level=plan.input_level,
        input_scale=plan.input_scale,
        input_low=accepted.low,
        input_high=accepted.high,
        output_shape=network.output_shape,
        output_slots=read_slots(draft.tables[-1].output_map, draft.stages[-1].size),
        output_folds=draft.tables[-1].client_folds,
        output_levels=tuple(plan.level_of(value) for value in plan.outputs),
        output_scales=tuple(plan.scale_of(value) for value in plan.outputs),
        predicted_logit_error=found.error,
        error_grows_beyond=draft.rows.grows_beyond,
        interface=interface_of(network.about),
    )
    report = compile_report(network, draft, times, weighed=[alternative.as_json() for alternative in weighed])
    server = ServerSpec(bundle_id=bundle_id, plan=plan, client_digest=client_digest(client))
    report["release"] = _release_report(network, client, draft.evidence.outputs)
    return Bundle(client=client, server=server, report=report)


def _release_report(network: Network, client: ClientSpec, outputs: Array) -> dict[str, Any]:
    """What releasing scores would cost (`secure.parties.release`), as JSON values. outputs: (outputs, images)."""
    scoring = scoring_of(network.about)
    scores = outputs.T - (scoring.threshold if len(outputs) == 1 else 0.0) if scoring.names_classes else None
    cost = release_cost(client.predicted_logit_error, len(outputs), scores=scores)
    return {"answers": DEFAULT_ANSWERS, **asdict(cost)}
