"""Pass 4, scales and primes: the most precise chain that the security table allows for this ring and these levels.

Two numbers are chosen, both relative: `activation_bits`, how far an atom's scale lies above its rms, and `weight_bits`, how far
the error of the encoded weights lies below the affine value's rms. From them every scale follows, stage by stage (derived):

    value scale of a stage  T = 2^weight_bits / rms(z) * sqrt(sum over atoms: products * folds * mean square * S_atom^2 * N / 12)
    prime of a rescale      q = max over the stages at its level of T^2 / S',  S' = 2^activation_bits / rms(atom)
    base primes             the last value's largest number times its scale, plus headroom

For every weight_bits and distance of the special prime, activation_bits takes what the modulus leaves; the noise model then says
which combination names the right class most often.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import log2

import numpy as np
from numpy.typing import NDArray

from compress.errors import InsecureParametersError, PlanError
from secure.draft import Draft, StageScales
from secure.noise import BOUND_SIGMAS, predicted_disagreement
from secure.params import GUIDELINE_2024_LOG2_QP, MAX_PRIME_BITS, MIN_PRIME_BITS, make_params
from secure.propagate import NoiseModel, noise_model

Array = NDArray[np.float64]

#: SEAL encodes at a scale of a quarter of the modulus at most, however small the numbers.
SCALE_ROOM_BITS = 2.0
#: log2 of how far a number may exceed what calibration saw before it wraps around: silent and total, so generous.
HEADROOM_BITS = 1.5
WEIGHT_BITS = range(3, 17)
ACTIVATION_BITS = range(28, 3, -1)
#: How far the special prime lies above the largest data prime. Nearer than 4 bits the digits' mean, which SEAL does not remove, becomes
#: an error that is the same for every rotation with one key and adds up in a row instead of averaging out.
SPECIAL_PRIME_MARGIN_BITS = (10, 7, 5, 4)
#: Below this share of changed classes a smaller modulus is preferred to a smaller error.
COMFORTABLE_DISAGREEMENT = 5e-5
COMFORTABLE_ERROR = 0.02
#: Room that rounding to actual primes may take.
ROUNDING_BITS = 0.01
#: How often the search is repeated with the rounding errors that the plaintexts it chose really have.
EXCESS_ROUNDS = 4
#: Calibration images the noise is propagated for: while searching, and for the report.
SEARCH_IMAGES = 8
REPORT_IMAGES = 64


@dataclass(frozen=True)
class Chain:
    """Wanted sizes in bits: base primes, then one for every rescale from the lowest level up, and the special prime."""

    data_bits: tuple[float, ...]
    special_bits: float
    input_scale: float
    wanted_atom_scales: tuple[float, ...]

    @property
    def log2_qp(self) -> float:
        return sum(self.data_bits) + self.special_bits


def choose_parameters(draft: Draft) -> Draft | None:
    """Fill params, input_scale, scales and output_sigmas; None when no chain fits this ring."""
    limit = GUIDELINE_2024_LOG2_QP[draft.choice.degree] - ROUNDING_BITS
    if (draft.levels + 1) * MIN_PRIME_BITS > limit:
        return None  # not even the smallest primes fit, one for every level and the special one
    model = noise_model(draft, SEARCH_IMAGES)
    found: list[Draft] = []
    for _ in range(EXCESS_ROUNDS):
        candidates = _candidates(model, limit)
        if not candidates:
            break
        chosen = min(candidates, key=_rank)
        assumed, model = model, model.measured(chosen.input_scale, chosen.scales)
        found.append(_rated(model, chosen))
        if all((new <= old).all() for new, old in zip(model.excess, assumed.excess, strict=True)):
            break
    if not found:
        return None
    best = min(found, key=_rank)
    report = noise_model(draft, REPORT_IMAGES)
    if is_allowed(reported := _rated(report.measured(best.input_scale, best.scales), best)):
        return reported
    precise = min(candidates or found, key=_typical_sigma)  # more images than were searched for ask for more
    return _rated(report.measured(precise.input_scale, precise.scales), precise)


def _candidates(model: NoiseModel, limit: float) -> list[Draft]:
    """The draft with every chain that fits, and the errors the model predicts for it."""
    result = []
    for chain in _chains_that_fit(model, limit):
        try:
            candidate = _apply_chain(model.draft, chain)
        except InsecureParametersError:
            continue  # no primes of these sizes are left for this ring
        with np.errstate(over="ignore", invalid="ignore"):  # a hopeless chain's noise overflows, and is dropped
            candidate = _rated(model, candidate)
        if candidate.log2_qp <= limit and np.isfinite(_sigmas(candidate)).all():
            result.append(candidate)
    return result


def _rank(draft: Draft) -> tuple[bool, float]:
    """Smaller is better: of drafts whose error nobody would notice the smallest modulus, else the smallest error."""
    comfortable = is_comfortable(draft)
    return not comfortable, draft.log2_qp if comfortable else _typical_sigma(draft)


def _typical_sigma(draft: Draft) -> float:
    return float(np.sqrt(np.mean(_sigmas(draft) ** 2)))


def disagreement(draft: Draft) -> float:
    """Expected share of all calibration images whose class changes, from the errors of a few."""
    outputs = draft.evidence.outputs
    typical = np.sqrt(np.mean(_sigmas(draft) ** 2, axis=1, keepdims=True))
    return predicted_disagreement(outputs, np.broadcast_to(typical, outputs.shape))


def is_comfortable(draft: Draft) -> bool:
    """True when a smaller error would not be noticed."""
    small = float(_sigmas(draft).max()) < COMFORTABLE_ERROR * draft.evidence.value_rms[-1]
    return small and is_allowed(draft) and disagreement(draft) < COMFORTABLE_DISAGREEMENT


def is_allowed(draft: Draft) -> bool:
    """True when no output's predicted error exceeds what the caller allows."""
    return BOUND_SIGMAS * float(_sigmas(draft).max()) <= draft.allowed_error


def _sigmas(draft: Draft) -> Array:
    if draft.output_sigmas is None:
        raise PlanError(draft.stages[-1].layer, "asked for its errors before its parameters were chosen")
    return draft.output_sigmas


def _rated(model: NoiseModel, draft: Draft) -> Draft:
    """The draft with the errors that a model predicts for its parameters."""
    if draft.params is None:
        raise PlanError(draft.stages[-1].layer, "noise asked of a draft without parameters")
    return replace(draft, output_sigmas=model.output_sigmas(draft.params, draft.input_scale, draft.scales))


def _chains_that_fit(model: NoiseModel, limit: float) -> Iterator[Chain]:
    for weight_bits in WEIGHT_BITS:
        for margin in SPECIAL_PRIME_MARGIN_BITS:
            for activation_bits in ACTIVATION_BITS:
                chain = wanted_chain(model, activation_bits, weight_bits, margin)
                if chain is not None and chain.log2_qp <= limit:
                    yield chain
                    break


def wanted_chain(model: NoiseModel, activation_bits: float, weight_bits: float, margin: float) -> Chain | None:
    """The prime sizes that give these precisions; None when a prime would be too large."""
    draft, base = model.draft, model.draft.choice.base_primes
    evidence = draft.evidence
    scales = [2.0**activation_bits / evidence.atom_rms[0]]
    needed = [0.0] * (draft.levels + 1)  # bits of the prime that leaves at a level
    modulus_bits = [0.0] * (draft.levels + 1)  # bits that the first primes must have together, by level
    for index, stage in enumerate(draft.stages):
        level = draft.stage_levels[index]
        value_scale = 2.0**weight_bits * model.encoding_error_scale(index, scales) / evidence.value_rms[index]
        if not stage.squared:
            modulus_bits[level] = max(modulus_bits[level], log2(value_scale) + _largest_bits(draft, index))
            continue
        modulus_bits[level] = max(modulus_bits[level], 2 * (log2(value_scale) + _largest_bits(draft, index)) - 1)
        if modulus_bits[level] > GUIDELINE_2024_LOG2_QP[draft.choice.degree]:
            return None
        wanted = 2.0**activation_bits / evidence.atom_rms[len(scales)]
        scales.append(wanted if draft.rescaled[index] else value_scale**2)
        if draft.rescaled[index]:
            needed[level] = max(needed[level], 2 * log2(value_scale) - log2(wanted), MIN_PRIME_BITS)
    base_bits = modulus_bits[base]
    for level in range(base + 1, draft.levels + 1):
        base_bits = max(base_bits, modulus_bits[level] - sum(needed[base + 1 : level + 1]))
    each = max(base_bits / base, MIN_PRIME_BITS)
    data_bits = (*([each] * base), *needed[base + 1 :])
    special = max(data_bits) + margin
    if special > MAX_PRIME_BITS:
        return None
    return Chain(data_bits, special, scales[0], tuple(scales[1:]))


def _largest_bits(draft: Draft, stage: int) -> float:
    """log2 of the modulus over the scale that a stage's value needs: its largest number, sign included."""
    return max(log2(draft.evidence.value_max[stage]) + HEADROOM_BITS + 1, SCALE_ROOM_BITS)


def _apply_chain(draft: Draft, chain: Chain) -> Draft:
    """The draft with actual primes and exact scales.

    Raises: InsecureParametersError when the ring has no primes of these sizes.
    """
    params = make_params(draft.choice.degree, chain.data_bits, chain.special_bits if _needs_keys(draft) else None)
    scales: list[StageScales] = []
    wanted = iter(chain.wanted_atom_scales)
    for index, stage in enumerate(draft.stages):
        level = draft.stage_levels[index]
        if not stage.squared:
            scales.append(StageScales(2.0 ** (params.log2_modulus(level) - _largest_bits(draft, index)), 0.0))
            continue
        atom_scale = next(wanted)
        divisor = params.data_primes[level - 1] if draft.rescaled[index] else 1
        scales.append(StageScales(float(np.sqrt(atom_scale * divisor)), atom_scale))
    return replace(draft, params=params, input_scale=chain.input_scale, scales=tuple(scales))


def _needs_keys(draft: Draft) -> bool:
    rotates = any(baby or giant for split in draft.splits for baby, giant in split.parts.values())
    return rotates or any(table.folds for table in draft.tables) or any(stage.squared for stage in draft.stages)
