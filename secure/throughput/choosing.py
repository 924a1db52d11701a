"""The choice of input scale, ring and primes: the fastest plan whose promise is allowed.

Encryption disturbs the inputs alone. So the largest variance that keeps the promise is found once, and it gives the
input scale of every ring. Final integers then need so many bits, and the primes are as many and as large as takes the
least predicted time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, log2

import numpy as np
from numpy.typing import NDArray

from compress.errors import InsecureParametersError, LevelBudgetError, PlanError, PrecisionError
from secure.coded.clear import run_all
from secure.coded.forms import Program
from secure.coded.plan import BatchPlan, Step
from secure.coded.scaling import scaled
from secure.params import GUIDELINE_2024_LOG2_QP, KEYLESS_RING_DEGREES, MIN_PRIME_BITS, Params, ntt_prime_below
from secure.residues.constants import MAX_PRIME_BITS
from secure.throughput.evidence import Evidence
from secure.throughput.magnitudes import modulus_bits
from secure.throughput.noise import input_variance
from secure.throughput.promise import Allowed, Promise, promised
from secure.throughput.work import layer_us

Array = NDArray[np.float64]

#: Input scales differ by this factor, in steps of 1/8 bit; the search is between these bits.
STEPS_PER_BIT = 8
LEAST_SCALE_BITS, MOST_SCALE_BITS = 1, 40
#: Bits of codes for weights that have none, and of factors that bring features to one scale.
ROUNDING_BITS = (4, 5, 6, 7, 8, 10, 12, 14, 16)


@dataclass(frozen=True)
class Choice:
    """A plan that keeps its promise. weight_us: predicted per image. rounding_bits: as of ROUNDING_BITS."""

    plan: BatchPlan
    promise: Promise
    modulus_bits: float
    predicted_us: float
    rounding_bits: int


def systematic_errors(steps: tuple[Step, ...], input_scale: float, evidence: Evidence) -> Array:
    """What the rounded constants of the steps change in the outputs of the known rows, (known rows, outputs)."""
    inputs = evidence.inputs[: evidence.known]
    return run_all(steps, inputs.shape[1], input_scale, inputs)[-1].T - evidence.outputs[: evidence.known]


def needed_scale_bits(program: Program, evidence: Evidence, allowed: Allowed, degree: int, rounding_bits: int) -> float:
    """log2 of the smallest input scale, in steps of 1 / STEPS_PER_BIT, whose promise is allowed in this ring.

    Raises: PrecisionError when none is.
    """

    def fits(eighths: int) -> bool:
        scale = 2.0 ** (eighths / STEPS_PER_BIT)
        try:
            steps = scaled(program, scale, rounding_bits)
        except LevelBudgetError:
            return False
        wrong = systematic_errors(steps, scale, evidence)
        return allowed.admits(promised(evidence, wrong, input_variance(degree, scale, 0)))

    low, high = LEAST_SCALE_BITS * STEPS_PER_BIT, MOST_SCALE_BITS * STEPS_PER_BIT
    tried = next((eighths for eighths in range(low, high + 1, 4 * STEPS_PER_BIT) if fits(eighths)), None)
    if tried is None:
        raise PrecisionError(
            program.forms[-1].layer,
            f"no input scale up to 2^{MOST_SCALE_BITS} keeps the error within what is allowed; allow more with "
            "--max-error or --max-disagreement",
        )
    low, high = max(low - 1, tried - 4 * STEPS_PER_BIT), tried
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high / STEPS_PER_BIT


def candidates(program: Program, evidence: Evidence, allowed: Allowed, rounding_bits: int) -> Iterator[Choice]:
    """A plan for every ring that holds the network, with the primes that take least time.

    Raises: PrecisionError.
    """
    smallest = KEYLESS_RING_DEGREES[0]
    base = needed_scale_bits(program, evidence, allowed, smallest, rounding_bits)
    for degree in KEYLESS_RING_DEGREES:
        scale = 2.0 ** (base + log2(degree / smallest) / 2)
        try:
            steps = scaled(program, scale, rounding_bits)
        except LevelBudgetError:
            continue
        variance = input_variance(degree, scale, 0)
        promise = promised(evidence, systematic_errors(steps, scale, evidence), variance)
        bits = modulus_bits(evidence, steps[-1].scales, variance)
        plans = [
            BatchPlan(params=params, inputs=program.inputs, input_scale=scale, steps=steps)
            for params in moduli(degree, bits)
        ]
        timed = [(time, place) for place, plan in enumerate(plans) if (time := _time(plan)) is not None]
        if timed:
            time, place = min(timed)
            yield Choice(plans[place], promise, bits, time, rounding_bits)


def _time(plan: BatchPlan) -> float | None:
    try:
        return sum(layer_us(plan))
    except PlanError:
        return None  # a code is too large for primes of this size


def moduli(degree: int, bits: float) -> Iterator[Params]:
    """Secure parameters of a ring whose modulus has at least so many bits, one for each number of primes.

    All primes have one size in whole bits, so that residues are packed tightly.
    """
    limit = GUIDELINE_2024_LOG2_QP[degree]
    for count in range(1, limit // MIN_PRIME_BITS + 1):
        size = max(ceil(bits / count), MIN_PRIME_BITS)
        if size > MAX_PRIME_BITS or (count > 1 and (count - 1) * size >= bits):
            continue
        params = _params(degree, size, count)
        if params is not None and params.log2_qp < bits:
            params = _params(degree, size + 1, count) if size < MAX_PRIME_BITS else None
        if params is not None and bits <= params.log2_qp <= limit:
            yield params


def _params(degree: int, size: int, count: int) -> Params | None:
    """`count` primes just below 2^size; None if they are not of so many bits."""
    primes: list[int] = []
    for _ in range(count):
        try:
            primes.append(ntt_prime_below(size, degree, primes))
        except InsecureParametersError:
            return None
    if min(primes).bit_length() < size:
        return None
    return Params(poly_modulus_degree=degree, data_primes=tuple(primes), special_prime=None)
