"""Pass 4, scales and primes: the most precise chain that the security table allows for this ring and these levels.

First all atoms get the same precision, and all stages get the same (`secure.passes.chains`). For every number of weight
bits and every margin of the special prime, the activations get all bits that the modulus has left. Then the best chain
is refined: bits are added, or moved from one atom or stage to another, as long as the predicted errors improve. The
result is assessed: the errors of its rounded plaintexts are computed on many rows (`secure.bounds.assessment`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from math import log2

import numpy as np

from compress.errors import InsecureParametersError, PlanError
from secure.bounds.assessment import FEW_ROWS, assess, row_count
from secure.bounds.headroom import overfull_stages
from secure.bounds.propagate import NoiseModel, noise_model
from secure.bounds.ranking import disagreement, excess, is_hopeless, rank, sigmas_of, typical_sigma
from secure.drafting.draft import HYBRID_LEVELS, Draft
from secure.params import ENGINE_PRIME_BITS, GUIDELINE_2024_LOG2_QP, MIN_PRIME_BITS, MOST_DIGIT_PRIMES, Params
from secure.passes.chains import Chain, Precision, Sizes, apply_chain, wanted_chain, wanted_sizes

WEIGHT_BITS = range(3, 17)
ACTIVATION_BITS = range(4, 29)
#: Margins that are tried: log2 of the special prime over the largest data prime. The engine centres its digits and
#: needs less than SEAL (`secure.params.SEAL_SPECIAL_MARGIN_BITS`).
ENGINE_MARGIN_BITS = (7, 4, 2, 1, 0)
SEAL_MARGIN_BITS = (10, 7, 5, 4)
#: How many bits refinement moves at a time, and how often it tries all moves.
REFINING_BITS = (2.0, 1.0, 0.5, 0.25)
REFINING_ROUNDS = 3
#: The most moves of one turn.
MOST_MOVES = 144
#: A chain with a larger share of changed classes than this is not refined.
WORTH_REFINING = 0.1
#: A draft whose error is so many times too large on few rows is not assessed on more.
CLEARLY_TOO_LARGE = 1.5
#: A very large layout, of which every row takes long, is assessed on so many rows first, and not on more if its error
#: is so many times too large there.
FIRST_ROWS, FAR_TOO_LARGE = 8, 2.5
#: A draft whose error is so many times too large by an estimate, even after refinement, is given up. The later steps
#: found 0.42 to 0.98 of such an estimate, for eight networks; where it is small, down to 0.35.
GIVEN_UP = 4.0
#: Bits kept free below the security guideline, for the rounding from wanted sizes to actual primes.
ROUNDING_BITS = 0.01
#: Bits that special primes may need beyond that, since actual primes are not of the wanted sizes.
ROOM_SPARE_BITS = 1.0
#: How often the search runs at most. Each run after the first assumes the rounding errors that the plaintexts really
#: have at the scales found before (`NoiseModel.measured`).
EXCESS_ROUNDS = 4
#: Calibration images on which the noise of chains is predicted.
SEARCH_IMAGES = 8


@dataclass(frozen=True)
class Candidate:
    """A draft with parameters and predicted errors, and the precision that they were made for."""

    draft: Draft
    precision: Precision

    @cached_property
    def rank(self) -> tuple[bool, float]:
        return rank(self.draft)


def choose_parameters(draft: Draft) -> Draft | None:
    """Fill params, input_scale, scales, output_sigmas and, for a draft that is not given up, the assessment.

    Deep drafts leave room in the modulus for hybrid key switches (`secure.compiling.switching`), as long as they are
    precise enough with it. A draft may bring the shares (`secure.bounds.propagate.NoiseModel`) of its layout.
    Returns: None when no chain fits this ring.
    """
    if (draft.levels + 1) * MIN_PRIME_BITS > _limit(draft):
        return None  # not even the smallest primes fit, one for every level and the special one
    draft.progress("first estimate", 0.0)
    model = noise_model(draft, SEARCH_IMAGES)
    whole = _first_estimate(model)
    if draft.levels >= HYBRID_LEVELS and not _under_seal(draft):
        for primes in range(MOST_DIGIT_PRIMES, 1, -1):
            roomy_model = replace(model, draft=replace(draft, digit_room=primes))
            rough = _first_estimate(roomy_model)
            roomy = None if rough is None else _chosen(roomy_model, rough)
            if roomy is None:
                continue
            took = whole is None or rough is None or rough.precision != whole.precision
            if excess(roomy) <= 1 or not took:
                return roomy  # room that takes no bits from the estimate is not what makes it imprecise
            model = replace(model, draft=replace(draft, shares=roomy.shares))
            break  # smaller digits leave more room, but none that would be enough where precision lacks bits
    return None if whole is None else _chosen(model, whole)


def _first_estimate(model: NoiseModel) -> Candidate | None:
    """The best candidate of one precision for all, before anything is measured; None where none fits."""
    return min(_uniform(model), key=lambda one: one.rank, default=None)


def _chosen(model: NoiseModel, rough: Candidate) -> Draft | None:
    """`choose_parameters` for the room that the model's draft states. rough: its first estimate."""
    draft = model.draft
    promising = _promising(model, rough)
    if is_hopeless(promising) or excess(promising) > GIVEN_UP:
        return promising
    draft.progress("errors by slots", 0.1)
    model = model.in_slots()
    found: list[Draft] = []
    chosen: Candidate | None = None
    tried: list[Candidate] = []
    for turn in range(EXCESS_ROUNDS):
        draft.progress(f"rounded weights, round {turn + 1}", 0.2 + 0.1 * turn)
        assumed, candidates = model, list(_uniform(model))
        if not candidates:  # none fits any more: those of the round before stand
            break
        tried = candidates
        chosen = min(tried, key=lambda one: one.rank)
        model = model.measured(chosen.draft.input_scale, chosen.draft.scales)
        found.append(_rated(model, chosen.draft))
        if is_hopeless(chosen.draft):
            return found[-1]
        if all((new <= old).all() for new, old in zip(model.excess, assumed.excess, strict=True)):
            break
    if chosen is None:
        return None
    draft.progress("refine", 0.6)
    refined = _refined(model, replace(chosen, draft=found[-1])).draft
    found.append(_rated(model.measured(refined.input_scale, refined.scales), refined))
    draft.progress("assess", 0.7)
    best = _assessed(min(found, key=rank))
    if excess(best) <= 1:
        return best
    # The search looks at few images and at the mean over draws of rounding errors. Where that was too optimistic,
    # precision comes first.
    precise = min(tried, key=lambda one: typical_sigma(one.draft)).draft
    if precise.scales == best.scales:
        return best
    again = _rated(model.measured(precise.input_scale, precise.scales), precise)
    if excess(again) > GIVEN_UP:
        return best
    draft.progress("assess the most precise", 0.85)
    return min(best, _assessed(again), key=excess)


def _promising(model: NoiseModel, rough: Candidate) -> Draft:
    """The draft that the first estimate leads to: refined where it is too imprecise without, but not hopeless.

    Slots and rounded plaintexts are not looked at, which takes most of the time of a draft.
    """
    worth = not is_hopeless(rough.draft) and excess(rough.draft) > GIVEN_UP
    return _refined(model, rough).draft if worth else rough.draft


def _assessed(draft: Draft) -> Draft:
    """The draft with its assessment, from few rows where these show that it is too imprecise."""
    if row_count(draft) <= FEW_ROWS and draft.rows.hardest is None:
        first = replace(draft, assessment=assess(draft, FIRST_ROWS))
        if excess(first) > FAR_TOO_LARGE:
            return first
    few = replace(draft, assessment=assess(draft, FEW_ROWS))
    if row_count(draft) <= FEW_ROWS:
        return few
    return few if excess(few) > CLEARLY_TOO_LARGE else replace(draft, assessment=assess(draft))


def _limit(draft: Draft) -> float:
    """The most bits that log2(QP) of a chain may have."""
    return GUIDELINE_2024_LOG2_QP[draft.choice.degree] - ROUNDING_BITS


def room_bits(size: int, data_bits: Sequence[float]) -> float:
    """Bits that the special primes have beyond one special prime, for digits of up to `size` data primes.

    With them key switches are no noisier at any level (`secure.compiling.switching`). The first digit may be smaller
    than the others, whichever needs the fewest bits.
    """
    if size == 1:
        return 0.0
    return min(_more_special_bits(first, size, data_bits) for first in range(1, size + 1)) + ROOM_SPARE_BITS


def _more_special_bits(first: int, size: int, data_bits: Sequence[float]) -> float:
    """log2 of how many times larger P must be for the sum of (Q / P)^2 over the digits of any level not to grow, where
    digits have `first` primes, then `size` each, in place of one."""
    had, complete, digit, most = 0.0, 0.0, 0.0, 0.0
    for place, bits in enumerate(data_bits):
        if place >= first and (place - first) % size == 0:
            complete, digit = complete + 4.0**digit, 0.0
        had, digit = had + 4.0**bits, digit + bits
        most = max(most, log2((complete + 4.0**digit) / had) / 2)
    return most


def _uniform(model: NoiseModel) -> Iterator[Candidate]:
    """Candidates with one precision for all atoms and one for all stages, the atoms as precise as fits."""
    stages = len(model.draft.stages)
    atoms = 1 + sum(stage.squared for stage in model.draft.stages)
    margins = SEAL_MARGIN_BITS if _under_seal(model.draft) else ENGINE_MARGIN_BITS
    for weight_bits in WEIGHT_BITS:
        weights = (float(weight_bits),) * stages

        @cache  # margins share them
        def sizes(bits: float, weights: tuple[float, ...] = weights) -> Sizes | None:
            return wanted_sizes(model, (bits,) * atoms, weights)

        for margin in margins:
            found = _most_precise(model, sizes, margin)
            if found is None:
                continue
            bits, chain = found
            candidate = _made(model, Precision((bits,) * atoms, weights, margin), chain)
            if candidate is not None:
                yield candidate


def _under_seal(draft: Draft) -> bool:
    """Whether SEAL must be able to run the plan."""
    return draft.both_backends or draft.choice.prime_bits > ENGINE_PRIME_BITS


def _most_precise(
    model: NoiseModel, sizes: Callable[[float], Sizes | None], margin: float
) -> tuple[float, Chain] | None:
    """The most activation bits that fit this ring with a special margin, and their chain; None if none do.

    More bits need a larger modulus, so bisection finds the most. sizes: by activation bits.
    """
    low, high, found = 0, len(ACTIVATION_BITS), None
    while low < high:
        middle = (low + high) // 2
        bits = float(ACTIVATION_BITS[middle])
        wanted = sizes(bits)
        chain = None if wanted is None else wanted.chain(margin, model.draft.choice.prime_bits)
        if chain is not None and _fits(model.draft, chain):
            found, low = (bits, chain), middle + 1
        else:
            high = middle
    return found


def _fits(draft: Draft, chain: Chain) -> bool:
    """Whether the chain fits this ring, with the room that the draft leaves for special primes."""
    return chain.log2_qp + room_bits(draft.digit_room, chain.data_bits) <= _limit(draft)


def _candidate(model: NoiseModel, precision: Precision) -> Candidate | None:
    """The candidate for a precision. None if its chain does not fit this ring or its errors overflow."""
    chain = wanted_chain(model, precision)
    return _made(model, precision, chain) if chain is not None and _fits(model.draft, chain) else None


def _made(model: NoiseModel, precision: Precision, chain: Chain) -> Candidate | None:
    """The candidate of a precision, from a chain whose wanted sizes fit. None if its primes or errors do not."""
    limit = _limit(model.draft)
    try:
        draft = apply_chain(model.draft, chain)
    except InsecureParametersError:
        return None  # no primes of these sizes are left for this ring
    if draft.log2_qp > limit or (_under_seal(draft) and not _params(draft).fits_seal):
        return None  # actual primes are smaller than wanted, and the margin between them may be too
    if any(overfull_stages(draft)):
        return None  # a prime of the least size makes the scale before its rescale larger than wanted
    with np.errstate(over="ignore", invalid="ignore"):  # a hopeless chain's noise overflows, and is dropped
        rated = _rated(model, draft)
    return Candidate(rated, precision) if np.isfinite(sigmas_of(rated)).all() else None


def _refined(model: NoiseModel, best: Candidate) -> Candidate:
    """The best candidate that moving bits leads to. Every move that ranks better is taken at once.

    A comfortable candidate is returned as it is, and so is one too imprecise to be worth the time.
    """
    if disagreement(best.draft) > WORTH_REFINING or best.rank[0] is False:
        return best
    for bits in REFINING_BITS:
        for turn in range(REFINING_ROUNDS):
            start = best
            for precision in _moves(best.precision, bits, turn):
                candidate = _candidate(model, precision)
                if candidate is not None and candidate.rank < best.rank:
                    best = candidate
            if best is start:
                break
    return best


def _moves(precision: Precision, bits: float, turn: int) -> Iterator[Precision]:
    """Every precision with one number raised by `bits`, or with one raised and another lowered.

    Of more than MOST_MOVES, evenly spaced ones, in every turn others: pairs grow with the square of the depth.
    """
    every = precision.coordinates
    moves = [(up, down) for up in every for down in (up, *(other for other in every if other != up))]
    step = -(-len(moves) // MOST_MOVES)
    for up, down in moves[turn % step :: step]:
        raised = precision.moved(up, bits)
        yield raised if up == down else raised.moved(down, -bits)


def _rated(model: NoiseModel, draft: Draft) -> Draft:
    """The draft with the errors that a model predicts for its parameters."""
    sigmas = model.output_sigmas(_params(draft), draft.input_scale, draft.scales)
    return replace(draft, output_sigmas=sigmas, shares=model.shares)


def _params(draft: Draft) -> Params:
    if draft.params is None:
        raise PlanError(draft.stages[-1].layer, "asked for its noise before its parameters were chosen")
    return draft.params
