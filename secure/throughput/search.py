"""The search for the plan: how precise rounded factors are, how many bits are not sent, and which ring."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2, sqrt

import numpy as np
from numpy.typing import NDArray

from compress.errors import CipherpressError, LevelBudgetError, PlanBudgetError, PrecisionError
from secure.coded.clear import run_all
from secure.coded.forms import Program
from secure.coded.scaling import scaled
from secure.limits import Limits
from secure.params import GUIDELINE_2024_LOG2_QP, KEYLESS_RING_DEGREES
from secure.residues.times import ResidueTimes
from secure.throughput.choosing import TRIAL_SCALE_BITS, Choice, choose, largest_deviation, trial_errors
from secure.throughput.evidence import Evidence
from secure.throughput.judged import Judged
from secure.throughput.noise import input_variance
from secure.throughput.promise import Allowed, promised
from secure.throughput.reporting import block_bytes

Array = NDArray[np.float64]
#: Bits of codes for weights that have none, and of factors that bring features to one scale.
ROUNDING_BITS = (4, 5, 6, 7, 8, 10, 12, 14, 16)
#: More bits are of no use once rounding makes so small a share of the random error.
NEGLIGIBLE = 0.01
#: Low bits of an upload that may stay away.
MOST_DROPPED = 8
#: Among plans that are this close to the fastest one, the one with the smallest upload is taken.
AS_FAST = 1.05


def search(kinds: Sequence[Judged], allowed: Allowed, times: ResidueTimes) -> list[Choice]:
    """Plans whose promise is allowed: of every kind, for every precision of rounding up to one where it does not
    matter; of the fastest ones also with bits that are not sent.

    Empty where there is none.
    """
    by_kind = [(kind, _by_rounding(kind, allowed, times)) for kind in kinds]
    fastest = min((choice.predicted_us for _, found in by_kind for choice in found), default=0.0)
    for kind, found in by_kind:
        best = min(found, key=lambda choice: choice.predicted_us, default=None)
        if best and best.plan.params.levels == 1 and best.predicted_us <= AS_FAST * fastest:
            shorter = (
                _choose(kind, allowed, best.rounding_bits, dropped, times) for dropped in range(1, MOST_DROPPED + 1)
            )
            found += [choice for choice in shorter if choice is not None]
    return [choice for _, found in by_kind for choice in found]


def _by_rounding(kind: Judged, allowed: Allowed, times: ResidueTimes) -> list[Choice]:
    found: list[Choice] = []
    for bits in ROUNDING_BITS:
        own = _choose(kind, allowed, bits, 0, times)
        found += [own] if own else []
        if own and own.promise.systematic_error < NEGLIGIBLE * own.promise.random_error:
            break
    return found


def _choose(kind: Judged, allowed: Allowed, bits: int, dropped: int, times: ResidueTimes) -> Choice | None:
    program = kind.programs(bits)
    if program is None:
        return None
    return choose(program, kind.evidence, allowed, bits, dropped=dropped, units=kind.units, times=times)


def smallest_fast(found: Sequence[Choice], limits: Limits) -> Choice:
    """Of the plans that are about as fast as the fastest one within the limits, the one with the smallest upload.

    Raises: PlanBudgetError.
    """
    within = [choice for choice in found if upload_bytes(choice) <= limits.upload_bytes]
    if not within:
        least = min(upload_bytes(choice) for choice in found)
        raise PlanBudgetError(
            f"no plan that is precise enough keeps to the budget; the smallest upload is {least:.0f} bytes an image; "
            "raise --budget-upload, or allow a larger error with --max-error or --max-disagreement"
        )
    fastest = min(choice.predicted_us for choice in within)
    near = [choice for choice in within if choice.predicted_us <= AS_FAST * fastest]
    return min(near, key=lambda choice: (upload_bytes(choice), choice.predicted_us))


def upload_bytes(choice: Choice) -> float:
    """Bytes of one image in a full block."""
    return block_bytes(choice.plan)[0] / choice.plan.params.slots


def failure(program: Program, evidence: Evidence, allowed: Allowed) -> CipherpressError:
    """The error that says why no plan keeps an allowed promise: rounding, or bits that no ring has."""
    degree = KEYLESS_RING_DEGREES[-1]
    wrong = trial_errors(program, evidence, ROUNDING_BITS[-1])
    deviation = largest_deviation(wrong, evidence, allowed)
    if deviation is None:
        try:
            scaled(program, 2.0 ** TRIAL_SCALE_BITS[0], ROUNDING_BITS[-1])
        except LevelBudgetError as error:
            return error  # constants were rounded at a scale that is too small
        found = promised(evidence, wrong, 0.0)
        return PrecisionError(
            program.forms[-1].layer,
            f"rounding its constants to {ROUNDING_BITS[-1]} bits alone makes an error of {found.error:.3g} at the "
            f"output and changes {found.disagreement:.2%} of classes, more than allowed; quantize its weights to few "
            "bits, or allow more with --max-error or --max-disagreement",
        )
    scale = sqrt(input_variance(degree, 1.0, 0)) / deviation
    steps = scaled(program, scale, ROUNDING_BITS[-1])
    values = run_all(steps, program.inputs, scale, evidence.inputs[:1])
    sizes = [
        log2(max(float((np.abs(value[:, 0]) * step.scales).max()), 1.0))
        for value, step in zip(values[1:], steps, strict=True)
    ]
    limit = GUIDELINE_2024_LOG2_QP[degree]
    layer = next((step.layer for size, step in zip(sizes, steps, strict=True) if size > limit), steps[-1].layer)
    return LevelBudgetError(
        layer,
        f"the integers of the output need {sizes[-1]:.0f} bits and some headroom, N={degree} carries {limit}, and this "
        "layer exceeds them first; use fewer activations, codes of fewer bits, or --mode latency",
    )
