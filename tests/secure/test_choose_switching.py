"""The compiler's choice of special primes and digits: faster, no noisier, secure, and only where it is allowed."""

from dataclasses import replace
from math import inf, log2

import numpy as np
import pytest

from compress.network import Dense, Input, Network, Polynomial, Weights
from secure.compiling.compile import compile_network
from secure.compiling.search import START
from secure.compiling.switching import least_key_bytes, plan_milliseconds, switching_choices, with_best_switching
from secure.drafting.draft import Draft, Evidence
from secure.kernels.counts import KernelTimes
from secure.noise import centred_key_switch_variance
from secure.params import check_security, make_params
from secure.parties.client import Client
from secure.parties.server import Server
from secure.passes.choose_parameters import room_bits
from secure.plan import KeyManifest
from secure.seal.sizes import client_keys_bytes
from secure.stages.stages import network_stages, run_stages
from tests.secure.plans import SMALL, Builder, baby_giant_plan

DEEP = make_params(16384, [38, *[34] * 8], 38)
#: Of the machine of the committed kernel times, rounded.
TIMES = KernelTimes(butterfly_ns=0.34, product_ns=0.54, addition_ns=0.07, call_us=9.0)
KEYS = KeyManifest((3,), False, (2,))


def rotations(params, count=6):
    builder = Builder(params)
    total = builder.rotate(0, 1)
    for steps in range(2, count + 1):
        total = builder.add(builder.rotate(total, steps), 0)
    return builder.build(total)


def draft_of(plan, **fields):
    return Draft(stages=(), evidence=Evidence((), ()), choice=START, params=plan.params, plan=plan, **fields)


@pytest.mark.parametrize(
    "params",
    [DEEP, make_params(16384, [38.2, 46.7, 47.3, 50, 41.4], 50), make_params(32768, [50, *[36] * 19], 50)],
    ids=["nine levels", "lenet5", "twenty levels"],
)
def test_every_choice_is_secure_and_no_noisier_at_any_level(params):
    choices = list(switching_choices(params, KEYS))
    assert len(choices) >= 4 and {len(one.special_primes) for one in choices} == {2, 3}
    for one in choices:
        check_security(one)
        assert one.data_primes == params.data_primes and one.fits_engine and not one.fits_seal
        for level in range(1, params.levels + 1):
            before, after = (centred_key_switch_variance(each, level) for each in (params, one))
            assert after <= 1.02 * before


def test_a_ring_without_room_has_no_other_choice():
    assert list(switching_choices(SMALL, KEYS)) == []
    assert list(switching_choices(make_params(8192, [44, 46, 50], 50), KEYS)) == []


def test_small_primes_share_a_digit_under_one_special_prime():
    choices = list(switching_choices(make_params(8192, [24, 24, 24], 30), KEYS))
    assert [len(one.special_primes) for one in choices if one.digits == (2, 1)] == [2]
    with_room = list(switching_choices(make_params(8192, [24, 24, 24], 24), KEYS))
    assert (2, 1) in [one.digits for one in with_room if len(one.special_primes) == 1]


def test_a_deep_plan_gets_the_fastest_choice_and_smaller_keys():
    plan = rotations(DEEP)
    found = with_best_switching(draft_of(plan), TIMES)
    best = min(
        (replace(plan, params=params) for params in switching_choices(DEEP, plan.key_manifest)),
        key=lambda other: plan_milliseconds(other, TIMES),
    )
    assert found.plan.params == found.params == best.params and found.params.is_hybrid
    assert plan_milliseconds(found.plan, TIMES) < 0.7 * plan_milliseconds(plan, TIMES)
    keys = [client_keys_bytes(one.params, one.made_keys) for one in (found.plan, plan)]
    assert keys[0] < 0.6 * keys[1]


@pytest.mark.parametrize(
    "what", ["both backends", "few levels", "no gain", "no keys", "keys too large", "large primes"]
)
def test_a_plan_stays_as_it_is_where_another_choice_is_not_allowed_or_gains_nothing(what):
    plan, fields, most = rotations(DEEP), {}, inf
    match what:
        case "both backends":
            fields = {"both_backends": True}
        case "few levels":
            plan = baby_giant_plan()
        case "no gain":
            builder = Builder(DEEP)
            value = 0
            for _ in range(8):
                value = builder.drop(value)
            plan = builder.build(builder.rotate(value, 1))
        case "no keys":
            builder = Builder(DEEP)
            plan = builder.build(builder.multiply_plain(0, np.ones(DEEP.slots), 2.0**10))
        case "keys too large":
            most = 1e4
        case "large primes":
            plan = rotations(make_params(16384, [60, *[34] * 8], 60))
    assert with_best_switching(draft_of(plan, **fields), TIMES, most).plan is plan


def test_a_limit_on_keys_takes_a_slower_choice_where_only_it_keeps_to_the_limit():
    params = make_params(8192, [47, 50], 50)
    plan = rotations(params)
    kept = with_best_switching(draft_of(plan), TIMES).plan
    assert kept is plan
    had = client_keys_bytes(params, plan.made_keys)
    least = least_key_bytes(params, plan.key_manifest)
    assert least < 0.7 * had == 0.7 * least_key_bytes(params, plan.key_manifest, both_backends=True)
    limited = with_best_switching(draft_of(plan), TIMES, 0.8 * had).plan
    assert limited.params.digits == (2,) and client_keys_bytes(limited.params, limited.made_keys) == least
    assert plan_milliseconds(limited, TIMES) > 0.95 * plan_milliseconds(plan, TIMES)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize(
    "params",
    [DEEP, make_params(32768, [50, *[36] * 19], 50), make_params(32768, [31, 31, 33, *[37] * 13, 41, 38, 22], 49)],
    ids=["nine levels", "twenty levels", "the largest prime near the top"],
)
def test_the_room_that_a_deep_draft_leaves_is_what_digits_of_this_size_need(params, size):
    choices = [one for one in switching_choices(params, KEYS) if max(one.digits) == size]
    needed = min(log2(one.special_modulus / params.special_modulus) for one in choices)
    room = room_bits(size, [log2(prime) for prime in params.data_primes])
    assert room - 1.2 < needed <= room
    assert room_bits(1, [40.0, 36.0]) == 0


@pytest.mark.slow
def test_a_deep_network_is_compiled_with_hybrid_key_switches_and_runs():
    rng, width = np.random.default_rng(0), 4
    nodes, last = [Input(name="x", inputs=(), shape=(width,))], "x"
    for number in range(11):
        turned = Weights(np.linalg.qr(rng.normal(size=(width, width)))[0], np.array(1.0))
        dense, square = f"dense{number}", f"square{number}"
        shape, bias, curve = (width,), np.zeros(width), np.array([[0.0], [0.9], [0.15]])
        nodes.append(Dense(name=dense, inputs=(last,), shape=shape, weights=turned, bias=bias))
        nodes.append(Polynomial(name=square, inputs=(dense,), shape=shape, coefficients=curve))
        last = square
    network, inputs = Network(nodes=tuple(nodes)), rng.uniform(-1, 1, (100, width))
    bundle = compile_network(network, inputs, times=TIMES)
    params = bundle.server.plan.params
    assert params.is_hybrid and params.levels >= 11 and bundle.report["special_primes"] == len(params.special_primes)
    client, server = Client(bundle.client), Server(bundle.server)
    server.register(client.evaluation_key.to_bytes())
    for row in inputs[:3]:
        clear = run_stages(network_stages(network), row[None])[1][-1][:, 0]
        assert (
            np.abs(client.decrypt(server.run(client.encrypt(row))) - clear).max() < bundle.client.predicted_logit_error
        )
