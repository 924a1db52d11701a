"""A client and an engine in one object, with keys of our own, and the exact noise of what they compute; for tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tenseal.sealapi as seal

from secure.engine import arithmetic
from secure.engine.evaluator import EngineBackend, Residues
from secure.engine.team import ALONE
from secure.engine.transform import backward
from secure.plan import Plan, galois_element
from secure.seal.context import make_ring, to_bytes
from secure.switching.making import KeyMaker
from secure.switching.reading import read_keys
from secure.switching.secret import SecretRows


@dataclass
class OneKind:
    """Keys of one item, one after the other."""

    left: object

    def key(self, which):
        return next(self.left)


@dataclass
class OwnKeys:
    """What the engine takes of a client's keys."""

    relin: OneKind
    galois: OneKind


class OwnParty:
    """A plan under the engine with keys of our own."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.ring = plan, make_ring(plan.params)
        self.backend = EngineBackend(self.ring, plan, 2**30, None)
        self.engine = self.backend._ring
        self.content = to_bytes(seal.KeyGenerator(self.ring.context).secret_key())
        self.secret = SecretRows(plan.params, self.engine.tables, self.content).values
        manifest = plan.key_manifest
        maker = KeyMaker(plan.params, self.content)
        self.relin_item = maker.relin_item(manifest.relin_level)
        self.galois_item = maker.galois_item(manifest.galois_elements, manifest.galois_levels)
        maker.wipe()

    def keys(self) -> OwnKeys:
        """The keys as a server reads them."""
        manifest = self.plan.key_manifest
        relin = read_keys(self.plan.params, (manifest.relin_level,) * manifest.relinearize, self.relin_item, "relin")
        galois = read_keys(self.plan.params, manifest.galois_levels, self.galois_item, "galois")
        return OwnKeys(OneKind(relin), OneKind(galois))

    def run(self, *inputs: np.ndarray, threads: int = 1) -> list[np.ndarray]:
        """The outputs' residues for residues (2, level, N)."""
        backend = self.backend if threads == 1 else EngineBackend(self.ring, self.plan, 2**30, None, threads)
        found = backend.run(backend.evaluator(self.keys()), [Residues(rows) for rows in inputs])
        return [value.rows for value in found]

    def random_value(self, seed: int = 0) -> np.ndarray:
        """(2, level, N): uniform residues, which hide a uniform message."""
        rng = np.random.default_rng(seed)
        primes = self.plan.params.data_primes[: self.plan.input_level]
        degree = self.plan.params.poly_modulus_degree
        return np.array([[rng.integers(-(p // 2), p // 2, degree) for p in primes] for _ in range(2)], dtype=np.float64)

    def hidden(self, message: np.ndarray, seed: int = 0) -> np.ndarray:
        """(2, level, N): residues that hide a message (level, N) without noise: a uniform c1, and c0 = m - c1 s."""
        value = self.random_value(seed)
        value[0] = 0.0
        masked, primes = message - self.phase(value), np.array(self.plan.params.data_primes[: value.shape[1]])[:, None]
        value[0] = masked - np.rint(masked / primes) * primes
        return value

    def phase(self, value: np.ndarray) -> np.ndarray:
        """(level, N): c0 + c1 s of residues, in the engine's order."""
        level = value.shape[1]
        result, moduli = value[:1].copy(), self.engine.moduli(level, False)
        arithmetic.add_product(ALONE, result, False, value[1:].copy(), self.secret[:level].copy(), moduli)
        return result[0]

    def moved(self, rows: np.ndarray, steps: int) -> np.ndarray:
        """Residues under the automorphism of a rotation."""
        return rows[..., self.engine.rotation(galois_element(steps, self.engine.degree))]

    def coefficients(self, rows: np.ndarray) -> np.ndarray:
        """(level, N): the centred coefficients modulo every data prime of residues in the engine's order."""
        result, scratch = rows.copy(), np.empty(rows.shape[1])
        for row, prime in enumerate(self.plan.params.data_primes[: len(rows)]):
            backward(result[row], scratch, row, self.engine.tables)
            result[row] -= np.rint(result[row] / prime) * prime
        return result
