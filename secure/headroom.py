"""How large the integers of a plan get: coefficients, not slots, are what wraps around the modulus. Pure.

A polynomial with slots z has coefficients c_k = (2/N) Re sum_j z_j conj(zeta_j)^k (`secure.encoding`). Slots of mixed signs make coefficients
far below their largest slot, so a modulus chosen by coefficients is several bits smaller (derived). Between rescales the ring's
arithmetic is exact modulo Q: only what is rescaled or decrypted must stay below Q / 2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secure.draft import Draft
from secure.encoding import coefficients
from secure.packing import spread

Array = NDArray[np.float64]

#: Calibration inputs whose coefficients are computed: those with the largest values.
MEASURED_IMAGES = 24


def largest_coefficients(draft: Draft) -> tuple[float, ...]:
    """By stage, the largest coefficient of what is rescaled or decrypted: the value's square, or the last value itself and the
    constant added to it, which SEAL encodes alone.

    Over the calibration inputs whose values are largest; needs arranged stages.
    """
    return tuple(
        _largest(
            values**2 if stage.squared else np.column_stack([values, stage.constant]), draft.tables[index].output_map
        )
        for index, (stage, values) in enumerate(zip(draft.stages, draft.evidence.values, strict=True))
    )


def _largest(values: Array, output_map: NDArray[np.int32]) -> float:
    """values (features, images)."""
    energy = np.abs(values).max(axis=0) + np.sqrt(np.sum(values**2, axis=0))
    chosen = {*np.argsort(energy)[-MEASURED_IMAGES:].tolist(), values.shape[1] - 1}
    largest = 0.0
    for image in chosen:
        slots = spread(values[:, image], output_map)
        largest = max(largest, float(np.abs(coefficients(slots)).max()))
    return max(largest, 1e-12)
