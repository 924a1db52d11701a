"""Key switches with keys of our own: exact in integers, and as noisy as the formula says, for digits of any size."""

import numpy as np
import pytest

from secure.noise import centred_key_switch_variance
from secure.params import check_security, make_params
from tests.secure.own_keys import OwnParty
from tests.secure.plans import Builder

#: (N, bits of data primes, bits of special primes, digits); the last digits of lower levels are cut short.
CHAINS = {
    "8192, one prime": (8192, [40, 40], [44], ()),
    "8192, a digit of two": (8192, [30, 30, 30], [34, 34], (2, 1)),
    "8192, a digit of two, one special prime": (8192, [24, 23, 40], [49], (2, 1)),
    "16384, two special primes": (16384, [40, 36, 36, 36, 36], [42, 42], (2, 2, 1)),
    "16384, two special primes, digits of one": (16384, [40, 36, 36], [22, 22], ()),
    "16384, three special primes": (16384, [40, 36, 36, 36, 36], [42, 41, 40], (3, 2)),
    "32768, three special primes": (32768, [42, 44, 36, 36, 36, 36], [40, 40, 40], (2, 3, 1)),
}


def params_of(chain):
    degree, data, special, digits = CHAINS[chain]
    params = make_params(degree, data, special, digits)
    check_security(params)
    return params


def rotations_at_every_level(params, steps=5):
    builder, value, outputs = Builder(params), 0, []
    for level in range(params.levels, 0, -1):
        outputs.append(builder.rotate(value, steps))
        value = builder.drop(value) if level > 1 else value
    return builder.build(*outputs)


@pytest.mark.parametrize("chain", CHAINS)
def test_a_rotation_is_exact_but_for_the_noise_of_the_formula_at_every_level(chain):
    params = params_of(chain)
    party = OwnParty(rotations_at_every_level(params))
    value = party.random_value()
    wanted = party.moved(party.phase(value), 5)
    for output in party.run(value):
        level = output.shape[1]
        errors = party.coefficients(party.phase(output) - wanted[:level])
        # one small whole number modulo all primes: nothing but noise was added
        assert (errors == errors[0]).all()
        formula = np.sqrt(centred_key_switch_variance(params, level) / params.poly_modulus_degree)
        assert errors[0].std() == pytest.approx(formula, rel=0.05)
        assert abs(errors[0].mean()) < 5 * formula / np.sqrt(params.poly_modulus_degree)
