"""Operations, keys and time of a draft, counted before its plan is written. The search orders drafts by the time.

`secure.passes.checkers.check_plan` compares the operations with those of the written plan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from secure.drafting.draft import Draft
from secure.drafting.stage_cost import StageWork, stage_kernels, stage_moves, stage_work
from secure.kernels.counts import KernelCounts, KernelTimes
from secure.kernels.engine import lone_operation_kernels
from secure.kernels.seal import seal_operation_kernels
from secure.plan import KeyManifest, Kind, Plan, move_element


def draft_operations(draft: Draft) -> Counter[tuple[Kind, int]]:
    """Operations by (kind, working level), without drops. The draft must have its rotations and levels."""
    return _operations(draft, _works(draft))


def _operations(draft: Draft, works: Sequence[StageWork]) -> Counter[tuple[Kind, int]]:
    work: Counter[tuple[Kind, int]] = Counter()
    for index, (stage, own) in enumerate(zip(draft.stages, works, strict=True)):
        table, level = draft.tables[index], draft.stage_levels[index]
        outputs = table.output_map.shape[0]
        moves = [move for moves in own.groups for move in moves]
        work[Kind.ROTATE, level] += own.rotations + outputs * sum(one.times for one in moves if not one.conjugated)
        work[Kind.CONJUGATE, level] += outputs * sum(one.conjugated for one in moves)
        work[Kind.MULTIPLY_PLAIN, level] += own.multiplications + own.doubled
        presums = sum(len(moves) for groups in own.presums for moves in groups)
        work[Kind.ADD, level] += own.multiplications - outputs + outputs * len(moves) + presums + own.doubled
        nonzero = stage.constant != 0
        work[Kind.ADD_PLAIN, level] += sum(
            bool(nonzero[features[features >= 0]].any()) for features in table.output_map
        )
        if stage.squared:
            for lost in range(draft.divided[index]):
                work[Kind.RESCALE, level - lost] += outputs
            level -= draft.divided[index]
            made = outputs // 2 if stage.paired and not table.pairing else outputs
            work[Kind.ROTATE, level] += made * (table.pairing > 0)
            if not stage.kept:
                work[Kind.MULTIPLY if stage.paired else Kind.SQUARE, level] += made
                work[Kind.RELINEARIZE, level] += made
            for lost in range(draft.rescaled[index]):
                work[Kind.RESCALE, level - lost] += made
    return +work


def draft_keys(draft: Draft) -> KeyManifest:
    """The keys that the draft needs, one for every different rotation or conjugation, and the levels of their use."""
    degree, slots = draft.choice.degree, draft.choice.slots
    highest: dict[int, int] = {}
    relin_level = 0
    for index, (table, split, work) in enumerate(zip(draft.tables, draft.splits, _works(draft), strict=True)):
        level = draft.stage_levels[index]
        for steps, conjugated in stage_moves(table, split, work, slots):
            element = move_element(steps, degree, conjugated=conjugated)
            highest[element] = max(level, highest.get(element, 0))
        if draft.stages[index].power == 2:
            relin_level = max(relin_level, level - draft.divided[index])
        if table.pairing:
            element = move_element(table.pairing, degree, conjugated=False)
            highest[element] = max(level - draft.divided[index], highest.get(element, 0))
    elements = tuple(sorted(highest))
    return KeyManifest(elements, relin_level > 0, tuple(highest[element] for element in elements), relin_level)


def plan_operations(plan: Plan) -> Counter[tuple[Kind, int]]:
    """Operations of a written plan by (kind, working level)."""
    return Counter((op.kind, plan.working_level(op)) for op in plan.ops)


def draft_milliseconds(draft: Draft, times: KernelTimes) -> float:
    """Predicted server time of a draft under the engine, in milliseconds."""
    degree, total, works = draft.choice.degree, KernelCounts(), _works(draft)
    operations, switching = _operations(draft, works), draft.expected_switching
    for work, level in zip(works, draft.stage_levels, strict=True):
        total += stage_kernels(work, level, degree, switching)
    for index, table in enumerate(draft.tables):
        if table.pairing:
            level = draft.stage_levels[index] - draft.divided[index]
            turn = lone_operation_kernels(Kind.ROTATE, level, degree, switching)
            total += turn.times(len(table.output_map))
    for (kind, level), count in operations.items():
        if kind in (Kind.ADD_PLAIN, Kind.SQUARE, Kind.MULTIPLY, Kind.RELINEARIZE, Kind.RESCALE):
            total += lone_operation_kernels(kind, level, degree, switching).times(count)
    return times.milliseconds(total)


def draft_seal_milliseconds(draft: Draft, times: KernelTimes) -> float:
    """Predicted server time of a draft under SEAL, in milliseconds: the sum over all operations."""
    degree = draft.choice.degree
    counts = (seal_operation_kernels(*place, degree).times(count) for place, count in draft_operations(draft).items())
    return times.milliseconds(sum(counts, KernelCounts()))


def request_milliseconds(draft: Draft, prime_bits: int) -> float:
    """Predicted time of a draft's messages, in milliseconds; 0 where the plan's time alone counts.

    prime_bits: the largest size of a prime, by which the engine or SEAL runs the plan.
    """
    if not draft.round_trip:
        return 0.0
    degree, inputs = draft.choice.degree, draft.atom_maps[0].shape[0] // draft.choice.planes
    outputs = draft.tables[-1].output_map.shape[0]
    return draft.requests.input_milliseconds(
        inputs, draft.levels, degree, prime_bits
    ) + draft.requests.output_milliseconds(outputs, draft.stage_levels[-1], degree, prime_bits)


def _works(draft: Draft) -> tuple[StageWork, ...]:
    """The rotations and products of every stage."""
    return tuple(
        stage_work(table, split, draft.choice) for table, split in zip(draft.tables, draft.splits, strict=True)
    )
