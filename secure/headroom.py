"""How large the integers of a plan get: coefficients, not slots, are what wraps around the modulus. Pure.

A polynomial with slots z has coefficients c_k = (2/N) Re sum_j z_j conj(zeta_j)^k (`secure.encoding`). Slots of mixed signs make coefficients
far below their largest slot, so a modulus chosen by coefficients is several bits smaller (derived). Between rescales the ring's
arithmetic is exact modulo Q: only what is rescaled or decrypted must stay below Q / 2.
"""

from __future__ import annotations

import numpy as np

from secure.draft import Draft, Evidence
from secure.encoding import coefficients
from secure.packing import spread
from secure.slot_values import chosen_images, stage_slots

#: Calibration inputs whose coefficients are computed: those with the largest values in any stage, so many for each.
MEASURED_IMAGES = 12


def largest_coefficients(draft: Draft) -> tuple[float, ...]:
    """By stage, the largest coefficient of what is rescaled or decrypted: the value's square, or the last value itself and the
    constant added to it, which SEAL encodes alone.

    Over the calibration inputs whose values are largest; needs arranged stages.
    """
    largest = [1e-12] * len(draft.stages)
    for index, _, value in stage_slots(draft, chosen_images(draft.evidence, _largest_images(draft.evidence))):
        stage = draft.stages[index]
        held = value**2 if stage.squared else value
        largest[index] = max(largest[index], float(np.abs(coefficients(held)).max()))
        if not stage.squared:
            added = spread(stage.constant, draft.tables[index].output_map)
            largest[index] = max(largest[index], float(np.abs(coefficients(added)).max()))
    return tuple(largest)


def _largest_images(evidence: Evidence) -> list[int]:
    """Images whose values are largest in any stage."""
    chosen = {evidence.outputs.shape[1] - 1}
    for values in evidence.values:
        energy = np.abs(values).max(axis=0) + np.sqrt(np.sum(values**2, axis=0))
        chosen.update(np.argsort(energy)[-MEASURED_IMAGES:].tolist())
    return sorted(chosen)
