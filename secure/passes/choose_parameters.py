"""Pass 4, scales and primes: the most precise chain that the security table allows for this ring and these levels.

First all atoms get the same precision, and all stages get the same (`secure.passes.chains`). For every number of weight
bits and every margin of the special prime, the activations get all bits that the modulus has left. Then the best chain
is refined: bits are added, or moved from one atom or stage to another, as long as the predicted errors improve. This
considers thousands of chains. Noise is propagated only for those whose lower bound (`secure.bounds.floor`) may win.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from compress.errors import InsecureParametersError, PlanError
from secure.bounds.propagate import NoiseModel, noise_model
from secure.bounds.ranking import disagreement, is_allowed, is_hopeless, rank, sigmas_of, typical_sigma
from secure.drafting.draft import Draft
from secure.params import ENGINE_PRIME_BITS, GUIDELINE_2024_LOG2_QP, MIN_PRIME_BITS, Params
from secure.passes.chains import Precision, apply_chain, wanted_chain

WEIGHT_BITS = range(3, 17)
ACTIVATION_BITS = range(4, 29)
#: Margins that are tried: log2 of the special prime over the largest data prime. The engine centres its digits and
#: needs less than SEAL (`secure.params.SEAL_SPECIAL_MARGIN_BITS`).
ENGINE_MARGIN_BITS = (7, 4, 2, 1, 0)
SEAL_MARGIN_BITS = (10, 7, 5, 4)
#: How many bits refinement moves at a time, and how often it tries all moves.
REFINING_BITS = (2.0, 1.0, 0.5, 0.25)
REFINING_ROUNDS = 3
#: A chain with a larger share of changed classes than this is not refined.
WORTH_REFINING = 0.1
#: Bits kept free below the security guideline, for the rounding from wanted sizes to actual primes.
ROUNDING_BITS = 0.01
#: How often the search runs at most. Each run after the first assumes the rounding errors that the plaintexts really
#: have at the scales found before (`NoiseModel.measured`).
EXCESS_ROUNDS = 4
#: The share of the real part in the variance of a complex slot, on average over keys.
REAL_SHARE = 0.5
#: Calibration images for which noise is propagated: while searching, and for the report.
SEARCH_IMAGES = 8
REPORT_IMAGES = 64


@dataclass(frozen=True)
class Candidate:
    """A draft with parameters, and the precision that they were made for.

    The draft's output_sigmas are the predicted errors or, for a floor, a lower bound of them.
    """

    draft: Draft
    precision: Precision

    @cached_property
    def rank(self) -> tuple[bool, float]:
        return rank(self.draft)


def choose_parameters(draft: Draft) -> Draft | None:
    """Fill params, input_scale, scales, output_sigmas and expected_disagreement.

    Returns: None when no chain fits this ring.
    """
    if (draft.levels + 1) * MIN_PRIME_BITS > _limit(draft):
        return None  # not even the smallest primes fit, one for every level and the special one
    model = noise_model(draft, SEARCH_IMAGES)
    found: list[Draft] = []
    chosen: Candidate | None = None
    for _ in range(EXCESS_ROUNDS):
        assumed, floors = model, list(_uniform_floors(model))
        least = _least(model, floors, lambda one: one.rank)
        if least is None:
            break
        chosen, model = least, model.measured(least.draft.input_scale, least.draft.scales)
        found.append(_rated(model, chosen.draft))
        if is_hopeless(chosen.draft):
            return _with_disagreement(model, found[-1])
        if all((new <= old).all() for new, old in zip(model.excess, assumed.excess, strict=True)):
            break
    if chosen is None:
        return None
    refined = _refined(model, replace(chosen, draft=found[-1])).draft
    found.append(_rated(model.measured(refined.input_scale, refined.scales), refined))
    report = noise_model(draft, REPORT_IMAGES)
    reported = _reported(report, min(found, key=rank))
    # On the report's images, which are more than the search's, the error may be too large. Then precision comes first.
    if not is_allowed(reported):
        precise = _least(assumed, floors, lambda one: (False, typical_sigma(one.draft)))
        reported = _reported(report, found[-1] if precise is None else precise.draft)
    return reported


def _reported(model: NoiseModel, draft: Draft) -> Draft:
    """The draft with the errors and the changed classes that are predicted on the model's images.

    The rounding errors of plaintexts are those of the draft's own scales.
    """
    measured = model.measured(draft.input_scale, draft.scales)
    return _with_disagreement(measured, _rated(measured, draft))


def _with_disagreement(model: NoiseModel, draft: Draft) -> Draft:
    """The draft with the expected share of changed classes, on average over keys."""
    sigmas = model.output_sigmas(_params(draft), draft.input_scale, draft.scales, REAL_SHARE)
    return replace(draft, expected_disagreement=disagreement(replace(draft, output_sigmas=sigmas)))


def _limit(draft: Draft) -> float:
    """The most bits that log2(QP) of a chain may have."""
    return GUIDELINE_2024_LOG2_QP[draft.choice.degree] - ROUNDING_BITS


def _uniform_floors(model: NoiseModel) -> Iterator[Candidate]:
    """Floors with one precision for all atoms and one for all stages, the atoms as precise as fits."""
    stages = len(model.draft.stages)
    atoms = 1 + sum(stage.squared for stage in model.draft.stages)
    margins = ENGINE_MARGIN_BITS if model.draft.choice.prime_bits <= ENGINE_PRIME_BITS else SEAL_MARGIN_BITS
    for weight_bits in WEIGHT_BITS:
        for margin in margins:
            precision = _most_precise(model, Precision((0.0,) * atoms, (weight_bits,) * stages, margin))
            floor = None if precision is None else _floor(model, precision)
            if floor is not None:
                yield floor


def _most_precise(model: NoiseModel, precision: Precision) -> Precision | None:
    """The precision with the most activation bits that fit this ring; None if none do.

    More bits need a larger modulus, so bisection finds the most.
    """
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


def _floor(model: NoiseModel, precision: Precision) -> Candidate | None:
    """The candidate for a precision, with a lower bound of its errors. None if its chain does not fit this ring."""
    limit = _limit(model.draft)
    chain = wanted_chain(model, precision)
    if chain is None or chain.log2_qp > limit:
        return None
    try:
        draft = apply_chain(model.draft, chain)
    except InsecureParametersError:
        return None  # no primes of these sizes are left for this ring
    if draft.log2_qp > limit:
        return None
    with np.errstate(over="ignore", invalid="ignore"):  # a hopeless chain's noise overflows, and is dropped
        least = model.least_sigmas(_params(draft), draft.input_scale, draft.scales)
    return Candidate(replace(draft, output_sigmas=least), precision) if np.isfinite(least).all() else None


def _exact(model: NoiseModel, floor: Candidate) -> Candidate | None:
    """The candidate with the errors that the model predicts; None if they overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        draft = _rated(model, floor.draft)
    return replace(floor, draft=draft) if np.isfinite(sigmas_of(draft)).all() else None


def _least(
    model: NoiseModel, floors: Sequence[Candidate], key: Callable[[Candidate], tuple[bool, float]]
) -> Candidate | None:
    """The candidate whose key is least; of equal ones the first. None if the errors of all candidates overflow.

    Keys are compared for the predicted errors, not for the lower bounds that the floors hold.
    key: must grow with the errors, so that the key of a floor is a lower bound. Floors are tried in the order of their
    keys, until the key of a floor exceeds the best key found.
    """
    best: tuple[tuple[bool, float], int, Candidate] | None = None
    for lowest, place in sorted((key(floor), place) for place, floor in enumerate(floors)):
        if best is not None and lowest > best[0]:
            break
        exact = _exact(model, floors[place])
        if exact is not None and (best is None or (key(exact), place) < best[:2]):
            best = key(exact), place, exact
    return None if best is None else best[2]


def _refined(model: NoiseModel, best: Candidate) -> Candidate:
    """The best candidate that moving bits leads to. Every move that ranks better is taken at once.

    A comfortable candidate is returned as it is, and so is one too imprecise to be worth the time.
    """
    if disagreement(best.draft) > WORTH_REFINING or best.rank[0] is False:
        return best
    for bits in REFINING_BITS:
        for _ in range(REFINING_ROUNDS):
            start = best
            for precision in _moves(best.precision, bits):
                floor = _floor(model, precision)
                if floor is None or floor.rank >= best.rank:
                    continue
                candidate = _exact(model, floor)
                if candidate is not None and candidate.rank < best.rank:
                    best = candidate
            if best is start:
                break
    return best


def _moves(precision: Precision, bits: float) -> Iterator[Precision]:
    """Every precision with one number raised by `bits`, or with one raised and another lowered."""
    for up in precision.coordinates:
        raised = precision.moved(up, bits)
        yield raised
        yield from (raised.moved(down, -bits) for down in precision.coordinates if down != up)


def _rated(model: NoiseModel, draft: Draft) -> Draft:
    """The draft with the errors that a model predicts for its parameters."""
    return replace(draft, output_sigmas=model.output_sigmas(_params(draft), draft.input_scale, draft.scales))


def _params(draft: Draft) -> Params:
    if draft.params is None:
        raise PlanError(draft.stages[-1].layer, "asked for its noise before its parameters were chosen")
    return draft.params
