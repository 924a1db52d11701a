"""Predicted time of a plan's arithmetic, for the choice of primes. Pure."""

from __future__ import annotations

from secure.coded.plan import BatchPlan
from secure.residues.times import TYPICAL_RESIDUE_TIMES, ResidueTimes, predicted_ms


def layer_us(plan: BatchPlan, times: ResidueTimes = TYPICAL_RESIDUE_TIMES) -> list[float]:
    """Microseconds of every step per image on one thread, all primes together, without reading the input.

    Raises: PlanError for a code that is too large for the primes.
    """
    return [1e3 * step_ms / plan.params.slots for step_ms in predicted_ms(plan, times=times).steps_ms]
