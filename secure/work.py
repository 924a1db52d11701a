"""Work counted from a draft, before its plan is written: what the search orders candidates by. A test holds it equal to the plan's."""

from __future__ import annotations

from collections import Counter

from secure.draft import Draft
from secure.engine_kernels import lone_operation_kernels
from secure.kernels import KernelCounts, KernelTimes
from secure.plan import Kind, Plan
from secure.stage_cost import StageWork, stage_kernels, stage_work


def draft_operations(draft: Draft) -> Counter[tuple[Kind, int]]:
    """Operations by (kind, working level), drops excepted; needs choose_rotations and place_rescales."""
    work: Counter[tuple[Kind, int]] = Counter()
    for index, stage in enumerate(draft.stages):
        table, level, own = draft.tables[index], draft.stage_levels[index], _work(draft, index)
        outputs = table.output_map.shape[0]
        moves = [move for moves in own.groups for move in moves]
        work[Kind.ROTATE, level] += own.rotations + outputs * sum(not move.conjugated for move in moves)
        work[Kind.CONJUGATE, level] += outputs * sum(move.conjugated for move in moves)
        work[Kind.MULTIPLY_PLAIN, level] += own.multiplications
        presums = sum(len(moves) for groups in own.presums for moves in groups)
        work[Kind.ADD, level] += own.multiplications - outputs + outputs * len(moves) + presums
        constant_anywhere = stage.constant != 0
        work[Kind.ADD_PLAIN, level] += sum(
            bool(constant_anywhere[features[features >= 0]].any()) for features in table.output_map
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
    """Predicted server time of a draft under the engine."""
    degree, total = draft.choice.degree, KernelCounts()
    operations = draft_operations(draft)
    for index, level in enumerate(draft.stage_levels):
        total += stage_kernels(_work(draft, index), level, degree)
    for (kind, level), count in operations.items():
        if kind in (Kind.ADD_PLAIN, Kind.SQUARE, Kind.RELINEARIZE, Kind.RESCALE):
            total += lone_operation_kernels(kind, level, degree).times(count)
    return times.milliseconds(total, calls=sum(operations.values()))


def _work(draft: Draft, stage: int) -> StageWork:
    return stage_work(draft.tables[stage], draft.splits[stage], draft.choice.planes)
