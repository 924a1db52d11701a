"""What a request costs beside its plan, and that a search for the shortest round trip counts it."""

from dataclasses import replace

import numpy as np
import pytest

from compress.errors import ConfigError
from compress.network import Conv, Dense, Input, Network, Polynomial, Reshape, Weights
from secure.compiling.compile import compile_network
from secure.kernels.counts import TYPICAL_TIMES
from secure.kernels.requests import TYPICAL_PRICES, TYPICAL_REQUEST_TIMES, RequestPrices, RequestTimes, StepTimes
from secure.limits import DEFAULT_LINK_MBIT_S, Limits
from secure.params import ENGINE_PRIME_BITS, MAX_PRIME_BITS, make_params
from secure.parties.client import Client
from secure.parties.server import Server
from secure.seal.sizes import ciphertext_bytes
from tests.secure.plans import SMALL, Builder

FREE = StepTimes(ciphertext_us=0, coefficient_ns=0, residue_ns=0)


def times(**steps):
    return RequestTimes(**{name: steps.get(name, FREE) for name in RequestTimes.__dataclass_fields__})


def one_ms():
    return StepTimes(ciphertext_us=1000, coefficient_ns=0, residue_ns=0)


def test_a_step_takes_time_by_ciphertexts_coefficients_and_residues():
    step = StepTimes(ciphertext_us=100, coefficient_ns=10, residue_ns=1)
    assert step.milliseconds(3, 2, 1000) == pytest.approx(3 * (0.1 + 1000 * (10 + 2 * 1) * 1e-6))


def test_bytes_take_their_time_on_the_link():
    assert RequestPrices(times=times(), link_mbit_s=100.0).link_milliseconds(1_250_000) == pytest.approx(100.0)
    assert RequestPrices(times=times(), link_mbit_s=10.0).link_milliseconds(1_250_000) == pytest.approx(1000.0)


def plan(params, inputs=2):
    builder = Builder(params=params, inputs=inputs)
    builder.add(0, 1)
    return builder.build(inputs, 0)


def test_every_step_of_a_plan_is_counted_once():
    """Two inputs and two outputs; a millisecond per ciphertext and step."""
    prices = RequestPrices(
        times=times(encrypt=one_ms(), load=one_ms(), write=one_ms(), decrypt=one_ms()), link_mbit_s=8
    )
    cost = prices.plan_cost(plan(SMALL))
    steps = (cost.client_encrypt_ms, cost.load_ms, cost.write_ms, cost.client_decrypt_ms)
    assert steps == pytest.approx((2, 2, 2, 2))
    assert cost.upload_bytes == 2 * ciphertext_bytes(SMALL, 2, seeded=True)
    assert cost.download_bytes == 2 * ciphertext_bytes(SMALL, 2, seeded=False)
    assert cost.upload_ms == pytest.approx(cost.upload_bytes / 1e3)  # 8 Mbit/s are a byte in a microsecond
    assert cost.milliseconds == pytest.approx(8 + (cost.upload_bytes + cost.download_bytes) / 1e3)


def test_seal_is_priced_where_its_primes_run():
    prices = RequestPrices(times=times(seal_encrypt=one_ms(), seal_load=one_ms(), seal_write=one_ms()), link_mbit_s=8)
    own, large = plan(SMALL), plan(make_params(8192, [55, 40], 60))
    assert prices.plan_cost(own).client_encrypt_ms == 0
    cost = prices.plan_cost(large)
    assert (cost.client_encrypt_ms, cost.load_ms, cost.write_ms) == pytest.approx((2, 2, 2))
    sent = [prices.input_milliseconds(1, 2, 8192, bits) for bits in (ENGINE_PRIME_BITS, MAX_PRIME_BITS)]
    back = [prices.output_milliseconds(1, 2, 8192, bits) for bits in (ENGINE_PRIME_BITS, MAX_PRIME_BITS)]
    assert sent[1] - sent[0] == pytest.approx(2)
    assert back[1] - back[0] == pytest.approx(1)


def test_the_estimate_before_primes_are_chosen_is_near_the_price_after():
    params = make_params(8192, [43, 43, 43], 50)
    cost = TYPICAL_PRICES.plan_cost(plan(params))
    before = TYPICAL_PRICES.input_milliseconds(2, 3, 8192, ENGINE_PRIME_BITS)
    assert before == pytest.approx(cost.client_encrypt_ms + cost.upload_ms + cost.load_ms, rel=0.02)


def test_the_estimate_follows_the_room_of_a_small_ring():
    """Three primes and a special one share 106 bits: 26 each, in four bytes."""
    params = make_params(4096, [26, 26, 26], 28)
    cost = TYPICAL_PRICES.plan_cost(plan(params))
    before = TYPICAL_PRICES.input_milliseconds(2, 3, 4096, ENGINE_PRIME_BITS)
    assert before == pytest.approx(cost.client_encrypt_ms + cost.upload_ms + cost.load_ms, rel=0.02)


@pytest.mark.parametrize("objective", ["latency", "", 3])
def test_another_objective_is_refused(objective):
    with pytest.raises(ConfigError, match="objective.*server, round-trip"):
        Limits(objective=objective)


@pytest.mark.parametrize("speed", [0, -1.0, float("inf"), float("nan")])
def test_a_link_without_a_speed_is_refused(speed):
    with pytest.raises(ConfigError, match="link_mbit_s.*above 0"):
        Limits(link_mbit_s=speed)


def convolution():
    """A convolution of 3 x 3 over 3 x 16 x 16, a square and two outputs; and images for it."""
    random = np.random.default_rng(0)

    def weights(*shape):
        return Weights(random.normal(size=shape) / np.sqrt(np.prod(shape[1:])), np.array(1.0))

    planes, flat, one = (4, 16, 16), 4 * 16 * 16, (1, 1)
    nodes = (
        Input(name="x", inputs=(), shape=(3, 16, 16)),
        Conv(name="conv", inputs=("x",), shape=planes, weights=weights(4, 3, 3, 3), bias=np.zeros(4), stride=one,
             padding=one, dilation=one, groups=1),
        Polynomial(name="act", inputs=("conv",), shape=planes, coefficients=np.array([[0.1], [0.5], [0.25]])),
        Reshape(name="flat", inputs=("act",), shape=(flat,)),
        Dense(name="fc", inputs=("flat",), shape=(2,), weights=weights(2, flat), bias=np.zeros(2)),
    )  # fmt: skip
    return Network(nodes=nodes), random.random((24, 3, 16, 16))


@pytest.fixture(scope="module")
def bundles():
    network, images = convolution()
    made = {
        objective: compile_network(network, images, times=TYPICAL_TIMES, limits=Limits(objective=objective))
        for objective in (None, "round-trip")
    }
    return network, images, made


def test_a_round_trip_sends_fewer_ciphertexts(bundles):
    _, _, made = bundles
    server, trip = made[None].report, made["round-trip"].report
    assert (server["objective"], trip["objective"]) == ("server", "round-trip")
    assert trip["input_ciphertexts"] == 1 < server["input_ciphertexts"]
    assert trip["predicted_round_trip_ms"] < 0.7 * server["predicted_round_trip_ms"]
    assert trip["request"]["upload_bytes"] < 0.5 * server["request"]["upload_bytes"]
    assert server["predicted_server_ms"] <= trip["predicted_server_ms"]


def test_the_report_states_every_step(bundles):
    for bundle in bundles[2].values():
        report, prices = bundle.report, RequestPrices(times=TYPICAL_REQUEST_TIMES, link_mbit_s=DEFAULT_LINK_MBIT_S)
        cost = prices.plan_cost(bundle.server.plan)
        assert report["request"]["client_encrypt_ms"] == cost.client_encrypt_ms
        assert report["request"]["load_ms"] == cost.load_ms
        assert report["request"]["link_mbit_s"] == DEFAULT_LINK_MBIT_S
        assert report["predicted_round_trip_ms"] == pytest.approx(report["predicted_server_ms"] + cost.milliseconds)
        assert "from input to answer (predicted)" in bundle.explain()


def test_the_plan_of_the_shortest_round_trip_is_right(bundles):
    network, images, made = bundles
    bundle = made["round-trip"]
    client, server = Client(bundle.client), Server(bundle.server)
    server.register(client.evaluation_key)
    for image in images[:2]:
        found = client.decrypt(server.run(client.encrypt(image)))
        assert np.abs(found - network.run(image[None])[0]).max() <= bundle.client.predicted_logit_error


def test_bytes_of_a_request_are_those_predicted(bundles):
    for bundle in bundles[2].values():
        request = Client(bundle.client).encrypt(bundles[1][0])
        assert len(request) == pytest.approx(bundle.report["request"]["upload_bytes"], rel=0.05)


def test_on_a_fast_link_with_a_free_client_server_time_decides(bundles):
    network, images, made = bundles
    limits = Limits(objective="round-trip", link_mbit_s=1e9)
    found = compile_network(network, images, times=TYPICAL_TIMES, request_times=times(), limits=limits)
    assert found.report["predicted_server_ms"] == pytest.approx(made[None].report["predicted_server_ms"], rel=0.01)


def test_a_replaced_objective_keeps_the_other_limits():
    limits = replace(Limits(upload_bytes=1e5), objective="round-trip")
    assert (limits.upload_bytes, limits.link_mbit_s) == (1e5, DEFAULT_LINK_MBIT_S)
