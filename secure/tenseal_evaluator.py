"""The real evaluator: every operation of the Plan on SEAL ciphertexts, through tenseal.sealapi.

All scales that SEAL sees are 1.0, which keeps its own scale check out of the way; the plan carries the real ones and its checkers
exclude overflow. Plaintexts are encoded once, when the evaluator is made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tenseal.sealapi as seal
from numpy.typing import NDArray

from secure.evaluate import walk
from secure.plan import Kind, Op, Plan, galois_element
from secure.seal_context import Ring, native_errors


@dataclass(frozen=True)
class EvaluationKeys:
    """Loaded key material of one client: all a server needs to compute, nothing that decrypts."""

    galois: Any
    relin: Any


def encode(ring: Ring, encoder: Any, slots: NDArray[Any], level: int, scale: float) -> Any:
    """A SEAL plaintext of real slots at a level and scale; SEAL itself is told scale 1."""
    plain = seal.Plaintext()
    encoder.encode(slots.astype(np.float64).tolist(), ring.parms_ids[level], scale, plain)
    plain.scale = 1.0
    return plain


class TensealEvaluator:
    """Runs plans of one bundle for the keys it is given; `plaintexts` comes from `encode_constants`."""

    def __init__(self, ring: Ring, plaintexts: Sequence[Any], keys: EvaluationKeys) -> None:
        self._evaluator = seal.Evaluator(ring.context)
        self._plaintexts = plaintexts
        self._keys = keys
        self._degree = ring.params.poly_modulus_degree

    def rotate(self, value: Any, op: Op) -> Any:
        result = seal.Ciphertext()
        self._evaluator.apply_galois(value, galois_element(op.steps, self._degree), self._keys.galois, result)
        return result

    def multiply_plain(self, value: Any, op: Op) -> Any:
        result = seal.Ciphertext()
        self._evaluator.multiply_plain(value, self._plaintexts[op.constant], result)
        result.scale = 1.0
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
        result.scale = 1.0
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


class CountingEvaluator:
    """Wraps a TensealEvaluator and counts what it really did: (kind, level read from the ciphertext it worked on)."""

    def __init__(self, inner: TensealEvaluator) -> None:
        self.operations: Counter[tuple[Kind, int]] = Counter()
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        def counted(value: Any, *rest: Any) -> Any:
            self.operations[Kind(name), value.coeff_modulus_size()] += 1
            return method(value, *rest)

        return counted


def encode_constants(ring: Ring, plan: Plan) -> list[Any]:
    """Every constant of a plan as a SEAL plaintext.

    Raises: BackendError.
    """
    encoder = seal.CKKSEncoder(ring.context)
    with native_errors("encode"):
        return [encode(ring, encoder, c.slots, c.level, c.scale) for c in plan.constants]


def run_encrypted(plan: Plan, evaluator: TensealEvaluator | CountingEvaluator, inputs: Sequence[Any]) -> list[Any]:
    """The plan's output ciphertexts.

    Raises: BackendError.
    """
    with native_errors("run the plan"):
        return walk(plan, evaluator, inputs)
