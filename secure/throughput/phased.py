"""The same network with a random phase in every slot: the choice of its units.

The modulus of such a plan is smaller (`magnitudes`), but units are encrypted too, and their noise reaches the outputs
like that of other inputs. A large unit has little noise in relation to its size, and a small one states biases more
closely.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import log2

import numpy as np

from secure.bounds.propagate import watched_outputs
from secure.coded.clear import with_units
from secure.coded.forms import Program
from secure.coded.homogeneous import homogeneous, units_of
from secure.throughput.evidence import Evidence
from secure.throughput.evidence import with_units as evidence_with_units
from secure.throughput.hardest import gains_of
from secure.throughput.judged import Judged

#: The units that are tried, in powers of two of the largest input, and the rows that they are compared on.
UNIT_BITS, ROWS = range(2, 10), 128
#: More noise than this, in relation to that of the same plan without units, would cost more than phases save.
MOST_NOISE = 2.0


def phased(plain: Callable[[int], Program], evidence: Evidence, bits: int, deviation: float) -> Judged | None:
    """Programs with units for those of `plain`, and the evidence for them; None where no program or no unit serves.

    bits: of the codes with which units are compared and evidence is taken. deviation: standard deviation of an input
    feature that is about right.
    """
    program = plain(bits)
    rows = evidence.inputs[: min(ROWS, evidence.typical)]
    watched = watched_outputs(program.forms[-1].features)
    gains, outputs = float(gains_of(program, rows, watched).mean()), program.run(rows)[-1]
    largest = float(np.abs(rows).max())
    if not gains > 0 or not largest > 0:
        return None
    base = 2.0 ** round(log2(largest))
    noises: dict[float, float] = {}
    for unit in (base * 2.0**bits for bits in UNIT_BITS):
        found = homogeneous(program, unit)
        if found is not None:
            inputs = with_units(rows, units_of(unit))
            rounding = float(np.mean((found.run(inputs)[-1] - outputs) ** 2))
            noises[unit] = float(gains_of(found, inputs, watched).mean()) / gains + rounding / (deviation**2 * gains)
    unit = min(noises, key=noises.__getitem__, default=base)
    found = homogeneous(program, unit)
    if found is None or noises[unit] > MOST_NOISE:
        return None
    units = units_of(unit)

    @cache
    def programs(weight_bits: int) -> Program | None:
        return homogeneous(plain(weight_bits), unit)

    return Judged(programs, evidence_with_units(evidence, found, units), units)
