"""Pass 5: write the plan. Only the draft that won the search gets here, so only its constants are ever computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import PlanError
from secure.drafting.draft import Draft, Split
from secure.layout.diagonals import DiagonalKey, is_conjugated, plane_constants
from secure.layout.doubled import monomial
from secure.layout.folds import FoldStyle, Move, fold_groups
from secure.params import Params
from secure.plan import Constant, Kind, Op, Plan, stored
from secure.stages.pairs import Making

Array = NDArray[np.float64]


@dataclass
class PlanWriter:
    """Appends operations to a plan, and derives level and scale of every result.

    Values are numbered as in a Plan. Every method that appends operations returns the number of the result, which may
    be `value` itself where nothing has to be done. layer: the name that new operations get.
    """

    params: Params
    inputs: int
    input_level: int
    input_scale: float
    ops: list[Op] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)
    layer: str = ""

    def level(self, value: int) -> int:
        return self.input_level if value < self.inputs else self.ops[value - self.inputs].level

    def scale(self, value: int) -> float:
        return self.input_scale if value < self.inputs else self.ops[value - self.inputs].scale

    def rotate(self, value: int, steps: int) -> int:
        if steps == 0:
            return value
        return self._append(Kind.ROTATE, (value,), self.level(value), self.scale(value), steps=steps)

    def move(self, value: int, move: Move) -> int:
        kind = Kind.CONJUGATE if move.conjugated else Kind.ROTATE
        for _ in range(move.times):
            value = self._append(kind, (value,), self.level(value), self.scale(value), steps=move.steps)
        return value

    def multiply_plain(self, value: int, slots: NDArray[Any], result_scale: float) -> int:
        constant = self._constant(slots, self.level(value), result_scale / self.scale(value))
        return self._append(Kind.MULTIPLY_PLAIN, (value,), self.level(value), result_scale, constant=constant)

    def add_plain(self, value: int, slots: Array) -> int:
        constant = self._constant(slots, self.level(value), self.scale(value))
        return self._append(Kind.ADD_PLAIN, (value,), self.level(value), self.scale(value), constant=constant)

    def add(self, left: int, right: int) -> int:
        return self._append(Kind.ADD, (left, right), self.level(left), self.scale(left))

    def doubled(self, value: int, steps: int, slots: int) -> int:
        """The value with itself, rotated, as its imaginary part (`secure.layout.doubled`)."""
        turned = self.rotate(value, steps)
        return self.add(value, self.multiply_plain(turned, monomial(slots), self.scale(value)))

    def square(self, value: int) -> int:
        squared = self._append(Kind.SQUARE, (value,), self.level(value), self.scale(value) ** 2, parts=3)
        return self._append(Kind.RELINEARIZE, (squared,), self.level(value), self.scale(squared))

    def multiply(self, left: int, right: int) -> int:
        scale = self.scale(left) * self.scale(right)
        product = self._append(Kind.MULTIPLY, (left, right), self.level(left), scale, parts=3)
        return self._append(Kind.RELINEARIZE, (product,), self.level(left), scale)

    def rescale(self, value: int, primes: int, scale: float) -> int:
        """Divide by the last `primes` primes, one after the other.

        scale: what the draft plans for the result. It equals the computed quotient up to rounding of floats.
        """
        for _ in range(primes - 1):
            level = self.level(value) - 1
            value = self._append(Kind.RESCALE, (value,), level, self.scale(value) / self.params.data_primes[level])
        return self._append(Kind.RESCALE, (value,), self.level(value) - 1, scale)

    def lower_to(self, value: int, level: int) -> int:
        while self.level(value) > level:
            value = self._append(Kind.DROP, (value,), self.level(value) - 1, self.scale(value))
        return value

    def _constant(self, slots: NDArray[Any], level: int, scale: float) -> int:
        kept = stored(slots)
        kept.setflags(write=False)  # saves Constant a copy
        self.constants.append(Constant(kept, level, scale))
        return len(self.constants) - 1

    def _append(self, kind: Kind, args: tuple[int, ...], level: int, scale: float, **more: int) -> int:
        self.ops.append(Op(kind=kind, args=args, layer=self.layer, level=level, scale=scale, **more))
        return self.inputs + len(self.ops) - 1


def emit(draft: Draft) -> Draft:
    """Fill plan.

    Raises: PlanError when an earlier pass has not run, or a part of a layer's output depends on no input.
    """
    if draft.params is None:
        raise PlanError(draft.stages[-1].layer, "no parameters were chosen before the plan was written")
    inputs = draft.atom_maps[0].shape[0] // draft.choice.planes
    writer = PlanWriter(draft.params, inputs, draft.levels, draft.input_scale)
    atoms = [list(range(inputs))]
    outputs: list[int] = []
    for index, stage in enumerate(draft.stages):
        writer.layer = stage.layer
        level = draft.stage_levels[index]
        lowered = {atom: [writer.lower_to(value, level) for value in atoms[atom]] for atom in stage.maps}
        outputs = _write_map(writer, draft, index, lowered)
        if stage.squared:
            if draft.divided[index]:
                root = draft.scales[index].root
                outputs = [writer.rescale(value, draft.divided[index], root) for value in outputs]
            outputs = _activated(writer, outputs, stage.making, draft.tables[index].pairing)
            if draft.rescaled[index]:
                scale = draft.scales[index].atom
                outputs = [writer.rescale(value, draft.rescaled[index], scale) for value in outputs]
            atoms.append(outputs)
    plan = Plan(
        params=draft.params,
        inputs=inputs,
        input_level=draft.levels,
        input_scale=draft.input_scale,
        ops=tuple(writer.ops),
        constants=tuple(writer.constants),
        outputs=tuple(outputs),
    )
    return replace(draft, plan=plan)


def _activated(writer: PlanWriter, values: list[int], making: Making, pairing: int) -> list[int]:
    """The squares of values; of a paired stage the products of the first half of them with the second half, or of each
    with itself rotated; the values themselves where they are kept."""
    if making is Making.KEPT:
        return values
    if making is Making.SQUARE:
        return [writer.square(value) for value in values]
    if pairing:
        return [writer.multiply(value, writer.rotate(value, pairing)) for value in values]
    count = len(values) // 2
    return [writer.multiply(left, right) for left, right in zip(values[:count], values[count:], strict=True)]


def _write_map(writer: PlanWriter, draft: Draft, index: int, atoms: Mapping[int, list[int]]) -> list[int]:
    """Write the affine map of one stage: baby steps, products, giant steps, folds, conjugation and constant.

    atoms: for each atom, its values in the plan, lowered to the stage's level. Returns: the values of the result.
    """
    table, split, stage, planes = draft.tables[index], draft.splits[index], draft.stages[index], draft.choice.planes
    scale = draft.scales[index].value
    constants = plane_constants(table, planes)
    style = draft.choice.fold_style
    groups = fold_groups(table.folds, is_conjugated(table, planes), style)
    by_output: dict[int, dict[int, list[DiagonalKey]]] = {o: {} for o in range(table.output_map.shape[0])}
    for key in sorted(constants):
        by_output[key.output].setdefault(split.parts[key.rotation][1], []).append(key)
    atoms = {
        atom: [_folded(writer, value, table.presums.get(atom, ()), style) for value in own]
        for atom, own in atoms.items()
    }
    for atom, steps in table.doubled.items():
        atoms[atom] = [writer.doubled(value, steps, table.slots) for value in atoms[atom]]
    # by (atom, input, baby step), since outputs share baby steps
    rotated = {(atom, number, 0): value for atom, own in atoms.items() for number, value in enumerate(own)}
    results = []
    for output, by_giant in by_output.items():
        if not by_giant:
            raise PlanError(
                stage.layer, "part of its output depends on no input; prune less or remove the dead channels"
            )
        sums: dict[int, int] = {}  # by giant step
        for giant, keys in by_giant.items():
            for key in keys:
                baby = split.parts[key.rotation][0]
                place = key.atom, key.input, baby
                _make_baby(writer, rotated, place, split, table.output_map.shape[1])
                # the giant step rotates the product later, so the diagonal is rotated back first
                product = writer.multiply_plain(rotated[place], np.roll(constants[key], giant), scale)
                sums[giant] = writer.add(sums[giant], product) if giant in sums else product
        value = _add_giants(writer, sums, split)
        value = _add_moved(writer, value, groups)
        constant = np.append(stage.constant, 0.0)[table.output_map[output]]
        if constant.any():
            value = writer.add_plain(value, constant)
        results.append(value)
    return results


def _make_baby(
    writer: PlanWriter, rotated: dict[tuple[int, int, int], int], place: tuple[int, int, int], split: Split, slots: int
) -> None:
    """Write the baby step of this (atom, input, step), and all that it is made from, unless they are in `rotated`."""
    atom, number, baby = place
    for step, source in split.made((baby,)).items():
        if (atom, number, step) not in rotated:
            rotated[atom, number, step] = writer.rotate(rotated[atom, number, source], (step - source) % slots)


def _folded(writer: PlanWriter, value: int, folds: Sequence[int], style: FoldStyle) -> int:
    """The value after folds, in pairs or one at a time."""
    return _add_moved(writer, value, fold_groups(folds, False, style))


def _add_moved(writer: PlanWriter, value: int, groups: Sequence[Sequence[Move]]) -> int:
    """The value after every group of moves. All moves of a group start from the value before the group."""
    for moves in groups:
        for one in [writer.move(value, move) for move in moves]:
            value = writer.add(value, one)
    return value


def _add_giants(writer: PlanWriter, sums: Mapping[int, int], split: Split) -> int:
    """The sum of `sums`, each rotated by its giant step, some of them through the sums of smaller steps."""
    giants, joined, totals = sorted(sums), split.joined(sums), dict(sums)
    if any(joined.values()):
        for giant, target in joined.items():
            turned = writer.rotate(totals[giant], giant - target)
            totals[target] = writer.add(turned, totals[target]) if target in totals else turned
        return totals[0]
    total = writer.rotate(sums[giants[0]], giants[0])
    for giant in giants[1:]:
        total = writer.add(total, writer.rotate(sums[giant], giant))
    return total
