"""The choice of input scale, ring and primes: the fastest plan whose promise is allowed.

Encryption disturbs the inputs alone. So the largest variance that keeps the promise is found once, and it gives the
input scale of every ring. Final integers then need so many bits, and the primes are as many and as large as takes the
least predicted time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

from compress.errors import InsecureParametersError, LevelBudgetError, PlanError
from secure.coded.clear import run_all
from secure.coded.forms import Program
from secure.coded.plan import BatchPlan, Step
from secure.coded.scaling import scaled
from secure.params import GUIDELINE_2024_LOG2_QP, KEYLESS_RING_DEGREES, MIN_PRIME_BITS, Params, ntt_prime_below
from secure.residues.constants import MAX_PRIME_BITS
from secure.residues.narrow import with_read_inputs
from secure.residues.times import TYPICAL_RESIDUE_TIMES, ResidueTimes, predicted_ms
from secure.throughput.evidence import Evidence
from secure.throughput.magnitudes import modulus_bits, phased_modulus_bits
from secure.throughput.noise import input_variance
from secure.throughput.promise import Allowed, Promise, promised
from secure.throughput.trial import noise_is_small

Array = NDArray[np.float64]

#: Input scales are chosen in steps of 1/8 bit between these.
STEPS_PER_BIT = 8
LEAST_SCALE_BITS, MOST_SCALE_BITS = 1.0, 40.0
#: Input scales, in bits, at which the error of rounded factors is measured before the scale is known. The first one
#: serves whose scales float64 can hold.
TRIAL_SCALE_BITS = range(20, 6, -1)
#: How often a scale is raised that turns out too small: rounding depends on it a little, and noise that is large beside
#: the inputs does more than derivatives say.
MOST_RAISES = 64


@dataclass(frozen=True)
class Choice:
    """A plan that keeps its promise. modulus_bits: needed. predicted_us: per image on one thread. rounding_bits: as of
    `choose`."""

    plan: BatchPlan
    promise: Promise
    modulus_bits: float
    predicted_us: float
    rounding_bits: int


def systematic_errors(steps: tuple[Step, ...], input_scale: float, evidence: Evidence) -> Array:
    """What the rounded constants of the steps change in the outputs of examined inputs, (outputs, examined)."""
    inputs, outputs = evidence.examined
    return run_all(steps, inputs.shape[1], input_scale, inputs)[-1] - outputs.T


def trial_errors(program: Program, evidence: Evidence, rounding_bits: int) -> Array:
    """The systematic errors at a scale where rounded factors alone matter.

    Raises: LevelBudgetError for a program whose scales exceed every ring's.
    """
    *larger, least = TRIAL_SCALE_BITS
    for bits in larger:
        with suppress(LevelBudgetError):
            return systematic_errors(scaled(program, 2.0**bits, rounding_bits), 2.0**bits, evidence)
    return systematic_errors(scaled(program, 2.0**least, rounding_bits), 2.0**least, evidence)


def largest_deviation(wrong: Array, evidence: Evidence, allowed: Allowed) -> float | None:
    """The largest standard deviation of an input feature, as a power of 2^(1/8), that keeps an allowed promise.

    wrong: systematic errors. None when they alone are too large.
    """
    low, high = int(-MOST_SCALE_BITS * STEPS_PER_BIT), int((8 - LEAST_SCALE_BITS) * STEPS_PER_BIT)

    def fits(eighths: int) -> bool:
        return allowed.admits(promised(evidence, wrong, 4.0 ** (eighths / STEPS_PER_BIT)))

    if not fits(low):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return float(2.0 ** (low / STEPS_PER_BIT))


def choose(
    program: Program,
    evidence: Evidence,
    allowed: Allowed,
    rounding_bits: int,
    *,
    dropped: int = 0,
    units: tuple[float, ...] = (),
    times: ResidueTimes = TYPICAL_RESIDUE_TIMES,
) -> Choice | None:
    """The plan for the smallest ring that holds the network, with the primes that take least time.

    A larger ring has more noise in every slot, so it needs more bits and more time per image. rounding_bits: the
    precision of factors. dropped: low bits that the client does not send; then one prime is allowed. units: of a
    program that reads some, with the evidence for it; answers have random phases then. None when rounding alone makes
    too large an error, or when no ring holds the network.
    """
    wrong = trial_errors(program, evidence, rounding_bits)
    deviation = largest_deviation(wrong, evidence, allowed)
    if deviation is None:
        return None
    for degree in KEYLESS_RING_DEGREES:
        scale = max(sqrt(input_variance(degree, 1.0, dropped)) / deviation, 2.0**LEAST_SCALE_BITS)
        for _ in range(MOST_RAISES):
            try:
                steps = scaled(program, scale, rounding_bits)
            except LevelBudgetError:
                break
            variance = input_variance(degree, scale, dropped)
            scales = steps[-1].scales
            bits = (
                phased_modulus_bits(evidence, scales, variance, degree)
                if units
                else modulus_bits(evidence, scales, variance)
            )
            if bits > GUIDELINE_2024_LOG2_QP[degree]:
                break
            promise = promised(evidence, systematic_errors(steps, scale, evidence), variance)
            if not allowed.admits(promise) or not noise_is_small(program, evidence, promise, variance):
                scale *= 2.0 ** (1 / STEPS_PER_BIT)
                continue
            best = _fastest(
                (
                    BatchPlan(
                        params=params,
                        inputs=program.inputs,
                        input_scale=scale,
                        steps=steps,
                        upload_bits_dropped=dropped,
                        units=units,
                    )
                    for params in moduli(degree, bits)
                    if not dropped or params.levels == 1
                ),
                times,
            )
            if best is not None:
                return Choice(with_read_inputs(best[1]), promise, bits, best[0], rounding_bits)
            break
    return None


def _fastest(plans: Iterable[BatchPlan], times: ResidueTimes) -> tuple[float, BatchPlan] | None:
    """(microseconds per image, plan) of the plan that is predicted to be the fastest."""
    timed = []
    for plan in plans:
        try:
            timed.append((1e3 * predicted_ms(plan, times=times).total_ms / plan.params.slots, plan))
        except PlanError:
            continue  # a code is too large for primes of this size
    return min(timed, key=lambda pair: pair[0]) if timed else None


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
