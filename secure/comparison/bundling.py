"""Keep bits of a grid for two parties: the client encrypts scores, the server selects without seeing them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compress.errors import ConfigError
from secure.bundle.files import plan_digest
from secure.bundle.specs import Bundle, ClientSpec, ServerSpec
from secure.comparison.keeping import Keeping
from secure.comparison.planning import PlanOperations
from secure.evaluators.clear import run_clear
from secure.params import Params, check_security, make_params
from secure.plan import Plan

#: Bits of the last prime, which holds the answer, and of a special prime; data primes of a digit, and special primes.
LAST_BITS, SPECIAL_BITS, DIGIT, SPECIALS = 50, 50, 3, 3
#: Bits of the other primes, which are those of the scale too.
SCALE_BITS = 44.0
#: Scenes that the noise is simulated on, and how many standard deviations its bound adds.
NOISE_SCENES, DEVIATIONS = 4, 6.0


def keeping_bundle(keeping: Keeping, bits: float = SCALE_BITS) -> Bundle:
    """What both parties need to know: the client sends a grid of scores in [0, 1], the answer is a grid of keep bits.

    bits: of the scale and the primes. The client's `predicted_logit_error` bounds the noise of a keep bit; how far a
    bit without noise is from 0 or 1 is `keeping.deviation`. The report holds both.
    Raises: InsecureParametersError where the ring has no room for the levels; ConfigError where `most` of the sign is
    below 1.
    """
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
