"""Why no plan of a search was good enough, as the error that is raised."""

from __future__ import annotations

import numpy as np

from compress.errors import CipherpressError, CompileError, LevelBudgetError, PlanBudgetError, PrecisionError
from secure.bounds.ranking import predicted_error
from secure.compiling.search import Outcome
from secure.drafting.draft import Draft
from secure.limits import Limits
from secure.params import GUIDELINE_2024_LOG2_QP, RING_DEGREES

#: Values explode if rare inputs make them this many times larger than calibration inputs do.
EXPLODING = 100.0

#: For a useful answer of a deep network, the fewest bits of a rescaling prime, of the modulus that is left at the end,
#: and of the special prime.
LEAST_LEVEL_BITS = 24
LEAST_BASE_BITS = 26
LEAST_SPECIAL_BITS = 26


def failure(outcome: Outcome, limits: Limits) -> CipherpressError:
    """The error that says why no choice was good enough.

    There are too many bytes, errors too large, too many levels for every ring, or primes that do not fit.
    """
    if outcome.over_budget is not None:
        return PlanBudgetError(
            f"no plan that is precise enough keeps to the budget; the first one found has {outcome.over_budget}; "
            "raise --budget-keys or --budget-upload, or allow a larger error with --max-error or --max-disagreement"
        )
    if outcome.closest is not None:
        excess, draft = outcome.closest
        bound = predicted_error(draft)
        wanted = f"{limits.max_error:g}" if limits.max_error is not None else f"{bound / excess:.3g}"
        return PrecisionError(
            draft.stages[-1].layer,
            f"the smallest error any ring reaches at the output is {bound:.3g} (six sigma), "
            f"{excess:.1f} times what keeps the answer right ({wanted}); "
            f"{_explosion(draft)}use fewer layers or smaller activation ranges, or allow more with --max-error"
            + ("; with --backends fastest larger primes are tried too" if limits.backends == "both" else ""),
        )
    if outcome.deepest is None:
        return CompileError(None, "nothing was laid out; this is a defect of the search")
    layer, needed, available = levels_missing(outcome.deepest)
    if needed <= available and (reason := _explosion(outcome.deepest)):
        layer = outcome.deepest.stages[-1].layer
        return PrecisionError(layer, f"no modulus holds its values: {reason}use fewer layers")
    if needed <= available:
        plans = len(outcome.weighed)
        passes = ", ".join(f"{name} ({drafts} of {plans} plans)" for name, drafts in outcome.gave_up.items())
        return CompileError(
            outcome.deepest.stages[-1].layer,
            f"the network needs {needed} levels, which N={RING_DEGREES[-1]} carries, but no choice of primes fitted; "
            f"passes that gave up: {passes}; use smaller weights and activation ranges, or mend a pass that was added",
        )
    return LevelBudgetError(
        layer,
        f"the network needs {needed} levels, N={RING_DEGREES[-1]} carries {available}: "
        f"{needed - available} too many from this layer on; "
        "use fewer activations, or activations of degree 2 instead of 4, before it",
    )


def _explosion(draft: Draft) -> str:
    """What the modulus has to hold for inputs that few rows do not show, and what to do about it; empty where that is
    little more than for calibration inputs."""
    others = draft.extremes or draft.edges or draft.evidence
    pairs = zip(draft.stages, draft.evidence.values, others.values, strict=True)
    sizes = [(stage.layer, float(np.abs(known).max()), float(np.abs(edge).max())) for stage, known, edge in pairs]
    layer, known, edge = max(sizes, key=lambda one: one[2] / max(one[1], 1e-300))
    if edge < EXPLODING * known:
        return ""
    return (
        f"on inputs that are as extreme as one in 10,000 layer '{layer}' reaches {edge:.3g}, on calibration inputs "
        f"{known:.3g}; give more calibration rows, put a normalization between the layers, or "
    )


def levels_missing(draft: Draft) -> tuple[str, int, int]:
    """(the first layer that has no level left, levels that the network needs, levels that the draft's ring has).

    All are counted at the lowest useful precision, with one level per square.
    """
    needed = 1 + sum(stage.squared for stage in draft.stages)
    room = GUIDELINE_2024_LOG2_QP[draft.choice.degree] - LEAST_BASE_BITS - LEAST_SPECIAL_BITS
    available = 1 + int(room // LEAST_LEVEL_BITS)
    reached = draft.stages[min(available, len(draft.stages) - 1)]
    return reached.layer, needed, max(available, 1)
