"""A plan made ready for the engine: its schedule, its constants, and an evaluator for every client's keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from compress.errors import PlanError
from secure.engine.buffers import Buffers
from secure.engine.constants import EngineConstants
from secure.engine.residues import seal_bytes
from secure.engine.ring import EngineKeys, EngineRing
from secure.engine.running import Residues, Resources, Run
from secure.engine.team import Team
from secure.engine_schedule import schedule
from secure.plan import Plan
from secure.seal_context import Ring
from secure.tenseal_evaluator import EvaluationKeys

Progress = Callable[[str, float], None]


class EngineBackend:
    """A plan made ready for the engine; values are Residues. Satisfies `secure.backends.Backend`."""

    def __init__(self, ring: Ring, plan: Plan, cache_bytes: int, progress: Progress | None, threads: int = 1) -> None:
        """threads: that one request may keep busy.

        Raises: BackendError for primes the engine cannot hold.
        """
        self._plan = plan
        self._schedule = schedule(plan)
        self._ring = EngineRing(ring)
        self._constants = EngineConstants(self._ring, plan, self._schedule, cache_bytes, progress)
        self.buffers = Buffers()
        self._team = Team(threads)

    def evaluator(self, keys: EvaluationKeys) -> Resources:
        """What running the plan under these keys takes."""
        engine_keys = EngineKeys(self._ring, keys, self._plan.key_manifest)
        return Resources(self._plan, self._schedule, self._ring, self._constants, self.buffers, engine_keys, self._team)

    def load(self, native: Any) -> Residues:
        """From SEAL's ciphertext."""
        return Residues(self._ring.load(native, native.coeff_modulus_size()))

    def run(self, evaluator: Resources, inputs: Sequence[Residues]) -> list[Residues]:
        """The plan's outputs, divided; inputs stay as they are.

        Raises: PlanError for the wrong number of inputs; BackendError naming layer and operation.
        """
        if len(inputs) != self._plan.inputs:
            raise PlanError("input", f"{len(inputs)} ciphertexts were given, the plan takes {self._plan.inputs}")
        with self._team.gathered() as team:
            return Run(evaluator, [Residues(value.rows) for value in inputs], team).outputs()

    def save(self, value: Residues) -> bytes:
        """What SEAL would save for it."""
        tables, parms_id = self._ring.tables, self._ring.ring.parms_ids[value.rows.shape[1]]
        return seal_bytes(value.rows, tables.primes, self._ring.places, parms_id)
