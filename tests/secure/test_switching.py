"""Key switches with keys of our own: exact in integers, and as noisy as the formula says, for digits of any size."""

from dataclasses import replace

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
        # With one digit the error is a product of two random polynomials. In slots, it is one of complex Gaussian
        # numbers, so the sum of N / 2 squares scatters by sqrt(2.4 / 4096) and their root by 1.2 % of itself.
        assert errors[0].std() == pytest.approx(formula, rel=0.08)
        # The first slots make up nearly all of the mean, so it has the tail of one product, exp(-sqrt(2) t): one run of
        # all chains in a hundred would exceed 5. Digits that are not centred make it a hundredfold.
        assert abs(errors[0].mean()) < 12 * formula / np.sqrt(params.poly_modulus_degree)


def layered(params, layers):
    """Baby steps, products of extended values, giants, a square, and a rescale that divides jointly, level by level."""
    rng, builder, value = np.random.default_rng(0), Builder(params), 0
    for _ in range(layers):
        turned = [builder.rotate(value, step) for step in (1, 2, 3)]
        total = builder.multiply_plain(value, rng.uniform(-1, 1, params.slots), 2.0**10)
        for one in turned:
            total = builder.add(total, builder.multiply_plain(one, rng.uniform(-1, 1, params.slots), 2.0**10))
        total = builder.add_plain(builder.add(builder.rotate(total, 16), total), rng.uniform(-1, 1, params.slots))
        value = builder.rescale(builder.relinearize(builder.square(total)))
    return builder.build(value)


HYBRID_CHAINS = ["8192, a digit of two", "16384, two special primes", "16384, three special primes"]


@pytest.mark.parametrize("chain", HYBRID_CHAINS)
def test_two_threads_give_the_same_residues(chain):
    params = params_of(chain)
    party = OwnParty(layered(params, params.levels - 1))
    value = party.random_value()
    one, two = party.run(value), party.run(value, threads=2)
    assert all(np.array_equal(first, second) for first, second in zip(one, two, strict=True))


@pytest.mark.parametrize("chain", HYBRID_CHAINS)
def test_layers_of_a_hybrid_plan_are_those_with_one_special_prime_but_for_noise(chain):
    """Both start from the same message without noise. The scale grows, so lower levels would not hold the errors."""
    params = params_of(chain)
    message, phases = np.random.default_rng(1).uniform(-0.2, 0.2, params.slots), []
    for one in (params, replace(params, more_special_primes=(), digits=())):
        party = OwnParty(layered(one, (params.levels - 1) // 2))
        encoded = party.engine.encode(message, params.levels, party.plan.input_scale, False)
        phases.append(party.phase(party.run(party.hidden(encoded))[0]))  # c1 = 0 would leave nothing to switch
    errors = party.coefficients(phases[0] - phases[1])
    assert (errors == errors[0]).all() and errors.any()  # one small whole number modulo all primes
    in_slots = errors[0].std() * np.sqrt(params.poly_modulus_degree) / party.plan.scale_of(party.plan.outputs[0])
    assert in_slots < 0.1  # of values around one
