"""Keep bits of a grid for two parties: the client encrypts scores, the server selects without seeing them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compress.checks import is_number
from compress.errors import ConfigError, InsecureParametersError, SlotOverflowError
from secure.bundle.files import plan_digest
from secure.bundle.specs import Bundle, ClientSpec, ServerSpec
from secure.comparison.grid import PairGrid
from secure.comparison.keeping import Keeping
from secure.comparison.planning import PlanOperations
from secure.comparison.sign import cheapest_sign
from secure.evaluators.clear import run_clear
from secure.params import RING_DEGREES, Params, check_security, make_params
from secure.plan import Plan

#: Bits of the last prime, which holds the answer, and of a special prime; data primes of a digit, and special primes.
LAST_BITS, SPECIAL_BITS, DIGIT, SPECIALS = 50, 50, 3, 3
#: Bits of the other primes, which are those of the scale too; their least number; and how many bits larger the last
#: prime is at least: an answer of up to 2 and its sign need two, noise and scales need less than another one.
SCALE_BITS, LEAST_BITS, HEADROOM_BITS = 44.0, 20, 3
#: Bits that are tried, the most precise ones first; the share of a deviation that the sign may take, beside the noise;
#: and how far noise may take values between its factors.
PRIME_BITS, SIGN_SHARE, TOLERANCE = range(44, 24, -2), 0.9, 1e-3
#: Scenes that the noise is simulated on, and how many standard deviations its bound adds.
NOISE_SCENES, DEVIATIONS = 4, 6.0


def keeping_bundle(keeping: Keeping, bits: float = SCALE_BITS) -> Bundle:
    """What both parties need to know: the client sends a grid of scores in [0, 1], the answer is a grid of keep bits.

    bits: of the scale and the primes. The client's `predicted_logit_error` bounds the noise of a keep bit; how far a
    bit without noise is from 0 or 1 is `keeping.deviation`. The report holds both.
    Raises: InsecureParametersError where the ring has no room for the levels; ConfigError where `most` of the sign is
    below 1, and for bits that leave the last prime no room for the answer.
    """
    if not (is_number(bits) and LEAST_BITS <= bits <= LAST_BITS - HEADROOM_BITS):
        raise ConfigError("bits", bits, f"a number from {LEAST_BITS} to {LAST_BITS - HEADROOM_BITS}")
    if keeping.sign.most < 1:
        raise ConfigError("most", keeping.sign.most, "at least 1: differences of scores reach it")
    grid = keeping.grid
    run = PlanOperations(keeping_params(keeping, bits), bits)
    output = keeping.evaluate(run.input, run)
    plan = run.plan(output)
    cells = grid.cell_slots.ravel().astype(np.int32)
    slots = np.full((1, 1, grid.slots), -1, dtype=np.int32)
    slots[0, 0, cells] = np.arange(len(cells))
    bundle_id = plan_digest(plan)
    noise = DEVIATIONS * _noise(plan, keeping)
    client = ClientSpec(
        bundle_id=bundle_id,
        params=plan.params,
        keys=plan.made_keys,
        input_shape=(grid.lines, grid.columns),
        input_slots=slots,
        input_level=plan.input_level,
        input_scale=plan.input_scale,
        input_low=np.zeros(len(cells)),
        input_high=np.ones(len(cells)),
        output_shape=(grid.lines, grid.columns),
        output_slots=np.stack([np.zeros_like(cells), cells], axis=1),
        output_levels=(output.level,),
        output_scales=(plan.scale_of(output.number),),
        predicted_logit_error=noise,
    )
    report = {
        "least_gap": keeping.least_gap,
        "deviation": keeping.deviation,
        "predicted_noise": noise,
        "levels": keeping.levels,
        "log2_qp": plan.params.log2_qp,
        "poly_modulus_degree": plan.params.poly_modulus_degree,
        "rotations": plan.rotations,
        "keys": len(plan.key_manifest.galois_elements) + int(plan.key_manifest.relinearize),
    }
    return Bundle(client=client, server=ServerSpec(bundle_id=bundle_id, plan=plan), report=report)


def planned_keeping(
    lines: int,
    columns: int,
    kernel: int,
    shifts: tuple[tuple[int, int], ...],
    *,
    least_gap: float,
    deviation: float = 0.125,
) -> tuple[Keeping, Bundle]:
    """The keeping of a grid in the smallest ring that decides scores `least_gap` apart with bits within `deviation` of
    0 or 1, noise included, and the bundle with the largest primes that fit.

    The sign has the fewest levels that do it. Raises: ConfigError where no ring does, naming the field.
    """
    if not (is_number(least_gap) and 0 < least_gap < 1):
        raise ConfigError("least_gap", least_gap, "a number between 0 and 1")
    if not (is_number(deviation) and 0 < deviation < 0.5):
        raise ConfigError("deviation", deviation, "a number between 0 and 0.5, where bits can still be told apart")
    impossible = ConfigError("least_gap", least_gap, "a larger one: no ring has the levels and the precision for it")
    for degree in RING_DEGREES:
        try:
            grid = PairGrid(lines, columns, kernel, shifts, degree // 2)
        except SlotOverflowError:
            continue
        keeping = _keeping(grid, least_gap, deviation)
        if keeping is None:
            break
        for bits in PRIME_BITS:
            try:
                bundle = keeping_bundle(keeping, bits)
            except InsecureParametersError:
                continue
            if keeping.deviation + bundle.client.predicted_logit_error <= deviation:
                return keeping, bundle
    raise impossible


def _keeping(grid: PairGrid, least_gap: float, deviation: float) -> Keeping | None:
    """With the cheapest sign for a gap and a deviation; None where no sign is so sharp."""
    most = int(grid.neighbours.sum(axis=0).max())
    for_sign = 2 * ((1 + deviation * SIGN_SHARE) ** (1 / max(most, 1)) - 1)
    gap = least_gap / (2 + least_gap)  # what is left of it beside the bias of ties
    try:
        return Keeping(grid, cheapest_sign(gap, for_sign, most=1.0, tolerance=TOLERANCE))
    except ConfigError:
        return None


def keeping_params(keeping: Keeping, bits: float) -> Params:
    """Parameters for the levels of a keeping, with primes of `bits` bits and hybrid key switches.

    Raises: InsecureParametersError where the ring has no room for them.
    """
    whole, rest = divmod(1 + keeping.levels, DIGIT)
    digits = (DIGIT,) * whole + ((rest,) if rest else ())
    primes = [LAST_BITS, *[bits] * keeping.levels]
    params = make_params(2 * keeping.grid.slots, primes, [SPECIAL_BITS] * SPECIALS, digits)
    check_security(params)
    return params


def _noise(plan: Plan, keeping: Keeping) -> float:
    """The largest standard deviation over cells of the noise of an answer, simulated on random scores."""
    rng = np.random.default_rng(0)
    scores = rng.random((NOISE_SCENES, keeping.grid.lines, keeping.grid.columns))
    packed: list[NDArray[np.float64]] = [np.stack([keeping.grid.pack(one) for one in scores])]
    exact, noisy = (np.real(run_clear(plan, packed, noise_seed=seed)[0]) for seed in (None, 0))
    apart = (noisy - exact)[:, keeping.grid.cell_slots]
    return float(np.sqrt((apart**2).mean(axis=0)).max())
