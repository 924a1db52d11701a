"""Whether noise is so small that derivatives tell its effect, tried out by simulation. Pure.

Derivatives are the first-order effect of the noise. Noise as large as the inputs does more: a square adds the square of
the noise. So the network is run with noise in its inputs, complex as in the slots of a ciphertext, and compared with
what the first order says.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secure.coded.forms import Program
from secure.throughput.evidence import Evidence
from secure.throughput.noise import EXCESS
from secure.throughput.promise import Promise

Array = NDArray[np.float64]

#: Rows that are run with noise, and how often each.
ROWS, DRAWS = 128, 4
#: Noise that is smaller by this factor has first-order effects alone.
SMALLER = 1e-4


def noise_is_small(program: Program, evidence: Evidence, promise: Promise, variance: float) -> bool:
    """Whether simulated errors are those of the first order: about as large, and none beyond the promised bound.

    variance: of the real part of the noise of an input feature. The imaginary part gets the same.
    """
    rows = np.tile(evidence.inputs[: min(ROWS, evidence.typical)], (DRAWS, 1))
    rng = np.random.default_rng(0)
    noise = np.sqrt(variance) * (rng.normal(size=rows.shape) + 1j * rng.normal(size=rows.shape))
    plain = program.run(rows)[-1]
    found = program.run(rows + noise)[-1].real - plain
    first = (program.run(rows + SMALLER * noise)[-1].real - plain) / SMALLER
    observed, predicted = (np.sqrt(np.mean(errors**2, axis=1)) for errors in (found, first))
    rounding = 1e-9 * max(float(np.abs(evidence.outputs).max()), 1e-300)
    return bool((observed <= EXCESS * predicted + rounding).all() and np.abs(found).max() <= promise.error + rounding)
