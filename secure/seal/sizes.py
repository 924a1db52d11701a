"""How large ciphertexts and keys are on the wire, from the parameters alone. Pure.

Our own strings of bits are counted exactly. SEAL's objects are estimated:

SEAL stores every residue modulo a b-bit prime in 8 bytes, and compresses all of them with zstd. Uniform residues do not
repeat, so zstd can only use one entropy code for all bytes of a block: a mixture of uniform bytes, one partly filled
byte, and zeros. The estimate is the entropy of that mixture (derived; a test compares it with SEAL's bytes). Seeded
objects hold a seed in place of their random half.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import log2

from secure import ciphertext_shape, key_shape
from secure.params import Params
from secure.plan import KeyManifest

RESIDUE_BYTES = 8
BYTE_VALUES = 256
#: Bytes of one object for SEAL's headers, the parms_id and the seed.
HEADER_BYTES = 200


def ciphertext_bytes(params: Params, level: int, *, seeded: bool) -> float:
    """One ciphertext: two parts, or one part and a seed. SEAL writes those of rings that only SEAL runs."""
    if params.fits_engine:
        return ciphertext_shape.item_bytes(params, level, seeded=seeded)
    return (1 if seeded else 2) * _polynomial_bytes(params, params.data_primes[:level]) + HEADER_BYTES


def relin_keys_bytes(params: Params) -> float:
    """The seeded relinearization key: a polynomial modulo every prime for every data prime."""
    return params.levels * (_polynomial_bytes(params, params.seal_primes) + HEADER_BYTES)


def galois_keys_bytes(params: Params, rotations: int) -> float:
    """Seeded rotation keys, each of the size of a relinearization key."""
    return rotations * relin_keys_bytes(params)


def evaluation_keys_bytes(params: Params, rotations: int, *, relinearizes: bool) -> float:
    """All evaluation keys of a client together. It sends them once."""
    return galois_keys_bytes(params, rotations) + relin_keys_bytes(params) * relinearizes


def client_keys_bytes(params: Params, keys: KeyManifest) -> float:
    """All evaluation keys that a client makes: exactly, for packed ones; estimated, for SEAL's whole keys."""
    if keys.levels:
        relin = key_shape.item_bytes(params, (keys.relin_level,) * keys.relinearize)
        return relin + key_shape.item_bytes(params, keys.galois_levels)
    return evaluation_keys_bytes(params, len(keys.galois_elements), relinearizes=keys.relinearize)


def keys_memory_bytes(params: Params, keys: KeyManifest) -> int:
    """What a client's keys take in memory while they are made: their packed bytes, twice, and the rows of one secret.
    For each of SEAL's whole keys two polynomials modulo every prime for every data prime, eight bytes a residue."""
    polynomial = params.poly_modulus_degree * RESIDUE_BYTES
    if keys.levels:
        return 2 * int(client_keys_bytes(params, keys)) + 2 * len(params.all_primes) * polynomial
    count = len(keys.galois_elements) + keys.relinearize
    return count * params.levels * 2 * len(params.seal_primes) * polynomial


def _polynomial_bytes(params: Params, primes: Iterable[int]) -> float:
    return params.poly_modulus_degree * sum(_residue_bits(prime.bit_length()) for prime in primes) / 8


def _residue_bits(prime_bits: int) -> float:
    """Bits of one residue under one entropy code for all its bytes: 8 bytes times the entropy of the byte mixture."""
    full, partial_bits = divmod(prime_bits, 8)
    partial = int(partial_bits > 0)
    shares = [full / BYTE_VALUES] * BYTE_VALUES
    for value in range(2**partial_bits * partial):
        shares[value] += partial / 2**partial_bits
    shares[0] += RESIDUE_BYTES - full - partial
    return -sum(share * log2(share / RESIDUE_BYTES) for share in shares if share > 0)
