"""From wanted precisions to scales and prime sizes, and from prime sizes to actual primes. Pure.

A precision has two kinds of relative numbers. For each atom, `activation_bits` are the bits of its scale above 1 /
rms. For each stage, `weight_bits` are the bits by which the error of the encoded weights lies below the affine value's
rms. All scales follow from them, stage by stage (derived):

    value scale of a stage  T = 2^weight_bits / rms(z) * sqrt(sum over atoms: met power * excess * S_atom^2 * N / 12)
    primes of a rescale     q = max over the stages at its level of T^2 / S', as equal factors;
                            S' = 2^activation_bits / rms(atom)
    base primes             the last value's largest coefficient times its scale, plus headroom
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log2, prod

import numpy as np

from secure.bounds.propagate import NoiseModel
from secure.drafting.draft import Draft, StageScales
from secure.params import GUIDELINE_2024_LOG2_QP, MIN_PRIME_BITS, make_params

#: log2 of the factor by which a number may exceed the largest one of calibration before it wraps around. Wrapping
#: around is silent and destroys the result, so this is generous.
HEADROOM_BITS = 1.5


@dataclass(frozen=True)
class Precision:
    """The precision that a chain is made for: bits per atom and per stage, and bits of the special prime over the data
    primes."""

    activation_bits: tuple[float, ...]
    weight_bits: tuple[float, ...]
    special_margin_bits: float

    def moved(self, coordinate: int, bits: float) -> Precision:
        """The precision with one number changed. Coordinates count the atoms' numbers first, then the stages'."""
        atoms = len(self.activation_bits)
        both = [*self.activation_bits, *self.weight_bits]
        both[coordinate] += bits
        return replace(self, activation_bits=tuple(both[:atoms]), weight_bits=tuple(both[atoms:]))

    @property
    def coordinates(self) -> range:
        return range(len(self.activation_bits) + len(self.weight_bits))


@dataclass(frozen=True)
class Chain:
    """The wanted size of every prime in bits: base primes, rescaling primes from the lowest level up, and the special
    prime."""

    data_bits: tuple[float, ...]
    special_bits: float
    input_scale: float
    wanted_atom_scales: tuple[float, ...]

    @property
    def log2_qp(self) -> float:
        return sum(self.data_bits) + self.special_bits


def wanted_chain(model: NoiseModel, precision: Precision) -> Chain | None:
    """The prime sizes that give this precision; None if a prime would be too large."""
    draft, base = model.draft, model.draft.choice.base_primes
    evidence = draft.evidence
    scales = [2.0 ** precision.activation_bits[0] / evidence.atom_rms[0]]
    needed = [0.0] * (draft.levels + 1)  # bits of the prime that leaves at a level
    modulus_bits = [0.0] * (draft.levels + 1)  # bits that the first primes must have together, by level
    for index, stage in enumerate(draft.stages):
        level = draft.stage_levels[index]
        error = model.encoding_error_scale(index, scales) / evidence.value_rms[index]
        value_scale = 2.0 ** precision.weight_bits[index] * error
        if not stage.squared:
            modulus_bits[level] = max(modulus_bits[level], log2(value_scale) + room_bits(draft, index))
            continue
        modulus_bits[level] = max(modulus_bits[level], 2 * log2(value_scale) + room_bits(draft, index))
        if modulus_bits[level] > GUIDELINE_2024_LOG2_QP[draft.choice.degree]:
            return None
        wanted = 2.0 ** precision.activation_bits[len(scales)] / evidence.atom_rms[len(scales)]
        scales.append(wanted if draft.rescaled[index] else value_scale**2)
        for leaving in range(level - draft.rescaled[index] + 1, level + 1):
            each = (2 * log2(value_scale) - log2(wanted)) / draft.rescaled[index]
            needed[leaving] = max(needed[leaving], each, MIN_PRIME_BITS)
    base_bits = modulus_bits[base]
    for level in range(base + 1, draft.levels + 1):
        base_bits = max(base_bits, modulus_bits[level] - sum(needed[base + 1 : level + 1]))
    each = max(base_bits / base, MIN_PRIME_BITS)
    data_bits = (*([each] * base), *needed[base + 1 :])
    special = max(data_bits) + precision.special_margin_bits
    if special > draft.choice.prime_bits:
        return None
    return Chain(data_bits, special, scales[0], tuple(scales[1:]))


def room_bits(draft: Draft, stage: int) -> float:
    """log2 of the modulus over the scale that a stage needs, so that its largest coefficient fits, sign included.

    For a squared stage this counts the square of the value and of the scale.
    """
    powers = 2 if draft.stages[stage].squared else 1
    needed = log2(draft.coefficients[stage]) + powers * HEADROOM_BITS + 1
    return max(needed, 2 - log2(draft.choice.degree))  # tiny numbers leave the scale below N / 4 times the modulus


def apply_chain(draft: Draft, chain: Chain) -> Draft:
    """The draft with actual primes and exact scales.

    Raises: InsecureParametersError when the ring has no primes of these sizes.
    """
    params = make_params(draft.choice.degree, chain.data_bits, chain.special_bits if _needs_keys(draft) else None)
    scales: list[StageScales] = []
    wanted = iter(chain.wanted_atom_scales)
    for index, stage in enumerate(draft.stages):
        level = draft.stage_levels[index]
        if not stage.squared:
            scales.append(StageScales(2.0 ** (params.log2_modulus(level) - room_bits(draft, index)), 0.0))
            continue
        atom_scale = next(wanted)
        divisor = prod(params.data_primes[level - draft.rescaled[index] : level])
        scales.append(StageScales(float(np.sqrt(atom_scale * divisor)), atom_scale))
    return replace(draft, params=params, input_scale=chain.input_scale, scales=tuple(scales))


def _needs_keys(draft: Draft) -> bool:
    rotates = any(baby or giant for split in draft.splits for baby, giant in split.parts.values())
    return rotates or any(table.folds for table in draft.tables) or any(stage.squared for stage in draft.stages)
