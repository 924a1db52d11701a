"""What one stage costs under the engine, from its diagonals and how its rotations are split. Pure counting.

The engine works by these rules (`secure.kernels.engine`). Rotations of one value share its digits. Products of rotated
values are added before the sum is divided by the special prime. If a sum is only rotated, only one of its parts is
divided.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from secure.drafting.draft import Choice, Split
from secure.engine.schedule import Form
from secure.kernels.counts import KernelCounts
from secure.kernels.engine import (
    PLAIN,
    Switching,
    digits_kernels,
    division_kernels,
    product_calls,
    product_kernels,
    summand_kernels,
    switch_kernels,
)
from secure.layout.diagonals import DiagonalKey, DiagonalTable, is_conjugated, product_place
from secure.layout.folds import Move, fold_groups


@dataclass(frozen=True)
class GiantWork:
    """The products that one giant step rotates. giant: the step. rotated: products of inputs with a baby step. still:
    products of inputs that are not rotated. gathers: whether the sums of larger steps join it."""

    giant: int
    rotated: int
    still: int
    gathers: bool


@dataclass(frozen=True)
class BabyWork:
    """The baby steps of one input ciphertext. rotations: how many. sources: how many values they rotate, the input
    included."""

    rotations: int
    sources: int


@dataclass(frozen=True)
class StageWork:
    """The rotations and products of one stage.

    babies: for every input ciphertext that is rotated.
    outputs: for every output ciphertext, its giant steps in ascending order.
    groups: the groups of moves that every output ciphertext goes through after its sum.
    presums: for every input ciphertext that is folded before the products, its groups of moves.
    doubled: how many input ciphertexts carry their value twice (`secure.layout.doubled`). doubled_sums: of these, how
    many are folded before.
    """

    babies: tuple[BabyWork, ...]
    outputs: tuple[tuple[GiantWork, ...], ...]
    groups: tuple[tuple[Move, ...], ...]
    presums: tuple[tuple[tuple[Move, ...], ...], ...] = ()
    doubled: int = 0
    doubled_sums: int = 0

    @property
    def multiplications(self) -> int:
        """Products with constants, without those that double values."""
        return sum(giant.rotated + giant.still for giants in self.outputs for giant in giants)

    @property
    def rotations(self) -> int:
        """Rotations of inputs and of sums, without the moves in `groups`."""
        presums = sum(move.times for groups in self.presums for moves in groups for move in moves)
        babies = sum(one.rotations for one in self.babies)
        return self.doubled + presums + babies + sum(giant.giant != 0 for giants in self.outputs for giant in giants)


def constant_keys(table: DiagonalTable, planes: int) -> Collection[DiagonalKey]:
    """The keys that `plane_constants` returns, without computing the constants."""
    if not is_conjugated(table, planes):
        return table.diagonals.keys()
    return {product_place(table, key, planes) for key in table.diagonals}


def stage_work(table: DiagonalTable, split: Split, choice: Choice) -> StageWork:
    """The rotations and products of a stage."""
    planes = choice.planes
    babies: dict[tuple[int, int], set[int]] = {}
    sources: set[tuple[int, int]] = set()
    products: dict[int, dict[int, list[int]]] = {output: {} for output in range(table.output_map.shape[0])}
    for key in constant_keys(table, planes):
        baby, giant = split.parts[key.rotation]
        products[key.output].setdefault(giant, [0, 0])[baby == 0] += 1
        sources.add((key.atom, key.input))
        if baby:
            babies.setdefault((key.atom, key.input), set()).add(baby)
    return StageWork(
        babies=tuple(_baby_work(split, steps) for steps in babies.values()),
        outputs=tuple(_giant_works(split, by_giant) for by_giant in products.values()),
        groups=fold_groups(table.folds, is_conjugated(table, planes), choice.fold_style),
        presums=tuple(
            fold_groups(table.presums[atom], False, choice.fold_style) for atom, _ in sources if atom in table.presums
        ),
        doubled=sum(atom in table.doubled for atom, _ in sources),
        doubled_sums=sum(atom in table.doubled and bool(table.presums.get(atom)) for atom, _ in sources),
    )


def _giant_works(split: Split, by_giant: Mapping[int, Sequence[int]]) -> tuple[GiantWork, ...]:
    """The giant steps of one output. by_giant: its products of inputs with a baby step, and of others."""
    joined = split.joined(by_giant)
    result = []
    for giant in sorted({*by_giant, *joined}):
        rotated, still = by_giant.get(giant, (0, 0))
        result.append(GiantWork(giant, rotated, still, giant in joined.values()))
    return tuple(result)


def _baby_work(split: Split, babies: Collection[int]) -> BabyWork:
    made = split.made(babies)
    return BabyWork(len(made), len(set(made.values())))


def stage_moves(table: DiagonalTable, split: Split, work: StageWork, slots: int) -> set[tuple[int, bool]]:
    """(steps, whether conjugated) of every key that a stage switches with. work: of the stage."""
    groups = [*work.groups, *(group for groups in work.presums for group in groups)]
    moves = {(move.steps % slots, move.conjugated) for group in groups for move in group}
    moves |= {(steps, False) for steps in table.doubled.values()}
    babies = {split.parts[table.product_key(key).rotation][0] for key in table.diagonals}
    moves |= {((baby - source) % slots, False) for baby, source in split.made(babies).items()}
    moves |= {(steps, False) for steps in giant_rotations(table, split)}
    return moves - {(0, False)}


def giant_rotations(table: DiagonalTable, split: Split) -> set[int]:
    """The rotations of sums that need keys."""
    by_output: dict[int, set[int]] = {}
    for key in table.diagonals:
        by_output.setdefault(key.output, set()).add(split.parts[table.product_key(key).rotation][1])
    return {giant - target for giants in by_output.values() for giant, target in split.joined(giants).items()}


def stage_kernels(work: StageWork, level: int, degree: int, switching: Switching = PLAIN) -> KernelCounts:
    """Kernels of a stage from its inputs to its value, which is divided by P. Adding the constant is left out."""
    digits = digits_kernels(level, degree, switching)
    switch = switch_kernels(level, degree, switching=switching)
    half_division = division_kernels(level, degree, parts=1, switching=switching)
    lifted, added = (summand_kernels(level, degree, form, 2, switching) for form in (Form.LIFTED, Form.EXTENDED))
    total = KernelCounts()
    for groups in work.presums:
        for position, moves in enumerate(groups):
            total += _moves_kernels(moves, digits, switch, half_division) + half_division.times(position > 0)
            total += added if position else lifted
        total += half_division + half_division
    # a sum counts both parts above, where only one is divided to be rotated; the doubled value needs both
    total += (_doubling_kernels(level, degree, switching) + added + half_division).times(work.doubled)
    total += half_division.times(work.doubled - work.doubled_sums)
    for baby in work.babies:
        total += digits + switch.times(baby.rotations) + (digits + half_division).times(baby.sources - 1)
    for giants in work.outputs:
        for giant in giants:
            total += _product_kernels(giant, level, degree, switching)
            if giant.giant:
                total += digits + switch
                total += half_division.times(bool(giant.rotated) or giant.gathers)
        extended = any(giant.giant or giant.rotated for giant in giants)
        for moves in work.groups:
            total += _moves_kernels(moves, digits, switch, half_division) + half_division.times(extended)
            total += added if extended else lifted
            extended = True
        total += half_division.times(2 * extended)
    return total


def _doubling_kernels(level: int, degree: int, switching: Switching) -> KernelCounts:
    """Kernels of a rotation and of the product with a monomial."""
    turned = digits_kernels(level, degree, switching) + switch_kernels(level, degree, switching=switching)
    return turned + product_kernels(level, degree, extended=True, switching=switching) + product_calls(1)


def _moves_kernels(
    moves: Sequence[Move], digits: KernelCounts, switch: KernelCounts, half_division: KernelCounts
) -> KernelCounts:
    """Kernels of the moves of a group. A repeated rotation needs digits of its own each time."""
    repeats = sum(move.times - 1 for move in moves)
    return digits + switch.times(len(moves)) + (half_division + digits + switch).times(repeats)


def _product_kernels(giant: GiantWork, level: int, degree: int, switching: Switching) -> KernelCounts:
    """Kernels of the products of one giant step, including the addition to their sum."""
    rotated = product_kernels(level, degree, extended=True, switching=switching)
    still = product_kernels(level, degree)
    calls = product_calls(giant.rotated) + product_calls(giant.still)
    return rotated.times(giant.rotated) + still.times(giant.still) + calls
