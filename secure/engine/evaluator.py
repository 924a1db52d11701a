"""A plan prepared for the engine: its program, its constants, and a runner for every client's keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.dataset import Progress
from compress.errors import PlanError
from secure.engine.buffers import Workspaces
from secure.engine.constants import EngineConstants
from secure.engine.placing import program_of
from secure.engine.residues import seal_bytes
from secure.engine.ring import EngineKeys, EngineRing
from secure.engine.running import Resources, Runner
from secure.engine.schedule import schedule
from secure.engine.team import Team
from secure.plan import Plan
from secure.seal.context import Ring
from secure.seal.evaluator import EvaluationKeys


@dataclass(frozen=True, eq=False)
class Residues:
    """A ciphertext of the engine: rows (parts, level, N)."""

    rows: NDArray[np.float64]


class EngineBackend:
    """A plan prepared for the engine. Values are Residues. Implements `secure.parties.backends.Backend`."""

    def __init__(self, ring: Ring, plan: Plan, cache_bytes: int, progress: Progress | None, threads: int = 1) -> None:
        """threads: how many one request may keep busy.

        Raises: BackendError for primes that are too large for the engine.
        """
        steps = schedule(plan)
        self._ring = EngineRing(ring)
        constants = EngineConstants(self._ring, plan, steps, cache_bytes, progress)
        program = program_of(plan, steps, threads)
        workspaces = Workspaces(program.workspace)
        self.resources = Resources(plan, program, self._ring, constants, workspaces, Team(threads))

    def evaluator(self, keys: EvaluationKeys) -> Runner:
        """The runner of the plan under these keys."""
        return Runner(self.resources, EngineKeys(self._ring, keys, self.resources.plan.key_manifest))

    def load(self, native: Any) -> Residues:
        """The residues of a SEAL ciphertext."""
        return Residues(self._ring.load(native, native.coeff_modulus_size()))

    def run(self, evaluator: Runner, inputs: Sequence[Residues]) -> list[Residues]:
        """The plan's outputs. Inputs are not changed.

        Raises: PlanError for inputs that the plan does not take; BackendError naming layer and operation.
        """
        plan = self.resources.plan
        if len(inputs) != plan.inputs:
            raise PlanError("input", f"{len(inputs)} ciphertexts were given, the plan takes {plan.inputs}")
        rows = [np.ascontiguousarray(value.rows, dtype=np.float64) for value in inputs]
        shape = (2, plan.input_level, plan.params.poly_modulus_degree)
        for one in rows:  # kernels do not check it
            if one.shape != shape:
                raise PlanError("input", f"residues {one.shape} were given, the plan takes {shape}")
        return [Residues(result) for result in evaluator.run(rows)]

    def save(self, value: Residues) -> bytes:
        """The bytes that SEAL would save for this ciphertext."""
        tables, parms_id = self._ring.tables, self._ring.ring.parms_ids[value.rows.shape[1]]
        return seal_bytes(value.rows, tables.primes, self._ring.places, parms_id)
