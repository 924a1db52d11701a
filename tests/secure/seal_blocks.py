"""SEAL as the judge of blocks: its contexts for their primes, the same secret key there, and its ciphertexts."""

from __future__ import annotations

import struct

import numpy as np
import tenseal.sealapi as seal
import zstandard
from numpy.typing import NDArray

from secure.encoding import coefficients
from secure.engine.tables import make_tables
from secure.engine.transform import forward
from secure.params import Params, ntt_prime_below
from secure.seal.context import Ring, from_bytes, to_bytes
from secure.seal.frame import HEADER, ZSTD
from secure.seal.saved import BODY, KEY, header
from secure.streams.keys import SecretRows
from secure.streams.sealing import to_engine_order, to_seal_order

Words = NDArray[np.uint64]


class Judge:
    """SEAL under the secret key of a batch client. Beside several primes it has one more, as SEAL wants one."""

    def __init__(self, params: Params, secret: SecretRows) -> None:
        extra = () if params.levels == 1 else (ntt_prime_below(45, params.poly_modulus_degree, params.data_primes),)
        self.params, self.primes = params, (*params.data_primes, *extra)
        native = seal.EncryptionParameters(seal.SCHEME_TYPE.CKKS)
        native.set_poly_modulus_degree(params.poly_modulus_degree)
        native.set_coeff_modulus([seal.Modulus(prime) for prime in self.primes])
        # with the prime that SEAL wants in addition, the modulus may be above the table; nothing secret is sent here
        self.context = seal.SEALContext(native, True, seal.SEC_LEVEL_TYPE.NONE)
        self._ring = Ring(params, self.context, ())
        self.ids = list(self.context.first_parms_id())
        self.key = self._key(ternary(params, secret))
        self.encoder = seal.CKKSEncoder(self.context)
        self.evaluator = seal.Evaluator(self.context)

    def _key(self, secret: NDArray[np.float64]) -> object:
        degree = self.params.poly_modulus_degree
        tables = make_tables(Params(poly_modulus_degree=degree, data_primes=self.primes, special_prime=None))
        words = np.empty((len(self.primes), degree), dtype=np.uint64)
        for which, prime in enumerate(self.primes):
            row, values = secret.copy(), np.empty(degree)
            forward(row, np.empty(degree), which, tables)
            to_seal_order(row, tables.columns, values)
            words[which] = values.astype(np.int64) % prime
        key_id = struct.pack("<4Q", *self.context.key_parms_id())
        nested = header(HEADER.size + 8 + words.nbytes)
        body = KEY.pack(key_id, words.size, 1.0, nested, words.size) + words.tobytes()
        content = header(HEADER.size + len(body)) + body
        return from_bytes(seal.SecretKey(), self._ring, content, "key", len(content))

    def ciphertext(self, residues: Words) -> object:
        """SEAL's object of residues (parts, primes, N) in its order."""
        parts, level, degree = residues.shape
        nested = header(HEADER.size + 8 + residues.nbytes)
        fields = (1, parts, degree, level, 1.0, 1, nested, residues.size)
        body = BODY.pack(struct.pack("<4Q", *self.ids), *fields) + residues.tobytes()
        content = header(HEADER.size + len(body)) + body
        return from_bytes(seal.Ciphertext(), self._ring, content, "ciphertext", len(content))

    def residues(self, ciphertext: object) -> Words:
        """(parts, primes, N) of SEAL's object."""
        content = to_bytes(ciphertext)
        body = content[HEADER.size :]
        if content[5] == ZSTD:
            body = zstandard.ZstdDecompressor().decompressobj().decompress(body)
        _, _, parts, degree, level, *_, count = BODY.unpack_from(body)
        return np.frombuffer(body, dtype="<u8", count=count, offset=BODY.size).reshape(parts, level, degree)

    def polynomial(self, ciphertext: object) -> NDArray[np.float64]:
        """(N,): the coefficients that SEAL decrypts, exact below 2^40."""
        plain = seal.Plaintext()
        seal.Decryptor(self.context, self.key).decrypt(ciphertext, plain)
        plain.scale = 1.0
        found = coefficients(np.array(self.encoder.decode_complex(plain)))
        assert np.abs(found - np.rint(found)).max() < 1e-2
        return np.asarray(np.rint(found))

    def encrypt(self, slots: NDArray[np.float64], scale: float) -> object:
        """SEAL's own symmetric encryption, both parts in full."""
        plain = seal.Plaintext()
        self.encoder.encode(slots.tolist(), scale, plain)
        content = to_bytes(seal.Encryptor(self.context, self.key).encrypt_symmetric(plain))
        return from_bytes(seal.Ciphertext(), self._ring, content, "ciphertext", 2**22)


def ternary(params: Params, secret: SecretRows) -> NDArray[np.float64]:
    """(N,): the secret key's coefficients, from its residues modulo the first prime."""
    from secure.engine.transform import backward

    tables, degree = make_tables(params), params.poly_modulus_degree
    row = np.empty(degree)
    to_engine_order(secret.values[0], tables.columns, row)
    backward(row, np.empty(degree), 0, tables)
    row -= np.rint(row / params.data_primes[0]) * params.data_primes[0]
    assert set(row.tolist()) == {-1.0, 0.0, 1.0}
    return row
