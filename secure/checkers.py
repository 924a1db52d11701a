"""One checker a pass: each raises PlanError (or a sharper error) and names the layer when the pass left something wrong."""

from __future__ import annotations

from math import isclose, log2

import numpy as np

from compress.errors import PlanError
from secure.clear import run_clear
from secure.diagonals import apply_table
from secure.draft import Draft
from secure.dry import dry_run
from secure.packing import EMPTY, input_vectors, spread
from secure.params import check_security
from secure.plan import Kind
from secure.work import draft_operations, plan_operations

#: Relative difference that float64 sums in another order, and float32 constants, may make.
TABLE_TOLERANCE = 1e-9
PLAN_TOLERANCE = 1e-5
#: What slots between the features of a square are taken to hold when a table is checked: nobody may read it.
ANYTHING = 1e3
SCALE_TOLERANCE = 1e-9


def check_arranged(draft: Draft) -> None:
    """Every stage's diagonals, applied to a calibration image in slots, give the stage's value in its output map, whatever lies
    between the features of squares; outputs have nothing between them."""
    if draft.tables[-1].partial:
        raise PlanError(draft.stages[-1].layer, "its layout would show partial sums to the client")
    for stage, table, value in zip(draft.stages, draft.tables, draft.evidence.values, strict=True):
        missing = np.setdiff1d(np.arange(stage.size), table.output_map)
        if missing.size:
            raise PlanError(stage.layer, f"the layout lost {missing.size} of its {stage.size} values")
        sources = {
            atom: np.where(
                draft.atom_maps[atom] == EMPTY, ANYTHING * (atom > 0), spread(atoms[:, 0], draft.atom_maps[atom])
            )
            for atom, atoms in enumerate(draft.evidence.atoms)
            if atom in stage.maps
        }
        constant = spread(stage.constant, table.output_map)
        difference = apply_table(table, sources) + constant - spread(value[:, 0], table.output_map)
        if table.partial:
            difference[table.output_map == EMPTY] = 0.0
        if np.abs(difference).max() > TABLE_TOLERANCE * max(1.0, np.abs(value[:, 0]).max()):
            raise PlanError(stage.layer, f"its diagonals are off by {np.abs(difference).max():.2e}")


def check_rotations(draft: Draft) -> None:
    """Baby and giant step add up to every rotation."""
    for stage, table, split in zip(draft.stages, draft.tables, draft.splits, strict=True):
        for key in table.diagonals:
            baby, giant = split.parts[key.rotation]
            if (baby + giant) % draft.choice.slots != key.rotation:
                raise PlanError(stage.layer, f"rotation {key.rotation} was split into {baby} and {giant}")


def check_levels(draft: Draft) -> None:
    """No stage works below level 1 or above the levels of what it reads."""
    for index, stage in enumerate(draft.stages):
        level = draft.stage_levels[index]
        if level < 1 or any(level > draft.atom_levels[atom] for atom in stage.maps):
            raise PlanError(stage.layer, f"was placed at level {level}, which its inputs do not have")


def check_parameters(draft: Draft) -> None:
    """The modulus is secure, and everything that is rescaled or decrypted stays below half of its modulus, on
    the calibration inputs."""
    if draft.params is None:
        raise PlanError(draft.stages[-1].layer, "no parameters were chosen")
    check_security(draft.params)
    for index, stage in enumerate(draft.stages):
        room = draft.params.log2_modulus(draft.stage_levels[index]) - 1
        scale = draft.scales[index].value
        used = log2(draft.coefficients[index]) + log2(scale) * (2 if stage.squared else 1)
        if used > room:
            raise PlanError(stage.layer, f"its values need {used:.1f} bits where the modulus leaves {room:.1f}")


def check_plan(draft: Draft) -> None:
    """Levels and scales re-derived operation by operation, operation counts as the search assumed, and the plan in clear
    equal to the network."""
    plan = draft.plan
    if plan is None:
        raise PlanError(draft.stages[-1].layer, "no plan was written")
    dry_run(plan)
    written = plan_operations(plan)
    expected = draft_operations(draft)
    for place in (set(written) | set(expected)) - {place for place in written if place[0] is Kind.DROP}:
        if written[place] != expected[place]:
            raise PlanError(
                draft.stages[-1].layer, f"{written[place]} operations {place} were written, {expected[place]} expected"
            )
    rows = draft.atom_maps[0].reshape(-1, draft.choice.planes, draft.choice.slots)
    inputs = input_vectors(draft.evidence.atoms[0][:, 0], rows)
    outputs = np.stack(run_clear(plan, list(inputs)))
    wanted = spread(draft.evidence.outputs[:, 0], draft.tables[-1].output_map)
    error = np.abs(outputs - wanted).max()
    if error > PLAN_TOLERANCE * max(1.0, np.abs(wanted).max()):
        raise PlanError(draft.stages[-1].layer, f"the plan in clear is off by {error:.2e}")
    for value in plan.outputs:
        if not isclose(plan.scale_of(value), draft.scales[-1].value, rel_tol=SCALE_TOLERANCE):
            raise PlanError(draft.stages[-1].layer, "the output's scale drifted from the planned one")
