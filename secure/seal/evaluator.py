"""The evaluator on SEAL ciphertexts: every operation of the Plan through tenseal.sealapi.

SEAL sees scale 1.0 everywhere, so that its own scale check never fails. The plan carries the real scales, and its
checkers exclude overflow. Plaintexts are encoded once, when the server starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tenseal.sealapi as seal
from numpy.typing import NDArray

from compress.dataset import Progress
from secure.plan import Kind, Op, Plan, op_element
from secure.seal.context import RESIDUE_BYTES, Ring, native_errors


@dataclass(frozen=True)
class EvaluationKeys:
    """The loaded evaluation keys of one client. They compute; they cannot decrypt."""

    galois: Any
    relin: Any


#: Bytes of encoded constants that a server keeps by default. Further constants are encoded again at every use.
DEFAULT_CACHE_BYTES = 4 * 2**30


#: The largest scale that SEAL's encoder is given, since SEAL refuses scales near the modulus even for small numbers. A
#: larger scale is multiplied into the numbers instead.
LARGEST_TOLD_SCALE = 2.0**16


def encode(ring: Ring, encoder: Any, slots: NDArray[Any], level: int, scale: float) -> Any:
    """A SEAL plaintext of real or complex slots at a level and scale. Its SEAL scale is set to 1."""
    plain = seal.Plaintext()
    told = min(scale, LARGEST_TOLD_SCALE)
    wide = slots.astype(np.complex128 if np.iscomplexobj(slots) else np.float64)
    encoder.encode((wide * (scale / told)).tolist(), ring.parms_ids[level], told, plain)
    plain.scale = 1.0
    return plain


class EncodedConstants:
    """A plan's plaintexts by index, shared by all clients. The first ones, up to `cache_bytes`, are kept once
    encoded."""

    def __init__(self, ring: Ring, plan: Plan, cache_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self._ring = ring
        self._plan = plan
        self._encoder = seal.CKKSEncoder(ring.context)
        self._factors = frozenset(op.constant for op in plan.ops if op.kind is Kind.MULTIPLY_PLAIN)
        self._kept: list[Any] = []
        room = cache_bytes
        for constant in plan.constants:
            room -= constant.level * ring.params.poly_modulus_degree * RESIDUE_BYTES
            if room < 0:
                break
            self._kept.append(None)

    def __getitem__(self, index: int) -> Any:
        if index >= len(self._kept):
            return self._encoded(index)
        if self._kept[index] is None:
            self._kept[index] = self._encoded(index)
        return self._kept[index]

    def fill(self, progress: Progress | None = None) -> None:
        """Encode all plaintexts that are kept now, so that the first request takes no longer than others.

        Raises: BackendError.
        """
        for index in range(len(self._kept)):
            self[index]
            if progress is not None:
                progress("encode the weights", (index + 1) / len(self._kept))

    def _encoded(self, index: int) -> Any:
        constant = self._plan.constants[index]
        with native_errors(f"encode constant {index}"):
            plain = encode(self._ring, self._encoder, constant.slots, constant.level, constant.scale)
            if index in self._factors and plain.is_zero():
                # A few small weights in many slots can round to zero in every coefficient, and SEAL refuses a product
                # with zero. The constant polynomial 1 instead is wrong by 1 / scale in each slot: far less than the
                # sqrt(N / 12) / scale that the noise model charges for rounding any plaintext.
                self._encoder.encode(1.0, self._ring.parms_ids[constant.level], 1.0, plain)
        return plain


class TensealEvaluator:
    """Evaluates one plan on SEAL ciphertexts under one client's keys."""

    def __init__(self, ring: Ring, plaintexts: EncodedConstants, keys: EvaluationKeys) -> None:
        self._evaluator = seal.Evaluator(ring.context)
        self._plaintexts = plaintexts
        self._keys = keys
        self._degree = ring.params.poly_modulus_degree

    def rotate(self, value: Any, op: Op) -> Any:
        result = seal.Ciphertext()
        self._evaluator.apply_galois(value, op_element(op, self._degree), self._keys.galois, result)
        return result

    def conjugate(self, value: Any, op: Op) -> Any:
        return self.rotate(value, op)

    def multiply_plain(self, value: Any, op: Op) -> Any:
        result = seal.Ciphertext()
        self._evaluator.multiply_plain(value, self._plaintexts[op.constant], result)
        return result

    def add(self, left: Any, right: Any, op: Op) -> Any:
        result = seal.Ciphertext()
        self._evaluator.add(left, right, result)
        return result

    def add_plain(self, value: Any, op: Op) -> Any:
        result = seal.Ciphertext()
        self._evaluator.add_plain(value, self._plaintexts[op.constant], result)
        return result

    def square(self, value: Any, op: Op) -> Any:
        result = seal.Ciphertext()
        self._evaluator.square(value, result)
        return result

    def multiply(self, left: Any, right: Any, op: Op) -> Any:
        result = seal.Ciphertext()
        self._evaluator.multiply(left, right, result)
        return result

    def relinearize(self, value: Any, op: Op) -> Any:
        result = seal.Ciphertext()
        self._evaluator.relinearize(value, self._keys.relin, result)
        return result

    def rescale(self, value: Any, op: Op) -> Any:
        result = seal.Ciphertext()
        self._evaluator.rescale_to_next(value, result)
        result.scale = 1.0
        return result

    def drop(self, value: Any, op: Op) -> Any:
        result = seal.Ciphertext()
        self._evaluator.mod_switch_to_next(value, result)
        return result
