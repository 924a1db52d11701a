"""compile_network: from a Network to a Bundle, by the cheapest plan that keeps the answer right.

Every combination of ring, rescaling, base primes and input rotation is laid out, ordered by predicted server time, and given
parameters in that order; the first whose predicted error is acceptable wins. Nothing is encrypted before all checks passed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby, product
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import (
    CalibrationError,
    CompileError,
    InputShapeError,
    LevelBudgetError,
    PrecisionError,
    SlotOverflowError,
)
from compress.network import Network
from secure import checkers
from secure.bundle import plan_digest
from secure.draft import Choice, Draft, Evidence, Rescaling, gather_evidence
from secure.kernels import KernelTimes
from secure.noise import BOUND_SIGMAS
from secure.packing import SlotMap
from secure.params import ENGINE_PRIME_BITS, GUIDELINE_2024_LOG2_QP, MAX_PRIME_BITS, RING_DEGREES
from secure.passes.arrange import arrange
from secure.passes.choose_parameters import choose_parameters
from secure.passes.choose_rotations import choose_rotations
from secure.passes.emit import emit
from secure.passes.place_rescales import place_rescales
from secure.reporting import compile_report
from secure.specs import Bundle, ClientSpec, ServerSpec
from secure.stages import network_stages
from secure.work import draft_milliseconds

Array = NDArray[np.float64]
Progress = Callable[[str, float], None]

logger = logging.getLogger(__name__)

#: Expected share of classes that encryption may change, unless the caller sets a largest error.
ACCEPTABLE_DISAGREEMENT = 5e-3
#: For a network with one output: largest error relative to the output's rms.
ACCEPTABLE_RELATIVE_ERROR = 0.05

#: The least that a level, the last modulus and the special prime take in a deep network whose answer is worth having.
LEAST_LEVEL_BITS = 24
LEAST_BASE_BITS = 26
LEAST_SPECIAL_BITS = 26

#: The passes in their order, each with the checker that runs after it.
CHECKERS: Mapping[Callable[[Draft], Draft | None], Callable[[Draft], None]] = {
    arrange: checkers.check_arranged,
    choose_rotations: checkers.check_rotations,
    place_rescales: checkers.check_levels,
    choose_parameters: checkers.check_parameters,
    emit: checkers.check_plan,
}


@dataclass(frozen=True)
class Alternative:
    """A choice the search weighed: its predicted time, and why it lost (empty for the winner)."""

    choice: Choice
    predicted_ms: float
    verdict: str

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self.choice), "predicted_ms": self.predicted_ms, "verdict": self.verdict or "chosen"}


def compile_network(
    network: Network,
    calibration_images: Array,
    *,
    times: KernelTimes,
    seal_times: KernelTimes | None = None,
    max_error: float | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """The bundle of a network, calibrated on images (images, *input_shape).

    times: kernel times of the server's machine under the engine. seal_times: the same under SEAL, for networks that need primes
    beyond the engine's (default: those of `times`). max_error: largest acceptable error of an output, in its units, at six sigma.
    Raises: CompileError (LevelBudgetError, SlotOverflowError, PrecisionError, PlanError) naming the layer; CalibrationError;
    InputShapeError.
    """
    report = progress or (lambda label, fraction: None)
    images = np.asarray(calibration_images, dtype=np.float64)
    if len(images) == 0 or not np.isfinite(images).all():
        raise CalibrationError(network.nodes[0].name, "calibration needs at least one image of finite numbers")
    if images.shape[1:] != network.input_shape:
        raise InputShapeError(
            f"calibration images: shape {images.shape[1:]}; the network takes {network.input_shape}; compile with the data "
            "it was converted with"
        )
    stages = network_stages(network)
    evidence = gather_evidence(stages, images)
    if not all(np.isfinite(value).all() for value in evidence.values):
        raise CalibrationError(
            stages[-1].layer, "its value overflows on calibration inputs; convert it with smaller ranges"
        )
    report("lay out", 0.0)
    start = Draft(
        stages=stages,
        evidence=evidence,
        choice=_choices(RING_DEGREES[0])[0],
        allowed_error=_allowed_error(evidence, max_error),
        times=times,
    )
    drafts = _laid_out(start, report)
    seal_times = seal_times or times
    drafts = [*_by_time(drafts, times), *_with_large_primes(_by_time(drafts, seal_times))]
    weighed: list[Alternative] = []
    closest: tuple[float, Draft] | None = None
    for position, draft in enumerate(drafts):
        report("choose parameters", 0.4 + 0.5 * position / len(drafts))
        own_times = times if draft.choice.prime_bits <= ENGINE_PRIME_BITS else seal_times
        predicted_ms = draft_milliseconds(draft, own_times)
        done = choose_parameters(draft)
        if done is None or done.output_sigmas is None:
            weighed.append(Alternative(draft.choice, predicted_ms, "modulus does not fit"))
            continue
        excess = _excess(done, done.output_sigmas)
        if excess > 1:
            weighed.append(Alternative(draft.choice, predicted_ms, f"error {excess:.1f} times too large"))
            closest = min(closest or (excess, done), (excess, done), key=lambda pair: pair[0])
            continue
        CHECKERS[choose_parameters](done)
        weighed.append(Alternative(draft.choice, predicted_ms, ""))
        report("write the plan", 0.95)
        final = _checked(emit, done)
        logger.info("chose %s of %d alternatives", final.choice, len(drafts))
        bundle = _bundle(network, final, weighed, own_times)
        report("compiled", 1.0)
        return bundle
    raise _failure(drafts, closest, max_error)


def _choices(degree: int) -> list[Choice]:
    return [
        Choice(
            degree=degree, planes=planes, rotate_input=rotate, share_giants=share, rescaling=rescaling, base_primes=base
        )
        for planes, (rotate, share), rescaling, base in product(
            (1, 2), ((True, True), (False, True), (False, False)), Rescaling, (1, 2)
        )
    ]


def _by_time(drafts: list[Draft], times: KernelTimes) -> list[Draft]:
    return sorted(drafts, key=lambda draft: draft_milliseconds(draft, times))


def _with_large_primes(drafts: list[Draft]) -> list[Draft]:
    """The same choices with primes that only SEAL takes: several times slower, but a rescale may then divide by more."""
    return [replace(draft, choice=replace(draft.choice, prime_bits=MAX_PRIME_BITS)) for draft in drafts]


def _laid_out(draft: Draft, report: Progress) -> list[Draft]:
    """Every choice through the passes that need no primes; choices that come to the same levels once."""
    results: dict[tuple[object, ...], Draft] = {}
    too_wide: SlotOverflowError | None = None
    for step, degree in enumerate(RING_DEGREES):
        report(f"lay out N={degree}", 0.1 * step)
        for planes, by_planes in groupby(_choices(degree), key=lambda choice: choice.planes):
            try:
                arranged = _checked(arrange, replace(draft, choice=replace(draft.choice, degree=degree, planes=planes)))
            except SlotOverflowError as error:
                too_wide = error  # a larger ring may still hold it
                continue
            for (rotate, share), choices in groupby(by_planes, key=lambda one: (one.rotate_input, one.share_giants)):
                turned = replace(arranged.choice, rotate_input=rotate, share_giants=share)
                rotated = _checked(choose_rotations, replace(arranged, choice=turned))
                for choice in choices:
                    placed = _checked(place_rescales, replace(rotated, choice=choice))
                    place = (degree, planes, rotate, share, placed.stage_levels, placed.rescaled)
                    results.setdefault(place, placed)
    if not results and too_wide is not None:
        raise too_wide
    return list(results.values())


def _checked(run: Callable[[Draft], Draft], draft: Draft) -> Draft:
    """A pass and its checker."""
    done = run(draft)
    CHECKERS[run](done)
    return done


def _allowed_error(evidence: Evidence, max_error: float | None) -> float:
    """Largest error of an output at six sigma; infinite where only changed classes count."""
    if max_error is not None:
        return max_error
    return ACCEPTABLE_RELATIVE_ERROR * evidence.value_rms[-1] if evidence.outputs.shape[0] == 1 else inf


def _excess(draft: Draft, sigmas: Array) -> float:
    """Predicted error over acceptable error; at most 1 is fine."""
    if draft.allowed_error < inf:
        return BOUND_SIGMAS * float(sigmas.max()) / draft.allowed_error
    return draft.expected_disagreement / ACCEPTABLE_DISAGREEMENT


def _failure(drafts: list[Draft], closest: tuple[float, Draft] | None, max_error: float | None) -> CompileError:
    """Why no choice was good enough: too deep for every ring, or not precise enough in any."""
    if closest is not None and (sigmas := closest[1].output_sigmas) is not None:
        excess, draft = closest
        bound = BOUND_SIGMAS * float(sigmas.max())
        wanted = f"{max_error:g}" if max_error is not None else f"{bound / excess:.3g}"
        return PrecisionError(
            draft.stages[-1].layer,
            f"the smallest error any ring reaches at the output is {bound:.3g} (six sigma), {excess:.1f} times what keeps the "
            f"answer right ({wanted}); use fewer layers or smaller activation ranges, or allow more with --max-error",
        )
    layer, needed, available = levels_missing(max(drafts, key=lambda draft: draft.choice.degree))
    return LevelBudgetError(
        layer,
        f"the network needs {needed} levels, N={RING_DEGREES[-1]} carries {available}: {needed - available} too many from this "
        "layer on; use fewer activations, or activations of degree 2 instead of 4, before it",
    )


def levels_missing(draft: Draft) -> tuple[str, int, int]:
    """(first layer out of reach, levels needed, levels the ring carries), at the least precision worth having."""
    needed = 1 + sum(stage.squared for stage in draft.stages)
    room = GUIDELINE_2024_LOG2_QP[draft.choice.degree] - LEAST_BASE_BITS - LEAST_SPECIAL_BITS
    available = 1 + int(room // LEAST_LEVEL_BITS)
    reached = draft.stages[min(available, len(draft.stages) - 1)]
    return reached.layer, needed, max(available, 1)


def _bundle(network: Network, draft: Draft, weighed: Sequence[Alternative], times: KernelTimes) -> Bundle:
    plan = draft.plan
    sigmas = draft.output_sigmas
    if plan is None or sigmas is None:
        raise CompileError(draft.stages[-1].layer, "the draft is not finished")
    bundle_id = plan_digest(plan)
    inputs = draft.evidence.atoms[0]
    client = ClientSpec(
        bundle_id=bundle_id,
        params=plan.params,
        keys=plan.key_manifest,
        input_shape=network.input_shape,
        input_slots=draft.atom_maps[0].reshape(-1, draft.choice.planes, draft.choice.slots),
        input_level=plan.input_level,
        input_scale=plan.input_scale,
        input_low=float(inputs.min()),
        input_high=float(inputs.max()),
        output_shape=network.output_shape,
        output_slots=_read_slots(draft.tables[-1].output_map, draft.stages[-1].size),
        output_levels=tuple(plan.level_of(value) for value in plan.outputs),
        output_scales=tuple(plan.scale_of(value) for value in plan.outputs),
        predicted_logit_error=BOUND_SIGMAS * float(sigmas.max()),
    )
    report = compile_report(network, draft, times, weighed=[alternative.as_json() for alternative in weighed])
    return Bundle(client=client, server=ServerSpec(bundle_id=bundle_id, plan=plan), report=report)


def _read_slots(output_map: SlotMap, size: int) -> NDArray[np.int32]:
    """(size, 2): a ciphertext and slot for every output; the copy nearest the middle, since the first slots carry most noise."""
    slots = output_map.shape[1]
    result = np.zeros((size, 2), dtype=np.int32)
    for feature in range(size):
        ciphertext, slot = np.nonzero(output_map == feature)
        best = int(np.argmin(np.abs(slot - slots // 2)))
        result[feature] = ciphertext[best], slot[best]
    return result
