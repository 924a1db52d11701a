"""From wanted precisions to scales and prime sizes, and from prime sizes to actual primes. Pure.

A precision says how large each number is beside its error, in bits. For an atom, `activation_bits` is log2 of its
scale times its root mean square (rms); for the square of a value that was rescaled, those of that value. For a stage,
`weight_bits` is log2 of the rms of its affine value z over the error that the encoded weights make in z. All scales
follow from these bits, stage by stage (derived):

    scale of an atom        S = 2^activation_bits / rms(atom)
    scale of a value z      T = 2^weight_bits / rms(z) * sqrt(sum over atoms: met power * excess * S^2 * N / 12)
    primes of a rescale     T^2 / S' with S' the scale of the atom that the square becomes: one prime or two equal
                            ones, as large as the stage at this level that needs most
      before a square       T / R with R = 2^activation_bits / rms(z) the scale of what is squared; then S' = R^2
    base primes             so large that at every level the largest coefficient times its scale fits, with headroom

`secure.bounds.met_power` defines the met power, `secure.bounds.propagate` the excess.
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
    """The precision that a chain is made for.

    activation_bits: per atom. weight_bits: per stage. special_margin_bits: log2 of the special prime over the largest
    data prime.
    """

    activation_bits: tuple[float, ...]
    weight_bits: tuple[float, ...]
    special_margin_bits: float

    def moved(self, coordinate: int, bits: float) -> Precision:
        """The precision with `bits` added to one number. coordinate: counts the atoms first, then the stages."""
        atoms = len(self.activation_bits)
        both = [*self.activation_bits, *self.weight_bits]
        both[coordinate] += bits
        return replace(self, activation_bits=tuple(both[:atoms]), weight_bits=tuple(both[atoms:]))

    @property
    def coordinates(self) -> range:
        """All coordinates that `moved` takes."""
        return range(len(self.activation_bits) + len(self.weight_bits))


@dataclass(frozen=True)
class Chain:
    """The prime sizes and scales that a precision asks for, before actual primes are found.

    data_bits: size of every data prime, the base primes first, then those of the rescales from the lowest level up.
    special_bits: size of the special prime. input_scale: of the encrypted input. wanted_atom_scales: for each squared
    stage, the scale of its square, after the rescale if there is one.
    """

    data_bits: tuple[float, ...]
    special_bits: float
    input_scale: float
    wanted_atom_scales: tuple[float, ...]

    @property
    def log2_qp(self) -> float:
        return sum(self.data_bits) + self.special_bits


@dataclass(frozen=True)
class Sizes:
    """What a precision asks for whatever its special margin is: the fields of `Chain` but for the special prime."""

    data_bits: tuple[float, ...]
    input_scale: float
    wanted_atom_scales: tuple[float, ...]

    def chain(self, special_margin_bits: float, most_bits: float) -> Chain | None:
        """The chain with this margin; None if its special prime has more than so many bits."""
        special = max(self.data_bits) + special_margin_bits
        if special > most_bits:
            return None
        return Chain(self.data_bits, special, self.input_scale, self.wanted_atom_scales)


def wanted_chain(model: NoiseModel, precision: Precision) -> Chain | None:
    """The chain for this precision.

    None if a prime would be larger than the choice allows, or the modulus of one level larger than the security
    guideline allows. The caller checks log2(QP) of the whole chain.
    """
    sizes = wanted_sizes(model, precision.activation_bits, precision.weight_bits)
    return None if sizes is None else sizes.chain(precision.special_margin_bits, model.draft.choice.prime_bits)


def wanted_sizes(model: NoiseModel, activation_bits: tuple[float, ...], weight_bits: tuple[float, ...]) -> Sizes | None:
    """Scales and sizes of the data primes for a precision of atoms and stages; see `wanted_chain`."""
    draft, base = model.draft, model.draft.choice.base_primes
    evidence = draft.evidence
    scales = [2.0 ** activation_bits[0] / evidence.atom_rms[0]]
    needed = [0.0] * (draft.levels + 1)  # by level, bits of the prime that a rescale from this level divides by
    modulus_bits = [0.0] * (draft.levels + 1)  # by level, bits that the modulus must have there
    for index, stage in enumerate(draft.stages):
        level = draft.stage_levels[index]
        error = model.encoding_error_scale(index, scales) / evidence.value_rms[index]
        value_scale = 2.0 ** weight_bits[index] * error
        if not stage.squared:
            modulus_bits[level] = max(modulus_bits[level], log2(value_scale) + room_bits(draft, index))
            continue
        wanted_bits = activation_bits[len(scales)]
        if draft.divided[index]:
            root = 2.0**wanted_bits / evidence.value_rms[index]
            bits = log2(value_scale) + log2(draft.value_coefficients[index]) + HEADROOM_BITS + 1
            modulus_bits[level] = max(modulus_bits[level], bits)
            level = _leave(level, draft.divided[index], log2(value_scale) - log2(root), needed)
        else:
            root = value_scale
        modulus_bits[level] = max(modulus_bits[level], stage.power * log2(root) + room_bits(draft, index))
        if max(modulus_bits) > GUIDELINE_2024_LOG2_QP[draft.choice.degree]:
            return None
        wanted = 2.0**wanted_bits / evidence.atom_rms[len(scales)]
        scales.append(wanted if draft.rescaled[index] else root**stage.power)
        if draft.rescaled[index]:
            _leave(level, draft.rescaled[index], stage.power * log2(root) - log2(wanted), needed)
    base_bits = modulus_bits[base]
    for level in range(base + 1, draft.levels + 1):
        base_bits = max(base_bits, modulus_bits[level] - sum(needed[base + 1 : level + 1]))
    each = max(base_bits / base, MIN_PRIME_BITS)
    data_bits = (*([each] * base), *needed[base + 1 :])
    return Sizes(data_bits, scales[0], tuple(scales[1:]))


def _leave(level: int, primes: int, bits: float, needed: list[float]) -> int:
    """The level below a rescale that divides by so many bits in all; raises the sizes of its primes in `needed`."""
    for leaving in range(level - primes + 1, level + 1):
        needed[leaving] = max(needed[leaving], bits / primes, MIN_PRIME_BITS)
    return level - primes


def room_bits(draft: Draft, stage: int) -> float:
    """How many bits larger than the scale a stage's modulus must be, so that the largest coefficient fits.

    Counts the sign and the headroom. For a squared stage, scale and coefficient are those of the square.
    """
    needed = log2(draft.coefficients[stage]) + draft.stages[stage].power * HEADROOM_BITS + 1
    return max(needed, 2 - log2(draft.choice.degree))  # tiny numbers: scale at most N / 4 times the modulus


def apply_chain(draft: Draft, chain: Chain) -> Draft:
    """The draft with params, input_scale and scales filled in: actual primes, and the scales they lead to.

    The last stage, which is not squared, gets the largest scale that its modulus has room for.
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
        below = level - draft.divided[index]
        before = float(prod(params.data_primes[below:level]))
        after = prod(params.data_primes[below - draft.rescaled[index] : below])
        root = float(np.sqrt(atom_scale * after)) if stage.power == 2 else atom_scale * after
        scales.append(StageScales(before * root, atom_scale, before))
    return replace(draft, params=params, input_scale=chain.input_scale, scales=tuple(scales))


def _needs_keys(draft: Draft) -> bool:
    """Whether the plan will switch keys, and so needs a special prime."""
    rotates = any(baby or giant for split in draft.splits for baby, giant in split.parts.values())
    return rotates or any(table.folds for table in draft.tables) or any(stage.squared for stage in draft.stages)
