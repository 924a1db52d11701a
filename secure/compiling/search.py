"""The search for the cheapest plan that is precise enough, in the order of predicted time.

Drafts of all rings are tried in the order of their predicted time. The first one that is precise enough and keeps to
the limits in bytes wins. In a ring of twice the degree every operation costs more than twice as much, and at best half
as many are needed. So a ring is laid out only when drafts of the ring below it are next.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from heapq import heappop, heappush
from itertools import groupby, product
from math import inf
from typing import Any

from compress.dataset import Progress
from compress.errors import PlanError, SlotOverflowError
from secure.bounds.ranking import excess
from secure.compiling.affordable import ByteBounds, exceeded_bytes
from secure.compiling.alike import layout_of, rotations_of
from secure.drafting.doubling import may_gain
from secure.drafting.draft import Array, Choice, Draft, Rescaling
from secure.drafting.work import draft_milliseconds, draft_seal_milliseconds, request_milliseconds
from secure.kernels.counts import KernelTimes
from secure.limits import Limits
from secure.params import ENGINE_PRIME_BITS, GUIDELINE_2024_LOG2_QP, MAX_PRIME_BITS, MIN_PRIME_BITS, RING_DEGREES
from secure.passes import Pass, run_passes
from secure.passes.choose_parameters import choose_parameters
from secure.passes.choose_rotations import choose_rotations
from secure.passes.emit import emit
from secure.passes.place_rescales import place_rescales

logger = logging.getLogger(__name__)

#: Predicted milliseconds of a draft on a machine with these kernel times.
Price = Callable[[Draft, KernelTimes], float]

#: The choice of the draft that a search starts from. The search replaces all of its fields.
START = Choice(degree=RING_DEGREES[0], rescaling=Rescaling.EVERY, base_primes=1, rotate_input=True)

#: The most squares in a draft without rescales. After k of them, a scale has 2^k times as many bits.
MOST_SQUARES_UNRESCALED = 3

#: The fewest squares of a network that is rescaled before every square. In shallower networks the base primes that
#: this needs take what it saves. From ONLY_DIVIDED squares on no other way leaves bits enough, and none is tried.
FEWEST_DIVIDED, ONLY_DIVIDED = 4, 10

#: The fewest bits that a prime has on average in a network with more squares than MOST_SQUARES_UNRESCALED.
LEAST_DEEP_BITS = 24

#: The values of Choice.key_weight that are tried if the bytes of keys are limited, and the least one for deep networks,
#: which is tried if they are not: a key of ten or twenty levels takes megabytes (docs/deep.md has the trade).
KEY_WEIGHTS = (0, 1, 4, 16, 64, 256)
DEEP_KEY_WEIGHT = 0.8


@dataclass(frozen=True)
class Alternative:
    """A choice that the search tried, and its predicted time. verdict: why it lost; empty for the winner."""

    choice: Choice
    predicted_ms: float
    verdict: str

    def as_json(self) -> dict[str, Any]:
        """All fields of the choice, the predicted time, and the verdict, which is "chosen" for the winner."""
        return {**asdict(self.choice), "predicted_ms": self.predicted_ms, "verdict": self.verdict or "chosen"}


@dataclass(frozen=True)
class _Turn:
    """A draft whose turn it is. share: how much of the search is done, `width`: how much this draft is of it."""

    milliseconds: float
    share: float
    width: float
    draft: Draft


@dataclass
class Outcome:
    """What a search found.

    best: the best draft, with parameters; None if no draft is good enough. times: the kernel times that its predicted
    time uses. weighed: the choices tried. closest: the most precise of the drafts that are
    too imprecise, as (error over acceptable error, draft). over_budget: in words, the limit in bytes that the first
    precise draft exceeds. deepest: a draft of the largest ring that was laid out, for the message about levels.
    gave_up: by name of the pass, the drafts for which it found nothing that fits.
    """

    best: Draft | None = None
    times: KernelTimes | None = None
    weighed: list[Alternative] = field(default_factory=list)
    closest: tuple[float, Draft] | None = None
    over_budget: str | None = None
    deepest: Draft | None = None
    gave_up: Counter[str] = field(default_factory=Counter)


def search(
    start: Draft,
    times: KernelTimes,
    seal_times: KernelTimes,
    limits: Limits,
    report: Progress = lambda label, share: None,
) -> Outcome:
    """Try every choice that may win, first with primes that the engine takes, then with SEAL's larger primes, unless
    both backends must run the plan.

    start: a draft with stages, evidence and the allowed error. times, seal_times: of the engine and of SEAL.
    Raises: SlotOverflowError when no ring holds the network; what a pass or its checker raises.
    """
    outcome = Outcome()
    bounds = ByteBounds(limits)
    laid_out: dict[int, list[Draft]] = {}
    shares = [0.0]
    for prime_bits, price, own_times in (
        (ENGINE_PRIME_BITS, draft_milliseconds, times),
        (MAX_PRIME_BITS, draft_seal_milliseconds, seal_times),
    ):

        def priced(draft: Draft, price: Price = price, bits: int = prime_bits, own: KernelTimes = own_times) -> float:
            return price(draft, own) + request_milliseconds(draft, bits)

        part = _forward(report, shares, 0.0 if prime_bits == ENGINE_PRIME_BITS else 0.5, 0.5)
        _try_in_order(_by_price(start, laid_out, priced, limits, part), prime_bits, bounds, outcome, part)
        if outcome.best is not None:
            outcome.times = own_times
        if outcome.best is not None or start.both_backends:
            break
    drafts = [draft for ring in laid_out.values() for draft in ring]
    outcome.deepest = drafts[-1] if drafts else _narrow_enough(start)
    outcome.weighed.sort(key=lambda one: (not one.verdict, one.predicted_ms))
    return outcome


def _forward(report: Progress, shown: list[float], start: float, length: float) -> Progress:
    """A callback for a part of the work that never goes back. shown: the shares reported so far, of all parts.

    A ring that is laid out adds drafts, so the share that the search gives may fall. What is shown then waits, and
    goes on by the share of the rest that is done since.
    """
    end, before = start + length, 0.0

    def forward(label: str, share: float) -> None:
        nonlocal before
        now = max(shown[-1], start)
        shown.append(now + (end - now) * max(0.0, share - before) / max(1 - before, 1e-9))
        before = share
        report(label, shown[-1])

    return forward


def _within(report: Progress, title: str, share: float, width: float) -> Progress:
    """A callback for a step that begins at `share` of the work and is `width` of it. Its labels follow the title."""
    return lambda label, done: report(f"{title}: {label}" if label else title, share + width * done)


def _by_price(
    start: Draft, laid_out: dict[int, list[Draft]], price: Callable[[Draft], float], limits: Limits, report: Progress
) -> Iterator[_Turn]:
    """All drafts with their predicted milliseconds, the cheapest one first, over all rings.

    A ring is laid out before any draft of the next smaller ring is tried: a value that needs many ciphertexts in the
    smaller ring may be cheaper in it. Rings that are laid out are kept in `laid_out`.
    """
    least = DEEP_KEY_WEIGHT if start.expected_switching.is_hybrid else 0
    weights = (least,) if limits.keys_bytes == inf else (least, *(one for one in KEY_WEIGHTS if one > least))
    # the complex constants of doubled values have no small form in a server's memory
    may_double = not (start.expected_switching.is_hybrid or start.both_backends) and limits.memory_bytes == inf
    waiting: list[tuple[float, int, int]] = []  # (milliseconds, degree, index into the drafts of the ring)
    larger = list(RING_DEGREES)
    tried = 0
    while waiting or larger:
        if larger and (not waiting or 2 * waiting[0][1] >= larger[0]):
            degree = larger.pop(0)
            if degree not in laid_out:
                told = _within(report, f"lay out N={degree}", tried / (tried + len(waiting) + 1), 0.0)
                told("", 0.0)
                laid_out[degree] = list(_laid_out(replace(start, progress=told), degree, weights, may_double))
            for number, draft in enumerate(laid_out[degree]):
                heappush(waiting, (price(draft), degree, number))
            continue
        milliseconds, degree, number = heappop(waiting)
        width = 1 / (tried + len(waiting) + 1)
        yield _Turn(milliseconds, tried * width, width, laid_out[degree][number])
        tried += 1


def _try_in_order(
    drafts: Iterable[_Turn],
    prime_bits: int,
    bounds: ByteBounds,
    outcome: Outcome,
    report: Progress,
) -> None:
    """Choose parameters for drafts in the order of their price, and write what happens into the outcome.

    Stops when a draft wins. drafts: see `_by_price`.
    """
    # by what decides about noise: a draft with parameters, and which passes gave up
    chosen: dict[tuple[object, ...], tuple[Draft | None, Counter[str]]] = {}
    shares: dict[tuple[object, ...], Array | float] = {}  # by layout and rotations, which all levels share
    for turn in drafts:
        choice = replace(turn.draft.choice, prime_bits=prime_bits)
        told = _within(report, f"choose parameters, N={choice.degree}", turn.share, turn.width)
        draft = replace(turn.draft, choice=choice, progress=told)
        told("", 0.0)
        verdict = bounds.exceeded(draft)
        done = None
        if verdict:
            outcome.over_budget = outcome.over_budget or verdict
        else:
            layout = layout_of(draft)
            noise = layout, draft.stage_levels, draft.rescaled, draft.divided
            if noise not in chosen:
                gave_up: Counter[str] = Counter()
                known = replace(draft, shares=shares.get(layout, 1.0))
                chosen[noise] = run_passes(known, start=choose_parameters, stop=emit, gave_up=gave_up), gave_up
            found = chosen[noise][0]
            if found is not None and not isinstance(found.shares, float):
                shares[layout] = found.shares
            outcome.gave_up += chosen[noise][1]
            done = None if found is None else replace(found, splits=draft.splits, choice=draft.choice)
            verdict = _verdict(done, bounds, outcome)
        outcome.weighed.append(Alternative(draft.choice, turn.milliseconds, verdict))
        if done is not None and not verdict:
            outcome.best = done
            return


def _verdict(done: Draft | None, bounds: ByteBounds, outcome: Outcome) -> str:
    """Why a draft loses; empty if it does not. Updates the bounds, and closest and over_budget of the outcome.

    done: None if choose_parameters found no chain that fits.
    """
    if done is None or done.output_sigmas is None:
        return "modulus does not fit"
    times = excess(done)
    if times > 1:
        outcome.closest = min(outcome.closest or (times, done), (times, done), key=lambda pair: pair[0])
        return f"error {times:.1f} times too large"
    bounds.learn(done)
    exceeded = exceeded_bytes(bounds.limits, done)
    outcome.over_budget = outcome.over_budget or exceeded
    return exceeded or ""


def _choices(degree: int, key_weights: Sequence[float], doublings: Sequence[bool]) -> list[Choice]:
    """All choices of one ring. Those that share early passes follow one another, as `_laid_out` needs them."""
    return [
        Choice(
            degree=degree, planes=planes, doubled=doubled, rotate_input=rotate, share_giants=share, key_weight=weight,
            rescaling=rescaling, base_primes=base, rescale_primes=primes,
        )
        for planes, doubled, (rotate, share), weight, rescaling, base, primes in product(
            (1, 2), doublings, ((True, True), (False, True), (False, False)), key_weights, Rescaling, (1, 2), (1, 2)
        )
    ]  # fmt: skip


def _laid_out(start: Draft, degree: int, key_weights: Sequence[float], may_double: bool) -> Iterator[Draft]:
    """The drafts of one ring after the passes that need no primes.

    Choices that share planes share the layout; those that split rotations alike share the splits too. Of choices that
    lead to the same draft only the first is kept.
    """
    seen, gains = set[tuple[object, ...]](), False
    every = _choices(degree, key_weights, (False, True) if may_double else (False,))
    possible = [choice for choice in every if _may_fit(replace(start, choice=choice))]
    for (planes, doubled), by_planes in groupby(possible, key=lambda choice: (choice.planes, choice.doubled)):
        if doubled and not gains:
            continue
        own = replace(start, choice=replace(start.choice, degree=degree, planes=planes, doubled=doubled))
        try:
            arranged = _done(own, None, choose_rotations)
            gains = any(may_gain(table) for table in arranged.tables)
        except SlotOverflowError as error:
            logger.info("N=%d: %s", degree, error)  # a larger ring may still hold it
            continue
        for (rotate, share, weight), choices in groupby(
            by_planes, key=lambda one: (one.rotate_input, one.share_giants, one.key_weight)
        ):
            turned = replace(arranged.choice, rotate_input=rotate, share_giants=share, key_weight=weight)
            rotated = _done(replace(arranged, choice=turned), choose_rotations, place_rescales)
            for choice in choices:
                placed = _done(replace(rotated, choice=choice), place_rescales, choose_parameters)
                place = (planes, rotations_of(placed), placed.stage_levels, placed.rescaled, placed.divided)
                if place not in seen:
                    seen.add(place)
                    yield placed


def _may_fit(draft: Draft) -> bool:
    """Whether the ring has room for the smallest primes: one for every level, and the special prime.

    False also for many squares without a rescale, since every square doubles the bits of the scale, for rescales before
    few squares, and for rescales after many.
    """
    squares, rescaling = sum(stage.squared for stage in draft.stages), draft.choice.rescaling
    deep = squares > MOST_SQUARES_UNRESCALED
    if deep and rescaling in (Rescaling.NEVER, Rescaling.BEFORE_LAST):
        return False
    if squares < FEWEST_DIVIDED if rescaling is Rescaling.BEFORE else squares >= ONLY_DIVIDED:
        return False
    levels = place_rescales(draft).levels
    least = LEAST_DEEP_BITS if deep else MIN_PRIME_BITS
    return (levels + 1) * least <= GUIDELINE_2024_LOG2_QP[draft.choice.degree]


def _done(draft: Draft, start: Pass | None, stop: Pass) -> Draft:
    """The draft after the passes from `start` up to but not including `stop`.

    Only for passes before choose_parameters, which always give a draft.
    Raises: PlanError when a pass gives none; what passes and checkers raise.
    """
    done = run_passes(draft, start=start, stop=stop)
    if done is None:
        raise PlanError(draft.stages[-1].layer, "a pass gave up before parameters were chosen; this is a defect of it")
    return done


def _narrow_enough(start: Draft) -> Draft:
    """The network laid out in the largest ring, with one input per slot.

    Raises: SlotOverflowError naming the layer that is too wide.
    """
    return _done(
        replace(start, choice=replace(start.choice, degree=RING_DEGREES[-1], planes=1)), None, choose_rotations
    )
