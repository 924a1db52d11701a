"""How large the coefficients of a plan's values get. It is coefficients that wrap around the modulus, not slots. Pure.

A polynomial with slots z has coefficients c_k = (2/N) Re sum_j z_j conj(zeta_j)^k (`secure.encoding`). Where slots have
mixed signs, all coefficients lie far below the largest slot. So a modulus chosen by coefficients is several bits
smaller than one chosen by slots (derived). Between rescales the ring's arithmetic is exact modulo Q. Only the
coefficients of values that are rescaled or decrypted must stay below Q / 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import log2

import numpy as np
from numpy.typing import NDArray

from secure.bounds.slot_values import chosen_images, stage_slots
from secure.drafting.draft import Draft, Evidence
from secure.encoding import coefficients
from secure.layout.factors import made_slots
from secure.layout.packing import spread
from secure.plan import Kind, Plan

#: For every stage, coefficients are computed on this many calibration inputs: those with the stage's largest values.
MEASURED_IMAGES = 12
#: The same for inputs at the edge of the accepted range.
MEASURED_EDGES = 8
#: Edge inputs are the most extreme ones that are accepted, so beyond them less headroom is left than beyond calibration
#: inputs: by this many bits.
EDGE_CREDIT_BITS = 1.0


@dataclass(frozen=True)
class Site:
    """A value that is rescaled or decrypted. value: its id.

    room_bits: log2 of the largest coefficient, at scale 1, that fits: half of the modulus divided by the scale.
    """

    value: int
    layer: str
    room_bits: float


def wrap_sites(plan: Plan) -> tuple[Site, ...]:
    """All values of a plan that must stay below half of their modulus: those that are rescaled, and the outputs."""
    found = {op.args[0]: op.layer for op in plan.ops if op.kind is Kind.RESCALE}
    for value in plan.outputs:
        found[value] = plan.ops[value - plan.inputs].layer if value >= plan.inputs else "input"
    return tuple(
        Site(value, layer, plan.params.log2_modulus(plan.level_of(value)) - 1 - float(np.log2(plan.scale_of(value))))
        for value, layer in found.items()
    )


def largest_coefficients(draft: Draft) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """For each stage, the largest coefficients, at scale 1, of its value's square and of its value itself.

    A stage that squares nothing has its value's in both places. They count the constant that is added, since SEAL
    encodes that as a plaintext of its own. The numbers are measured on the calibration inputs with the largest values,
    on the draft's edge inputs, and on the largest of the drawn ones. The draft must be arranged.
    """
    largest = _measured(draft, draft.evidence, MEASURED_IMAGES)
    if draft.edges is not None:
        edges = _measured(draft, draft.edges, MEASURED_EDGES)
        credit = 2.0**EDGE_CREDIT_BITS
        credits = np.array([[credit**stage.power for stage in draft.stages], [credit] * len(edges[1])])
        largest = np.maximum(largest, edges / credits)
    if draft.extremes is not None:
        largest = np.maximum(largest, _measured(draft, draft.extremes, MEASURED_EDGES))
    squares, values = largest.tolist()
    return tuple(squares), tuple(values)


def overfull_stages(draft: Draft) -> Iterator[tuple[str, float, float]]:
    """(layer, bits that it needs, bits that the modulus has) of values that do not stay below half of the modulus.

    Those count that are rescaled or decrypted, on the calibration inputs. The draft has parameters and scales.
    """
    assert draft.params is not None, "parameters are chosen before their room is asked for"
    for index, stage in enumerate(draft.stages):
        level, divided, scales = draft.stage_levels[index], draft.divided[index], draft.scales[index]
        needed = []
        if divided or not stage.squared:
            needed.append((level, log2(draft.value_coefficients[index]) + log2(scales.value)))
        if stage.squared:
            needed.append((level - divided, log2(draft.coefficients[index]) + stage.power * log2(scales.root)))
        for held, used in needed:
            room = draft.params.log2_modulus(held) - 1
            if used > room:
                yield stage.layer, used, room


def _measured(draft: Draft, evidence: Evidence, count: int) -> NDArray[np.float64]:
    """The largest coefficients of every stage on the `count` images with the stage's largest values, (2, stages)."""
    largest = np.full((2, len(draft.stages)), 1e-12)
    for index, _, value in stage_slots(draft, chosen_images(evidence, largest_images(evidence, count))):
        stage = draft.stages[index]
        added = spread(stage.constant, draft.tables[index].output_map)
        own = max(float(np.abs(coefficients(held)).max()) for held in (value, added))
        made = made_slots(value, draft.tables[index], stage.making)
        square = float(np.abs(coefficients(made)).max()) if stage.squared else own
        largest[:, index] = np.maximum(largest[:, index], (square, own))
    return largest


def largest_images(evidence: Evidence, count: int) -> list[int]:
    """Sorted indices of the last image and, for every stage, of the `count` images with the stage's largest values."""
    chosen = {evidence.outputs.shape[1] - 1}
    for values in evidence.values:
        energy = np.abs(values).max(axis=0) + np.sqrt(np.sum(values**2, axis=0))
        chosen.update(np.argsort(energy)[-count:].tolist())
    return sorted(chosen)
