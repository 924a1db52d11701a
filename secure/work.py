"""How much work a draft's plan will be, before scales and primes are chosen: what the search orders candidates by. Pure."""

from __future__ import annotations

from collections import Counter

from secure.diagonals import DiagonalTable
from secure.draft import Draft, Split
from secure.engine_kernels import digits_kernels, division_kernels, lone_operation_kernels
from secure.kernels import KernelTimes
from secure.passes.emit import evenly_spaced, fold_groups
from secure.plan import Kind, Plan


def draft_operations(draft: Draft) -> Counter[tuple[Kind, int]]:
    """Operations by (kind, working level) of an arranged draft with rotations and levels; dropping primes not counted."""
    work: Counter[tuple[Kind, int]] = Counter()
    for index, (stage, table, split) in enumerate(zip(draft.stages, draft.tables, draft.splits, strict=True)):
        level = draft.stage_levels[index]
        babies = {(key.atom, key.input, split.parts[key.rotation][0]) for key in table.diagonals}
        giants = {(key.output, split.parts[key.rotation][1]) for key in table.diagonals}
        outputs = table.output_map.shape[0]
        folds = outputs * sum(len(steps) for steps in fold_groups(table.folds, draft.choice.fold_pairs))
        rotations = sum(baby != 0 for *_, baby in babies) + sum(giant != 0 for _, giant in giants) + folds
        work[Kind.ROTATE, level] += rotations
        work[Kind.MULTIPLY_PLAIN, level] += len(table.diagonals)
        work[Kind.ADD, level] += len(table.diagonals) - outputs + folds
        constants = [table.output_map[output] for output in range(outputs)]
        work[Kind.ADD_PLAIN, level] += sum(
            bool(stage.constant[features[features >= 0]].any()) for features in constants
        )
        if stage.squared:
            work[Kind.SQUARE, level] += outputs
            work[Kind.RELINEARIZE, level] += outputs
            work[Kind.RESCALE, level] += outputs * draft.rescaled[index]
    return +work


def plan_operations(plan: Plan) -> Counter[tuple[Kind, int]]:
    """Operations of a written plan by (kind, working level)."""
    return Counter((op.kind, plan.working_level(op)) for op in plan.ops)


def draft_milliseconds(draft: Draft, times: KernelTimes) -> float:
    """Predicted server time of the draft's plan on one thread: lone operations less what the engine shares between them."""
    degree = draft.choice.degree
    lone_ms = sum(
        count * times.milliseconds(lone_operation_kernels(kind, level, degree))
        for (kind, level), count in draft_operations(draft).items()
    )
    shared_ms = 0.0
    for level, table, split in zip(draft.stage_levels, draft.tables, draft.splits, strict=True):
        digits, parts = _shared(table, split, draft.choice.fold_pairs)
        shared_ms += digits * times.milliseconds(digits_kernels(level, degree), calls=0)
        shared_ms += parts * times.milliseconds(division_kernels(level, degree, parts=1), calls=0)
    return lone_ms - shared_ms


def _shared(table: DiagonalTable, split: Split, fold_pairs: bool) -> tuple[int, int]:
    """(digits, divided parts) that a stage's rotations do not need of their own.

    Babies of one input share digits. All rotations of an output, giants and folds, end in one division of two parts; before it
    Horner's steps and folds divide one part of what they rotate, other giants nothing.
    """
    babies = {(key.atom, key.input, split.parts[key.rotation][0]) for key in table.diagonals}
    turned = [(atom, source) for atom, source, baby in babies if baby]
    digits, parts = len(turned) - len(set(turned)), 0
    groups = fold_groups(table.folds, fold_pairs)
    for output in range(table.output_map.shape[0]):
        giants = sorted({split.parts[key.rotation][1] for key in table.diagonals if key.output == output})
        steps = sum(giant != 0 for giant in giants)
        horner = evenly_spaced(giants)
        rotations = steps + sum(len(group) for group in groups)
        digits += sum(len(group) - 1 for group in groups)
        if rotations:
            chained = (max(steps - 1, 0) if horner else 0) + len(groups) - (steps == 0 and len(groups) > 0)
            parts += 2 * rotations - 2 - chained
    return digits, parts
