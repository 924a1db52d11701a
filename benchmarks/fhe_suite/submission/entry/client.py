"""Features to a request, and a reply to logits, under the client's secret key.

A ciphertext of a feature m is (m + e - a s, a), as in `secure.streams.encryption`: s is SEAL's ternary secret, a is
expanded from a seed that is sent in its place, e has SEAL's distribution, from a key that nobody gets. Seed and key are
fresh bytes of the operating system for every block.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from math import prod
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from compress.errors import FormatError, KeyMismatchError
from entry import words
from entry.chacha import KEY_BYTES
from entry.modular import below_prime, centred, number, reduce_, times
from entry.sampling import error_rows, uniform_rows
from entry.secret import Secret
from entry.transform import Transform
from secure.bundle.batch_specs import BatchClientSpec
from secure.encoding import real_coefficients, real_slots
from secure.streams.frames import BATCH_ID_BYTES, Frame, FrameHead, in_order, reply_layout, request_layout

Array = NDArray[np.float64]


class Client:
    """Encrypts blocks of features and decrypts blocks of logits under one key."""

    def __init__(self, spec: BatchClientSpec, secret: Secret) -> None:
        self._spec, self._secret, self._params = spec, secret, spec.params
        self._transforms = [Transform(prime, self._params.poly_modulus_degree) for prime in self._params.data_primes]
        self._features, self._outputs = prod(spec.input_shape), prod(spec.output_shape)
        self._requests = request_layout(spec.bundle_id, self._params, self._features, spec.upload_bits_dropped)
        self._replies = reply_layout(spec.bundle_id, self._params, self._outputs, spec.reply_parts)

    def encrypt(self, features: Array) -> Iterator[bytes]:
        """The frames of a request for features (images, features); values outside the accepted range are brought to
        its nearest end."""
        size, batch_id = self._spec.block_images, os.urandom(BATCH_ID_BYTES)
        count = -(-len(features) // size)
        for place in range(count):
            block = np.clip(features[place * size : (place + 1) * size], self._spec.input_low, self._spec.input_high)
            seed = os.urandom(KEY_BYTES)
            items = self._seal(block, seed)
            head = FrameHead(batch_id, place, count, len(block))
            yield self._requests.to_bytes(Frame(self._secret.id, head, seed, items))

    def _seal(self, block: Array, seed: bytes) -> tuple[Any, ...]:
        """The packed first parts of a block, by prime."""
        degree = self._params.poly_modulus_degree
        message = error_rows(os.urandom(KEY_BYTES), self._features, degree)
        slots = np.zeros((self._features, degree // 2))
        slots[:, : len(block)] = block.T
        half = np.rint(real_coefficients(slots) * self._spec.input_scale)
        message[:, : degree // 2] += half
        message[:, : degree // 2 : -1] -= half[:, 1:]
        primes = enumerate(self._params.data_primes)
        return tuple(self._packed(message, seed, which, prime).data.cast("B") for which, prime in primes)

    def _packed(self, message: Array, seed: bytes, which: int, prime: int) -> words.Words:
        """m + e - a s modulo prime number `which`, of m + e: residues, or coefficients without their low bits."""
        transform, dropped = self._transforms[which], self._spec.upload_bits_dropped
        row = reduce_(message.copy(), prime)
        uniform = centred(uniform_rows(seed, which, prime, *message.shape), prime)
        product = times(uniform, self._secret.rows[which], prime)
        if not dropped:
            row = transform.forward(row)
            row -= product
            return words.pack(below_prime(reduce_(row, prime), prime), prime.bit_length())
        row -= transform.backward(product)
        whole = below_prime(reduce_(row, prime), prime)
        rounded = (whole + np.uint64(1 << (dropped - 1))) >> np.uint64(dropped)
        bits = prime.bit_length() - dropped
        return words.pack(rounded & np.uint64((1 << bits) - 1), bits)

    def read(self, file: BinaryIO, name: str) -> Iterator[bytes]:
        """The frames of a reply in an open file."""
        return self._replies.read(file, name)

    def decrypt(self, frames: Iterable[bytes], name: str) -> Array:
        """(images, outputs) of a reply.

        Raises: FormatError, KeyMismatchError.
        """
        blocks = []
        for frame in in_order((self._replies.parse(frame, name) for frame in frames), name):
            if frame.key_id != self._secret.id:
                raise KeyMismatchError(f"{name}: it was made with another key; use the key that encrypted the request")
            rows = [self._open(item, which, name) for which, item in enumerate(frame.items)]
            slots = real_slots(combined(rows, self._params.data_primes))[:, : frame.head.images]
            blocks.append(slots.T / self._spec.output_scales)
        return np.concatenate(blocks)

    def _open(self, item: Any, which: int, name: str) -> Array:
        """(outputs, N): coefficients of the sum of c_k s^k modulo prime number `which`, centred."""
        prime, secret = self._params.data_primes[which], self._secret.rows[which]
        packed = np.frombuffer(item, dtype=np.uint64).reshape(self._outputs * self._spec.reply_parts, -1)
        residues = words.unpack(packed, prime.bit_length())
        if residues.max() >= prime:
            raise FormatError(f"{name}: a residue is not below its prime; the file is altered")
        parts = centred(residues, prime).reshape(self._outputs, self._spec.reply_parts, -1)
        total = parts[:, -1]
        for index in range(self._spec.reply_parts - 2, -1, -1):
            total = reduce_(times(total, secret, prime) + parts[:, index], prime)
        return self._transforms[which].backward(total)


def combined(rows: list[Array], primes: tuple[int, ...]) -> Array:
    """Centred whole numbers modulo the product of the primes, as float64, of centred residues by prime.

    Digits to the bases q1, q1 q2, ..., each centred (Garner, "The residue number system", 1959).
    """
    digits: list[Array] = []
    for which, prime in enumerate(primes):
        digit = rows[which].copy()
        for lower, base in zip(digits, primes, strict=False):
            inverse = number(pow(base, -1, prime), prime)
            digit = times(reduce_(digit - reduce_(lower.copy(), prime), prime), inverse, prime)
        digits.append(digit)
    total = digits[-1]
    for digit, prime in zip(digits[-2::-1], primes[len(digits) - 2 :: -1], strict=False):
        total = total * prime + digit
    return total
