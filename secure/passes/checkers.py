"""One checker per pass. It raises PlanError, or a more specific error, that names the layer where the pass went wrong.

Users see these errors only if a pass has a defect, so their messages say what was found and not what to do.
"""

from __future__ import annotations

from math import isclose, log2

import numpy as np

from compress.errors import PlanError
from secure.bounds.headroom import largest_images, overfull_stages, wrap_sites
from secure.drafting.draft import Draft
from secure.drafting.work import draft_operations, plan_operations
from secure.encoding import coefficients
from secure.evaluators.adjoint import record
from secure.evaluators.clear import ClearEvaluator
from secure.evaluators.dry import dry_run
from secure.layout.diagonals import apply_table
from secure.layout.packing import EMPTY, folded, input_vectors, spread
from secure.params import check_security
from secure.plan import Kind, Plan
from secure.stages.stages import run_stages

#: Allowed relative differences: those of float64 sums in another order, and those of float32 constants.
TABLE_TOLERANCE = 1e-9
PLAN_TOLERANCE = 1e-5
#: While a table is checked, this number fills the slots of a square that hold no feature. No table may read them.
ANYTHING = 1e3
SCALE_TOLERANCE = 1e-9
#: The seed of random probe values.
PROBE_SEED = 0
#: A plan is also checked "beside" an image: every pixel is moved by up to this share of the inputs' range.
PROBE_REACH = 0.05
TINY = 1e-300


def check_arranged(draft: Draft) -> None:
    """Every stage's diagonals, applied to atoms in slots, give the stage's value in its output map.

    This must hold whatever lies in the slots of a square that hold no feature. Slots of the result without a feature
    must hold zero, unless the table may leave partial sums there. The atoms are random, since an image would hide
    errors where its pixels are zero.
    """
    if draft.tables[-1].partial and not draft.tables[-1].client_folds:
        raise PlanError(draft.stages[-1].layer, "its layout would show partial sums to the client")
    rng = np.random.default_rng(PROBE_SEED)
    probe = [rng.uniform(-1, 1, (len(atoms), 1)) for atoms in draft.evidence.atoms]
    for stage, table in zip(draft.stages, draft.tables, strict=True):
        value = stage.apply(probe)
        missing = np.setdiff1d(np.arange(stage.size), table.output_map)
        if missing.size:
            raise PlanError(stage.layer, f"the layout lost {missing.size} of its {stage.size} values")
        sources = {
            atom: np.where(
                draft.atom_maps[atom] == EMPTY, ANYTHING * (atom > 0), spread(atoms[:, 0], draft.atom_maps[atom])
            )
            for atom, atoms in enumerate(probe)
            if atom in stage.maps
        }
        constant = spread(stage.constant, table.output_map)
        made = folded(apply_table(table, sources) + constant, table.client_folds)
        difference = made - spread(value[:, 0], table.output_map)
        if table.partial:
            difference[table.output_map == EMPTY] = 0.0
        if np.abs(difference).max() > TABLE_TOLERANCE * max(1.0, np.abs(value[:, 0]).max()):
            raise PlanError(stage.layer, f"its diagonals are off by {np.abs(difference).max():.2e}")


def check_rotations(draft: Draft) -> None:
    """The baby step and the giant step of every rotation add up to it."""
    for stage, table, split in zip(draft.stages, draft.tables, draft.splits, strict=True):
        for rotation in {table.product_key(key).rotation for key in table.diagonals}:
            baby, giant = split.parts[rotation]
            if (baby + giant) % draft.choice.slots != rotation:
                raise PlanError(stage.layer, f"rotation {rotation} was split into {baby} and {giant}")


def check_levels(draft: Draft) -> None:
    """No stage works below level 1 or above the levels of what it reads."""
    for index, stage in enumerate(draft.stages):
        level = draft.stage_levels[index]
        if level < 1 or any(level > draft.atom_levels[atom] for atom in stage.maps):
            raise PlanError(stage.layer, f"was placed at level {level}, which its inputs do not have")


def check_parameters(draft: Draft) -> None:
    """The modulus is secure. On the calibration inputs, values that are rescaled or decrypted stay below half of it."""
    if draft.params is None:
        raise PlanError(draft.stages[-1].layer, "no parameters were chosen")
    check_security(draft.params)
    for layer, used, room in overfull_stages(draft):
        raise PlanError(layer, f"its values need {used:.1f} bits where the modulus leaves {room:.1f}")


def check_plan(draft: Draft) -> None:
    """The written plan does what the draft says.

    Levels and scales are derived anew for every operation. The numbers of operations are those that the search
    assumed. The plan, run in clear, equals the network on an image and beside it, where no pixel is zero. No
    coefficient wraps around on the calibration inputs with the largest values.
    """
    plan = draft.plan
    if plan is None:
        raise PlanError(draft.stages[-1].layer, "no plan was written")
    dry_run(plan)
    if plan.params != draft.params:
        raise PlanError(draft.stages[-1].layer, "the plan was written for other primes than those chosen")
    _check_operations(draft, plan)
    _check_in_clear(draft, plan)
    for value in plan.outputs:
        if not isclose(plan.scale_of(value), draft.scales[-1].value, rel_tol=SCALE_TOLERANCE):
            raise PlanError(draft.stages[-1].layer, "the output's scale drifted from the planned one")


def _check_operations(draft: Draft, plan: Plan) -> None:
    """The plan has as many operations of each kind at each level as the search assumed. Drops may be added."""
    written = plan_operations(plan)
    expected = draft_operations(draft)
    for place in (set(written) | set(expected)) - {place for place in written if place[0] is Kind.DROP}:
        if written[place] != expected[place]:
            raise PlanError(
                draft.stages[-1].layer, f"{written[place]} operations {place} were written, {expected[place]} expected"
            )


def _check_in_clear(draft: Draft, plan: Plan) -> None:
    """The plan, run in clear, gives the network's outputs, and no coefficient wraps around.

    Wrapping around is checked on calibration inputs only, since the modulus is chosen for these.
    """
    inputs = draft.evidence.atoms[0].T
    beside = PROBE_REACH * np.ptp(inputs) * np.random.default_rng(PROBE_SEED).uniform(0.5, 1, inputs.shape[1])
    tried = np.stack([inputs[0], inputs[0] + beside, *inputs[largest_images(draft.evidence, 1)]])
    rows = draft.atom_maps[0].reshape(-1, draft.choice.planes, draft.choice.slots)
    sites = wrap_sites(plan)
    slots = list(input_vectors(tried, rows).swapaxes(0, 1))
    tape = record(plan, ClearEvaluator(plan), slots, {site.value for site in sites})
    outputs = np.stack([tape.values[value].real for value in plan.outputs], axis=1)
    last = draft.tables[-1]
    wanted = spread(run_stages(draft.stages, tried)[1][-1].T, last.output_map)
    difference = folded(outputs, last.client_folds) - wanted
    if last.client_folds:
        difference = difference[:, last.output_map != EMPTY]
    error = np.abs(difference).max()
    if error > PLAN_TOLERANCE * max(1.0, np.abs(wanted).max()):
        raise PlanError(draft.stages[-1].layer, f"the plan in clear is off by {error:.2e}")
    calibrated = np.arange(len(tried)) != 1  # all but the input beside an image
    for site in sites:
        largest = np.abs(coefficients(tape.values[site.value][calibrated])).max()
        if log2(max(largest, TINY)) > site.room_bits:
            excess = log2(largest) - site.room_bits
            raise PlanError(
                site.layer, f"a value exceeds half of its modulus by {excess:.1f} bits and would wrap around"
            )
