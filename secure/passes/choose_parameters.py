"""Pass 4, scales and primes: the most precise chain that the security table allows for this ring and these levels.

First the same precision is asked of all atoms and of all stages (`secure.chains`): for every number of weight bits and distance of the
special prime, the activation bits take what the modulus leaves. Then the best is refined: bits move from one atom or stage to
another, one and two at a time, as long as the noise model says that the right class is named more often.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from compress.errors import InsecureParametersError, PlanError
from secure.chains import Precision, apply_chain, wanted_chain
from secure.draft import Draft
from secure.noise import BOUND_SIGMAS, predicted_disagreement
from secure.params import ENGINE_PRIME_BITS, GUIDELINE_2024_LOG2_QP, MIN_PRIME_BITS
from secure.propagate import NoiseModel, noise_model

Array = NDArray[np.float64]

WEIGHT_BITS = range(3, 17)
ACTIVATION_BITS = range(4, 29)
#: How far the special prime lies above the largest data prime: under the engine, whose digits are centred, and under SEAL
#: (`secure.params.SEAL_SPECIAL_MARGIN_BITS`).
ENGINE_MARGIN_BITS = (7, 4, 2, 1, 0)
SEAL_MARGIN_BITS = (10, 7, 5, 4)
#: Bits that refinement moves, and how often it goes through all moves.
REFINING_BITS = (2.0, 1.0, 0.5, 0.25)
REFINING_ROUNDS = 3
#: A chain that changes more classes than this before refinement is not worth it.
WORTH_REFINING = 0.1
#: A chain whose error is this many times too large, or that changes more classes than this, is out of reach of everything that follows.
HOPELESS_ERROR, HOPELESS_DISAGREEMENT = 100.0, 0.25
#: Below this share of changed classes a smaller modulus is preferred to a smaller error.
COMFORTABLE_DISAGREEMENT = 5e-5
COMFORTABLE_ERROR = 0.02
#: Room that rounding to actual primes may take.
ROUNDING_BITS = 0.01
#: How often the search is repeated with the rounding errors that the plaintexts it chose really have.
EXCESS_ROUNDS = 4
#: Of a complex slot's variance, what its real part has on average.
REAL_SHARE = 0.5
#: Calibration images the noise is propagated for: while searching, and for the report.
SEARCH_IMAGES = 8
REPORT_IMAGES = 64


@dataclass(frozen=True)
class Candidate:
    """A draft with parameters and predicted errors, and the precision they were made for."""

    draft: Draft
    precision: Precision


def choose_parameters(draft: Draft) -> Draft | None:
    """Fill params, input_scale, scales, output_sigmas and expected_disagreement; None when no chain fits this ring."""
    if (draft.levels + 1) * MIN_PRIME_BITS > _limit(draft):
        return None  # not even the smallest primes fit, one for every level and the special one
    model = noise_model(draft, SEARCH_IMAGES)
    found: list[Draft] = []
    candidates: list[Candidate] = []
    for _ in range(EXCESS_ROUNDS):
        candidates = list(_uniform_candidates(model))
        if not candidates:
            break
        chosen = min(candidates, key=_rank)
        assumed, model = model, model.measured(chosen.draft.input_scale, chosen.draft.scales)
        found.append(_rated(model, chosen.draft))
        if _is_hopeless(chosen.draft):
            return replace(found[-1], expected_disagreement=_expected_disagreement(model, found[-1]))
        if all((new <= old).all() for new, old in zip(model.excess, assumed.excess, strict=True)):
            break
    if not found:
        return None
    refined = _refined(model, replace(chosen, draft=found[-1])).draft
    found.append(_rated(model.measured(refined.input_scale, refined.scales), refined))
    report = noise_model(draft, REPORT_IMAGES)
    # more images than were searched for may ask for more precision than the smallest modulus has
    precise = min((one.draft for one in candidates), key=_typical_sigma, default=found[-1])
    for best in (min(found, key=_rank_draft), precise):
        measured = report.measured(best.input_scale, best.scales)
        reported = _rated(measured, best)
        if is_allowed(reported):
            break
    return replace(reported, expected_disagreement=_expected_disagreement(measured, reported))


def _expected_disagreement(model: NoiseModel, draft: Draft) -> float:
    if draft.params is None:
        raise PlanError(draft.stages[-1].layer, "noise asked of a draft without parameters")
    sigmas = model.output_sigmas(draft.params, draft.input_scale, draft.scales, REAL_SHARE)
    return disagreement(replace(draft, output_sigmas=sigmas))


def disagreement(draft: Draft) -> float:
    """Expected share of all calibration images whose class changes, from the errors of a few."""
    outputs = draft.evidence.outputs
    typical = np.sqrt(np.mean(_sigmas(draft) ** 2, axis=1, keepdims=True))
    return predicted_disagreement(outputs, np.broadcast_to(typical, outputs.shape))


def _is_hopeless(draft: Draft) -> bool:
    """Errors of real plaintexts, of more images and of refined chains lie within a few bits of the first estimate."""
    if draft.allowed_error < inf:
        return BOUND_SIGMAS * float(_sigmas(draft).max()) > HOPELESS_ERROR * draft.allowed_error
    return disagreement(draft) > HOPELESS_DISAGREEMENT


def is_comfortable(draft: Draft) -> bool:
    """True when a smaller error would not be noticed."""
    small = float(_sigmas(draft).max()) < COMFORTABLE_ERROR * draft.evidence.value_rms[-1]
    return small and is_allowed(draft) and disagreement(draft) < COMFORTABLE_DISAGREEMENT


def is_allowed(draft: Draft) -> bool:
    """True when no output's predicted error exceeds what the caller allows."""
    return BOUND_SIGMAS * float(_sigmas(draft).max()) <= draft.allowed_error


def _limit(draft: Draft) -> float:
    return GUIDELINE_2024_LOG2_QP[draft.choice.degree] - ROUNDING_BITS


def _uniform_candidates(model: NoiseModel) -> Iterator[Candidate]:
    """The same precision for all atoms and all stages, as much as fits."""
    stages = len(model.draft.stages)
    atoms = 1 + sum(stage.squared for stage in model.draft.stages)
    margins = ENGINE_MARGIN_BITS if model.draft.choice.prime_bits <= ENGINE_PRIME_BITS else SEAL_MARGIN_BITS
    for weight_bits in WEIGHT_BITS:
        for margin in margins:
            precision = _most_precise(model, Precision((0.0,) * atoms, (weight_bits,) * stages, margin))
            candidate = None if precision is None else _candidate(model, precision)
            if candidate is not None:
                yield candidate


def _most_precise(model: NoiseModel, precision: Precision) -> Precision | None:
    """The same with the most activation bits that fit, by halving: more bits never make a smaller modulus."""
    low, high, found = 0, len(ACTIVATION_BITS), None
    while low < high:
        middle = (low + high) // 2
        bits = float(ACTIVATION_BITS[middle])
        trial = replace(precision, activation_bits=(bits,) * len(precision.activation_bits))
        chain = wanted_chain(model, trial)
        if chain is not None and chain.log2_qp <= _limit(model.draft):
            found, low = trial, middle + 1
        else:
            high = middle
    return found


def _candidate(model: NoiseModel, precision: Precision) -> Candidate | None:
    """The draft with the chain for a precision and the errors the model predicts; None when it does not fit."""
    limit = _limit(model.draft)
    chain = wanted_chain(model, precision)
    if chain is None or chain.log2_qp > limit:
        return None
    try:
        draft = apply_chain(model.draft, chain)
    except InsecureParametersError:
        return None  # no primes of these sizes are left for this ring
    with np.errstate(over="ignore", invalid="ignore"):  # a hopeless chain's noise overflows, and is dropped
        draft = _rated(model, draft)
    return Candidate(draft, precision) if draft.log2_qp <= limit and np.isfinite(_sigmas(draft)).all() else None


def _refined(model: NoiseModel, best: Candidate) -> Candidate:
    """Coordinate moves and exchanges of bits, taken whenever they rank better."""
    if disagreement(best.draft) > WORTH_REFINING or _rank(best)[0] is False:
        return best
    for bits in REFINING_BITS:
        for _ in range(REFINING_ROUNDS):
            start = best
            for precision in _moves(best.precision, bits):
                candidate = _candidate(model, precision)
                if candidate is not None and _rank(candidate) < _rank(best):
                    best = candidate
            if best is start:
                break
    return best


def _moves(precision: Precision, bits: float) -> Iterator[Precision]:
    """One number raised, or one raised and another lowered."""
    for up in precision.coordinates:
        raised = precision.moved(up, bits)
        yield raised
        yield from (raised.moved(down, -bits) for down in precision.coordinates if down != up)


def _rank(candidate: Candidate) -> tuple[bool, float]:
    return _rank_draft(candidate.draft)


def _rank_draft(draft: Draft) -> tuple[bool, float]:
    """Smaller is better: of drafts whose error nobody would notice the smallest modulus, else the smallest error."""
    comfortable = is_comfortable(draft)
    return not comfortable, draft.log2_qp if comfortable else _typical_sigma(draft)


def _typical_sigma(draft: Draft) -> float:
    return float(np.sqrt(np.mean(_sigmas(draft) ** 2)))


def _sigmas(draft: Draft) -> Array:
    if draft.output_sigmas is None:
        raise PlanError(draft.stages[-1].layer, "asked for its errors before its parameters were chosen")
    return draft.output_sigmas


def _rated(model: NoiseModel, draft: Draft) -> Draft:
    """The draft with the errors that a model predicts for its parameters."""
    if draft.params is None:
        raise PlanError(draft.stages[-1].layer, "noise asked of a draft without parameters")
    return replace(draft, output_sigmas=model.output_sigmas(draft.params, draft.input_scale, draft.scales))
