"""Inputs at the edge of the accepted range: which ones the modulus is chosen for, and that they are answered."""

import numpy as np
import pytest

from compress.network import Dense, Input, Network, Polynomial, Weights
from compress.robust import InputRange, input_range
from secure.bounds.edges import INPUTS_PER_END, MOST_EDGES, ROW_STRETCH, STRETCHED_ROWS, edge_inputs
from secure.bounds.headroom import EDGE_CREDIT_BITS
from secure.compiling.compile import compile_network
from secure.kernels.counts import TYPICAL_TIMES
from secure.parties.client import Client
from secure.parties.server import Server
from secure.passes.chains import HEADROOM_BITS
from secure.verify.roundtrip import clear_outputs
from secure.verify.worst_case import Fullness


def test_every_feature_alone_is_brought_to_either_end():
    rng = np.random.default_rng(1)
    flat = rng.normal(size=(50, 4))
    low, high = np.full(4, -9.0), np.full(4, 8.0)
    edges = edge_inputs(flat, low, high, np.ones(4), channels=0)
    assert len(edges) == 8 * INPUTS_PER_END + STRETCHED_ROWS - 14  # only 50 rows can be stretched
    for feature in range(4):
        for end, nearest in ((low, flat[:, feature].argmin()), (high, flat[:, feature].argmax())):
            wanted = flat[nearest].copy()
            wanted[feature] = end[feature]
            assert (edges == wanted).all(axis=1).any()
            assert (edges[:, feature] == end[feature]).sum() == INPUTS_PER_END


def test_rows_are_stretched_about_the_mean_and_stay_in_the_range():
    rng = np.random.default_rng(2)
    flat = rng.normal(size=(50, 4))
    mean, ends = flat.mean(axis=0), np.full(4, 3.0)
    stretched = edge_inputs(flat, -ends, ends, np.ones(4), channels=0)[-50:]
    furthest = np.argsort(((flat - mean) ** 2).sum(axis=1))
    np.testing.assert_allclose(stretched, np.clip(mean + ROW_STRETCH * (flat[furthest] - mean), -3, 3))


def test_of_many_features_those_that_move_the_network_most_are_taken():
    rng = np.random.default_rng(3)
    flat = rng.normal(size=(100, 200))
    weight = np.where(np.arange(200) < 20, 1.0, 1e-3)
    edges = edge_inputs(flat, np.full(200, -9.0), np.full(200, 9.0), weight, channels=0)
    assert len(edges) == MOST_EDGES
    moved = [int(np.flatnonzero(np.abs(row) == 9.0)[0]) for row in edges[:-STRETCHED_ROWS]]
    assert set(range(20)) <= set(moved)


def test_images_are_stretched_until_every_channel_fills_its_range():
    rng = np.random.default_rng(4)
    flat = rng.uniform(0, 1, size=(100, 2 * 9))
    flat[:, 9:] *= 10
    low, high = np.repeat([-1.0, -2.0], 9), np.repeat([2.0, 12.0], 9)
    edges = edge_inputs(flat, low, high, np.ones(18), channels=2)
    mean = flat.mean(axis=0)
    widths = [np.ptp(flat[:, :9]), np.ptp(flat[:, 9:])]
    stretch = np.repeat([3 / widths[0], 14 / widths[1]], 9)
    furthest = np.argsort(((flat - mean) ** 2).sum(axis=1))[-STRETCHED_ROWS:]
    np.testing.assert_allclose(edges, np.clip(mean + stretch * (flat[furthest] - mean), low, high))


def test_edges_need_less_headroom_than_calibration_inputs_but_some():
    assert 0 < EDGE_CREDIT_BITS < HEADROOM_BITS


def network(features):
    """One square; the first feature alone decides nearly everything, so that its end is far outside."""
    rng = np.random.default_rng(5)
    first = rng.normal(size=(8, features)) / features
    first[:, 0] = 1.0
    nodes = [
        Input(name="x", inputs=(), shape=(features,)),
        Dense(name="fc", inputs=("x",), shape=(8,), weights=Weights(first, np.array(1.0)), bias=np.zeros(8)),
        Polynomial(name="act", inputs=("fc",), shape=(8,), coefficients=np.array([[0.0], [0.3], [0.5]])),
        Dense(
            name="out", inputs=("act",), shape=(3,), weights=Weights(rng.normal(size=(3, 8)), np.array(1.0)),
            bias=np.zeros(3),
        ),
    ]  # fmt: skip
    return Network(nodes=tuple(nodes))


@pytest.mark.parametrize("reach", [1.0, 8.0])
def test_an_accepted_feature_at_its_end_is_answered_and_does_not_wrap(reach):
    rng = np.random.default_rng(6)
    made, images = network(6), rng.normal(size=(200, 6))
    found = input_range(images)
    accepted = InputRange(reach * found.low, reach * found.high)
    bundle = compile_network(made, images, times=TYPICAL_TIMES, accepted=accepted)
    np.testing.assert_array_equal(bundle.client.input_high, accepted.high)
    edges = np.repeat(images[:12], 2, axis=0)
    edges[::2, 0], edges[1::2, 0] = accepted.low[0], accepted.high[0]
    assert float(Fullness(bundle).values(edges).max()) < 0  # log2 of the largest coefficient over half of the modulus
    client, server = Client(bundle.client), Server(bundle.server)
    server.register(client.evaluation_key)
    answers = np.array([client.decrypt(server.run(client.encrypt(edge))) for edge in edges[:4]])
    largest = np.abs(clear_outputs(bundle, edges[:4])).max()
    assert np.abs(answers - made.run(edges[:4])).max() < 0.05 * largest


def test_a_wider_range_is_paid_for_in_the_modulus():
    rng = np.random.default_rng(7)
    made, images = network(6), rng.normal(size=(200, 6))
    found = input_range(images)
    bits = []
    for reach in (1.0, 30.0):
        bundle = compile_network(
            made, images, times=TYPICAL_TIMES, accepted=InputRange(reach * found.low, reach * found.high)
        )
        headroom = -float(Fullness(bundle).values(images).max())
        bits.append(headroom)
    assert bits[1] > bits[0] + 2  # calibration inputs leave more free, because the edges need it
