"""Operations of a Plan under SEAL, ready to be timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import tenseal.sealapi as sealapi

from secure.params import Params, make_params
from secure.plan import Kind, galois_element

STEPS = 3


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
    """Every kind of operation that works at `level`; each call makes a new result, as in the evaluator."""
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
    yield Kind.MULTIPLY, lambda: evaluator.multiply(ciphertext, ciphertext, sealapi.Ciphertext())
    yield Kind.ROTATE, lambda: evaluator.apply_galois(ciphertext, element, ring.galois_keys, sealapi.Ciphertext())
    yield Kind.RELINEARIZE, lambda: evaluator.relinearize(squared, ring.relin_keys, sealapi.Ciphertext())
    if level > 1:
        yield Kind.RESCALE, lambda: evaluator.rescale_to_next(ciphertext, sealapi.Ciphertext())
        yield Kind.DROP, lambda: evaluator.mod_switch_to_next(ciphertext, sealapi.Ciphertext())
