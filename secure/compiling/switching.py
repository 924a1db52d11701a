"""How the winning plan switches keys: with one special prime, or with several and digits of several primes.

The search chooses data primes and scales for one special prime. Then every way to group the data primes into digits is
priced by the kernels of the written plan. Its special primes are as large as they must be for no level to get noisier
than it was, so what was predicted of the answers stays true. The fastest way wins that fits the security table and the
limit on keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import inf, log2

from compress.errors import InsecureParametersError
from secure.drafting.draft import Draft
from secure.kernels.counts import KernelCounts, KernelTimes
from secure.kernels.engine import engine_kernels
from secure.params import (
    ENGINE_PRIME_BITS,
    MIN_PRIME_BITS,
    MOST_DIGIT_PRIMES,
    MOST_SPECIAL_PRIMES,
    Params,
    check_security,
    ntt_prime_below,
)
from secure.plan import KeyManifest, Plan
from secure.seal.sizes import client_keys_bytes

#: A plan takes other key switches only if they save this share of its time: more special primes also mean more memory
#: for constants, and times are predicted.
LEAST_GAIN = 0.05
#: Bits of a special prime beyond what noise asks for: the largest prime of a size is a little smaller than the size.
SPARE_BITS = 0.02


def with_best_switching(draft: Draft, times: KernelTimes, most_key_bytes: float = inf) -> Draft:
    """The draft with the fastest key switches for its plan, which must be written.

    times: of the engine. most_key_bytes: of a client's evaluation keys; a slower plan is taken where only it keeps to
    them. A plan that SEAL must be able to run, or that switches no keys, stays as it is.
    """
    plan = draft.plan
    if plan is None or draft.both_backends:
        return draft
    kept = client_keys_bytes(plan.params, plan.made_keys) <= most_key_bytes
    best, least = plan, (1 - LEAST_GAIN) * plan_milliseconds(plan, times) if kept else inf
    for params in switching_choices(plan.params, plan.key_manifest):
        other = replace(plan, params=params)
        milliseconds = plan_milliseconds(other, times)
        if milliseconds < least and client_keys_bytes(params, other.made_keys) <= most_key_bytes:
            best, least = other, milliseconds
    return draft if best is plan else replace(draft, params=best.params, plan=best)


def least_key_bytes(params: Params, keys: KeyManifest, *, both_backends: bool = False) -> float:
    """Bytes of a client's evaluation keys with the key switches that make them smallest.

    keys: with levels. both_backends: whether SEAL must be able to run the plan.
    """
    made = keys if params.fits_engine else keys.whole
    others = () if both_backends else switching_choices(params, keys)
    return min([client_keys_bytes(params, made), *(client_keys_bytes(other, keys) for other in others)])


def plan_milliseconds(plan: Plan, times: KernelTimes) -> float:
    """Predicted time of a plan under the engine."""
    return times.milliseconds(sum(engine_kernels(plan), KernelCounts()))


def switching_choices(params: Params, keys: KeyManifest) -> Iterator[Params]:
    """The same data primes with other digits and special primes, no noisier at any level, within the security table.

    None where a prime is too large for the engine, or where no keys are used.
    """
    if not params.fits_engine or not keys.levels:
        return
    for digits in _groupings(params.levels):
        grouped = replace(params, digits=digits)
        bits = _special_bits(params, grouped)
        for count in range(1, MOST_SPECIAL_PRIMES + 1):
            each = bits / count + SPARE_BITS
            if MIN_PRIME_BITS <= each <= ENGINE_PRIME_BITS:  # more special primes would mean more rows
                made = _with_special_primes(grouped, each, count)
                if made is not None:
                    yield made
                break


def _groupings(levels: int) -> Iterator[tuple[int, ...]]:
    """Digits of up to two or three primes. The first may be smaller, since the first prime often is larger than others,
    and the last takes what is left."""
    found = set()
    for size in range(2, MOST_DIGIT_PRIMES + 1):
        for first in range(1, size + 1):
            starts = [0, *range(first, levels, size)]
            digits = tuple(min(end, levels) - start for start, end in zip(starts, [*starts[1:], levels], strict=True))
            if sum(digits) == levels and max(digits) > 1:
                found.add(digits)
    yield from sorted(found, reverse=True)


def _special_bits(params: Params, grouped: Params) -> float:
    """log2 of the P with which key switches in these digits are as noisy as those of `params`, at every level.

    The noise of a level is in proportion to the sum of (Q / P)^2 over its digits, Q the product of a digit's primes.
    """
    most = 0.0
    for level in range(1, params.levels + 1):
        had = sum(params.digit_modulus(digit) ** 2 for digit in params.digits_at(level)) / params.special_modulus**2
        wanted = sum(grouped.digit_modulus(digit) ** 2 for digit in grouped.digits_at(level))
        most = max(most, log2(wanted / had) / 2)
    return max(most, log2(max(grouped.digit_modulus(digit) for digit in grouped.digits_at(params.levels))))


def _with_special_primes(grouped: Params, bits: float, count: int) -> Params | None:
    """These digits with as many special primes of this size; None where the ring has none or they are insecure."""
    taken = list(grouped.data_primes)
    try:
        for _ in range(count):
            taken.append(ntt_prime_below(bits, grouped.poly_modulus_degree, taken))
        first, *more = taken[grouped.levels :]
        made = replace(grouped, special_prime=first, more_special_primes=tuple(more))
        check_security(made)
    except InsecureParametersError:
        return None
    return made
