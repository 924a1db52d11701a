"""Times operations of a Plan under SEAL, in process CPU time on one thread. Used by calibrate_cpu_seal.py."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import tenseal.sealapi as sealapi

from secure.params import Params, make_params
from secure.plan import Kind, galois_element

#: A sample repeats its operation until it takes about this long, so that the clock's own cost does not matter.
SAMPLE_MS = 3.0
STEPS = 3

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Ring:
    """A SEAL context with the keys and values that the timed operations need, at its top level."""

    params: Params
    context: sealapi.SEALContext
    evaluator: sealapi.Evaluator
    encoder: sealapi.CKKSEncoder
    galois_keys: sealapi.GaloisKeys
    relin_keys: sealapi.RelinKeys
    ciphertext: sealapi.Ciphertext


def cpu_sample_us(operation: Callable[[], object], repeats: int) -> float:
    """CPU microseconds of one call, averaged over `repeats` calls."""
    start = time.process_time_ns()
    for _ in range(repeats):
        operation()
    return (time.process_time_ns() - start) / repeats * 1e-3


def make_ring(degree: int, levels: int, prime_bits: float) -> Ring:
    """A ring with `levels` data primes and one special prime, keys for one rotation, and one fresh ciphertext."""
    params = make_params(degree, [prime_bits] * levels, prime_bits + 0.5)
    settings = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.CKKS)
    settings.set_poly_modulus_degree(degree)
    settings.set_coeff_modulus([sealapi.Modulus(prime) for prime in params.all_primes])
    context = sealapi.SEALContext(settings, True, sealapi.SEC_LEVEL_TYPE.TC128)
    generator = sealapi.KeyGenerator(context)
    galois_keys, relin_keys = sealapi.GaloisKeys(), sealapi.RelinKeys()
    generator.create_galois_keys([galois_element(STEPS, degree)], galois_keys)
    generator.create_relin_keys(relin_keys)
    encoder = sealapi.CKKSEncoder(context)
    plaintext, ciphertext = sealapi.Plaintext(), sealapi.Ciphertext()
    encoder.encode(_random_slots(degree), 1024.0, plaintext)
    sealapi.Encryptor(context, generator.secret_key()).encrypt_symmetric(plaintext, ciphertext)
    ciphertext.scale = 1.0
    return Ring(params, context, sealapi.Evaluator(context), encoder, galois_keys, relin_keys, ciphertext)


def _random_slots(degree: int) -> list[float]:
    return list(np.random.default_rng(degree).uniform(-1.0, 1.0, degree // 2))


def operations(ring: Ring, level: int) -> Iterator[tuple[Kind, Callable[[], object]]]:
    """Every kind of operation that works at `level`, each call making a new result as the evaluator does."""
    evaluator, degree, ciphertext = ring.evaluator, ring.params.poly_modulus_degree, ring.ciphertext
    for _ in range(ring.params.levels - level):
        lower = sealapi.Ciphertext()
        evaluator.mod_switch_to_next(ciphertext, lower)
        ciphertext = lower
    plaintext, squared = sealapi.Plaintext(), sealapi.Ciphertext()
    ring.encoder.encode(_random_slots(degree), list(ciphertext.parms_id()), 1024.0, plaintext)
    plaintext.scale = 1.0
    evaluator.square(ciphertext, squared)
    element = galois_element(STEPS, degree)
    yield Kind.ADD, lambda: evaluator.add(ciphertext, ciphertext, sealapi.Ciphertext())
    yield Kind.ADD_PLAIN, lambda: evaluator.add_plain(ciphertext, plaintext, sealapi.Ciphertext())
    yield Kind.MULTIPLY_PLAIN, lambda: evaluator.multiply_plain(ciphertext, plaintext, sealapi.Ciphertext())
    yield Kind.SQUARE, lambda: evaluator.square(ciphertext, sealapi.Ciphertext())
    yield Kind.ROTATE, lambda: evaluator.apply_galois(ciphertext, element, ring.galois_keys, sealapi.Ciphertext())
    yield Kind.RELINEARIZE, lambda: evaluator.relinearize(squared, ring.relin_keys, sealapi.Ciphertext())
    if level > 1:
        yield Kind.RESCALE, lambda: evaluator.rescale_to_next(ciphertext, sealapi.Ciphertext())
        yield Kind.DROP, lambda: evaluator.mod_switch_to_next(ciphertext, sealapi.Ciphertext())


@dataclass(frozen=True)
class Timing(Generic[Key]):
    """One cell and its cost in multiples of the reference operation: median and quartiles of the ratios."""

    key: Key
    ratio: float
    lower_quartile: float
    upper_quartile: float
    samples: int


def time_operations(
    calls: Mapping[Key, Callable[[], object]], reference: Callable[[], object], rounds: int
) -> tuple[list[Timing[Key]], list[float]]:
    """(cells, CPU microseconds of every reference sample) of the given calls.

    A shared machine changes speed by tens of percent from second to second, so each sample stands between two samples
    of one reference operation and only their ratio is kept; rounds are interleaved and shuffled for the same reason.
    """
    repeats = {key: _repeats(call) for key, call in calls.items()}
    reference_repeats = _repeats(reference)
    ratios: dict[Key, list[float]] = {key: [] for key in calls}
    anchors: list[float] = []
    order, shuffle = list(calls), random.Random(0)
    for _ in range(rounds):
        shuffle.shuffle(order)
        before = cpu_sample_us(reference, reference_repeats)
        for key in order:
            sample = cpu_sample_us(calls[key], repeats[key])
            after = cpu_sample_us(reference, reference_repeats)
            ratios[key].append(2 * sample / (before + after))
            anchors.append(after)
            before = after
    return [_timing(key, samples) for key, samples in ratios.items()], anchors


def _repeats(call: Callable[[], object]) -> int:
    return max(1, round(SAMPLE_MS * 1e3 / min(cpu_sample_us(call, 1) for _ in range(3))))


def _timing(key: Key, ratios: list[float]) -> Timing[Key]:
    lower, median, upper = statistics.quantiles(ratios, n=4)
    return Timing(key, ratio=median, lower_quartile=lower, upper_quartile=upper, samples=len(ratios))
