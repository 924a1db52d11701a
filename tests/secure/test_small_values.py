"""Outputs far below one, and errors far below the outputs: SEAL takes the plan, and the bound holds."""

import numpy as np
import pytest

from compress.network import Dense, Input, Network, Polynomial, Weights
from secure.compiling.compile import compile_network
from secure.kernels.counts import KernelTimes
from secure.limits import Limits
from secure.parties.client import Client
from secure.parties.server import Server
from secure.verify.roundtrip import clear_outputs

TIMES = KernelTimes(butterfly_ns=1.0, product_ns=3.0, addition_ns=1.0, call_us=1.0)
CURVE = np.array([[0.1], [0.5], [0.25]])


def network(size, *, curved, seed=0):
    """Three features to one output of magnitude `size`."""
    rng = np.random.default_rng(seed)
    nodes = [Input(name="x", inputs=(), shape=(3,))]
    if curved:
        nodes.append(Polynomial(name="act", inputs=("x",), shape=(3,), coefficients=CURVE))
    weights = Weights(rng.normal(size=(1, 3)) * size, np.array(1.0))
    nodes.append(Dense(name="fc", inputs=(nodes[-1].name,), shape=(1,), weights=weights, bias=np.ones(1) * size / 10))
    return Network(nodes=tuple(nodes)), rng.random((16, 3))


def assert_answers_within_the_bound(bundle, images):
    client, server = Client(bundle.client), Server(bundle.server)
    server.register(client.evaluation_key)
    found = np.array([client.decrypt(server.run(client.encrypt(image))).ravel() for image in images])
    assert np.abs(found - clear_outputs(bundle, images)).max() <= bundle.client.predicted_logit_error


@pytest.mark.parametrize("curved", [False, True])
@pytest.mark.parametrize("size", [1.0, 0.1, 0.01, 1e-6])
def test_small_outputs_compile_to_what_seal_takes(size, curved):
    small, images = network(size, curved=curved)
    bundle = compile_network(small, images, times=TIMES)
    rms = np.sqrt(np.mean(small.run(images) ** 2))
    assert bundle.client.predicted_logit_error <= 0.05 * rms
    assert_answers_within_the_bound(bundle, images[:3])


def test_a_small_stage_before_a_square_leaves_its_scale_room():
    rng = np.random.default_rng(1)
    tiny = Weights(rng.normal(size=(4, 6)) * 1e-4, np.array(1.0))
    large = Weights(rng.normal(size=(2, 4)) * 1e4, np.array(1.0))
    nodes = (
        Input(name="x", inputs=(), shape=(6,)),
        Dense(name="a", inputs=("x",), shape=(4,), weights=tiny, bias=np.full(4, 1e-4)),
        Polynomial(name="s", inputs=("a",), shape=(4,), coefficients=np.array([[0.0], [0.0], [1.0]])),
        Dense(name="b", inputs=("s",), shape=(2,), weights=large, bias=np.zeros(2)),
    )
    images = rng.random((16, 6))
    small = Network(nodes=nodes)
    bundle = compile_network(small, images, times=TIMES, limits=Limits(max_error=0.1 * np.abs(small.run(images)).max()))
    assert_answers_within_the_bound(bundle, images[:3])


@pytest.mark.parametrize("share", [1e-1, 1e-2, 1e-3])
def test_a_smaller_error_that_is_asked_for_is_reached(share):
    small, images = network(1.0, curved=False)
    wanted = share * float(np.sqrt(np.mean(small.run(images) ** 2)))
    assert (
        compile_network(small, images, times=TIMES, limits=Limits(max_error=wanted)).client.predicted_logit_error
        <= wanted
    )
