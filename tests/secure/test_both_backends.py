"""Plans that the engine and SEAL can both run, and networks that have none."""

import numpy as np
import pytest

from compress.errors import PrecisionError
from secure.compiling.compile import compile_network
from secure.kernels.counts import TYPICAL_TIMES
from secure.limits import Limits
from secure.noise import planned_baby_variance, planned_key_switch_variance
from secure.params import make_params
from secure.verify.roundtrip import encrypted_outputs
from tests.secure.random_networks import network, rows

SIZES = (12, 8, 3)


def compiled(seed, sizes=SIZES, **limits):
    inputs = rows("plain", 512, sizes[0], seed)
    made = network(sizes, inputs, seed)
    return made, compile_network(made, inputs, times=TYPICAL_TIMES, limits=Limits(**limits))


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_a_plan_for_both_backends_keeps_its_bound_under_each(seed):
    _, fastest = compiled(seed, max_disagreement=0.02)
    assert not fastest.client.params.fits_seal  # else this network shows nothing
    made, bundle = compiled(seed, max_disagreement=0.02, backends="both")
    params, spec = bundle.client.params, bundle.client
    assert params.fits_engine and params.fits_seal
    assert bundle.report["backend"] == "engine"
    inputs = np.clip(rows("plain", 12, SIZES[0], seed + 100), spec.input_low, spec.input_high)
    for backend in ("engine", "seal"):
        outputs, _ = encrypted_outputs(bundle, inputs, lambda label, share: None, backend=backend)
        assert np.abs(outputs - made.run(inputs)).max() <= spec.predicted_logit_error


def test_a_precision_that_no_plan_for_both_reaches_is_refused_with_the_way_out():
    advice = "with --backends fastest larger primes are tried too"
    with pytest.raises(PrecisionError, match=advice):
        compiled(0, (6, 3), max_error=1e-30, backends="both")
    with pytest.raises(PrecisionError, match="allow more with --max-error$"):
        compiled(0, (6, 3), max_error=1e-30)


def test_errors_of_a_plan_for_both_are_those_of_seal():
    params = make_params(8192, [40, 40], 45)
    for variance in (planned_key_switch_variance, planned_baby_variance):
        assert variance(params, 2, under_seal=True) > variance(params, 2)
    large = make_params(8192, [52, 40], 57)
    assert planned_key_switch_variance(large, 2, under_seal=True) == planned_key_switch_variance(large, 2)
