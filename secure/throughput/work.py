"""Predicted time of a plan's arithmetic, for the choice of primes. Pure."""

from __future__ import annotations

from secure.coded.plan import BatchPlan, Linear
from secure.residues.constants import column_slices
from secure.residues.times import TYPICAL_RESIDUE_TIMES, ResidueTimes, dense_is_faster, linear_ms


def layer_us(plan: BatchPlan, times: ResidueTimes = TYPICAL_RESIDUE_TIMES) -> list[float]:
    """Microseconds of every step per image on one thread, all primes together, without reading the input.

    Raises: PlanError for a code that is too large for the primes.
    """
    parts, primes, prime = plan.parts, len(plan.params.data_primes), max(plan.params.data_primes)
    features = [plan.inputs, *(step.features for step in plan.steps)]
    found = []
    for value, step in enumerate(plan.steps, start=1):
        residues = 2 * primes * parts[value]  # a ring of N positions holds N / 2 images
        if isinstance(step, Linear):
            columns = features[step.sources[0]]
            slices = len(column_slices(step, columns, prime))
            dense = dense_is_faster(step, columns, slices, times)
            found.append(1e3 * linear_ms(step, columns, slices, residues, dense, times))
        else:
            found.append(step.features * residues * times.product_ps * 1e-6)
    return found
