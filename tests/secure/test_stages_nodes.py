"""Nodes that gather, join, multiply and resample: stages equal the network, positions are kept, ciphertexts agree."""

import numpy as np
import pytest

from compress.network import (
    Add,
    AvgPool,
    AxisMap,
    Concat,
    Conv,
    ConvTranspose,
    Dense,
    Gather,
    Input,
    Multiply,
    Network,
    Polynomial,
    Range,
    Reshape,
    Weights,
)
from compress.network_file import network_bytes, network_from_bytes
from hwmodel.counts import plain_workload
from secure.compiling.compile import compile_network
from secure.kernels.counts import KernelTimes
from secure.limits import Limits
from secure.parties.client import Client
from secure.parties.server import Server
from secure.stages.stages import Grid, network_stages, run_stages
from secure.verify.roundtrip import clear_outputs

TIMES = KernelTimes(butterfly_ns=1.0, product_ns=3.0, addition_ns=1.0, call_us=1.0)


def weights(*shape):
    rng = np.random.default_rng(1)
    return Weights(rng.normal(size=shape) * 0.4, np.array(1.0))


def square(name, source, shape):
    return Polynomial(name=name, inputs=(source,), shape=shape, coefficients=np.array([[0.1], [0.5], [0.25]]))


def conv(name, source, shape, kernel, **options):
    plain = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    return Conv(
        name=name, inputs=(source,), shape=shape, weights=kernel, bias=np.ones(shape[0]), **{**plain, **options}
    )


def padded(shape, pad):
    """Indices of zero padding of the spatial axes."""
    flat = np.arange(int(np.prod(shape))).reshape(shape)
    return np.pad(flat, [(0, 0), *[(pad, pad)] * (len(shape) - 1)], constant_values=-1).ravel()


def closed(*nodes):
    size = nodes[-1].size
    flat = Reshape(name="flat", inputs=(nodes[-1].name,), shape=(size,))
    out = Dense(name="out", inputs=("flat",), shape=(3,), weights=weights(3, size), bias=np.zeros(3))
    return Network(nodes=(*nodes, flat, out))


def product_network(low=1.0):
    """Two layers of the input multiplied; the second one is `low` times as large."""
    rng = np.random.default_rng(2)
    second = Weights(rng.normal(size=(6, 5)) * low, np.array(1.0))
    return closed(
        Input(name="x", inputs=(), shape=(5,)),
        Dense(name="a", inputs=("x",), shape=(6,), weights=weights(6, 5), bias=np.ones(6)),
        Dense(name="b", inputs=("x",), shape=(6,), weights=second, bias=np.zeros(6)),
        Multiply(name="p", inputs=("a", "b"), shape=(6,)),
    )


def bilinear(length):
    """Twice the length, new positions halfway between the old ones."""
    matrix = np.zeros((2 * length, length))
    for i in range(2 * length):
        place = min(max((i + 0.5) / 2 - 0.5, 0.0), length - 1.0)
        low = min(int(place), length - 2)
        matrix[i, low], matrix[i, low + 1] = low + 1 - place, place - low
    return matrix


NETWORKS = {
    "slice and concatenation": closed(
        Input(name="x", inputs=(), shape=(8,)),
        Gather(name="left", inputs=("x",), shape=(5,), indices=np.arange(5)),
        Gather(name="right", inputs=("x",), shape=(3,), indices=np.array([7, -1, 2])),
        square("s", "left", (5,)),
        Concat(name="c", inputs=("s", "right", "left"), shape=(13,), axis=0),
    ),
    "zero padding before a convolution": closed(
        Input(name="x", inputs=(), shape=(2, 6, 6)),
        Gather(name="pad", inputs=("x",), shape=(2, 8, 8), indices=padded((2, 6, 6), 1)),
        conv("c", "pad", (3, 6, 6), weights(3, 2, 3, 3)),
        square("s", "c", (3, 6, 6)),
        AvgPool(name="p", inputs=("s",), shape=(3, 3, 3), kernel=(2, 2), stride=(2, 2), padding=(0, 0)),
    ),
    "branches joined along channels": closed(
        Input(name="x", inputs=(), shape=(2, 6, 6)),
        conv("a", "x", (3, 6, 6), weights(3, 2, 3, 3), padding=(1, 1)),
        conv("b", "x", (2, 6, 6), weights(2, 2, 1, 1)),
        Concat(name="c", inputs=("a", "b"), shape=(5, 6, 6), axis=0),
        square("s", "c", (5, 6, 6)),
        conv("d", "s", (2, 4, 4), weights(2, 5, 3, 3)),
        square("s2", "d", (2, 4, 4)),
    ),
    "product": product_network(),
    "product of very different factors": product_network(low=1e-3),
    "product of feature maps": closed(
        Input(name="x", inputs=(), shape=(2, 6, 6)),
        conv("a", "x", (3, 6, 6), weights(3, 2, 3, 3), padding=(1, 1)),
        conv("b", "x", (3, 6, 6), weights(3, 2, 1, 1)),
        Multiply(name="p", inputs=("a", "b"), shape=(3, 6, 6)),
    ),
    "transposed convolution": closed(
        Input(name="x", inputs=(), shape=(2, 8, 8)),
        conv("a", "x", (3, 4, 4), weights(3, 2, 2, 2), stride=(2, 2)),
        square("s", "a", (3, 4, 4)),
        ConvTranspose(
            name="t", inputs=("s",), shape=(2, 8, 8), weights=weights(3, 2, 3, 3), bias=np.array([0.1, -0.2]),
            stride=(2, 2), padding=(1, 1), dilation=(1, 1), groups=1,
        ),
        square("s2", "t", (2, 8, 8)),
    ),
    "bilinear, then the sum over an axis": closed(
        Input(name="x", inputs=(), shape=(2, 4, 4)),
        AxisMap(name="h", inputs=("x",), shape=(2, 8, 4), axis=1, matrix=bilinear(4)),
        AxisMap(name="w", inputs=("h",), shape=(2, 8, 8), axis=2, matrix=bilinear(4)),
        square("s", "w", (2, 8, 8)),
        AxisMap(name="sum", inputs=("s",), shape=(2, 1, 8), axis=1, matrix=np.ones((1, 8))),
    ),
    "the input as an image and as a sequence": closed(
        Input(name="x", inputs=(), shape=(2, 4, 4)),
        conv("a", "x", (2, 4, 4), weights(2, 2, 1, 1)),
        square("s", "a", (2, 4, 4)),
        Reshape(name="row", inputs=("x",), shape=(2, 16)),
        square("s2", "row", (2, 16)),
        Reshape(name="back", inputs=("s2",), shape=(2, 4, 4)),
        Add(name="both", inputs=("s", "back"), shape=(2, 4, 4)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_stages_equal_the_network(name):
    rng = np.random.default_rng(3)
    network = NETWORKS[name]
    images = rng.normal(size=(5, *network.input_shape))
    _, values = run_stages(network_stages(network), images)
    np.testing.assert_allclose(values[-1].T, network.run(images), rtol=1e-9, atol=1e-9)


#: Of these the default tests see stages and files; as ciphertexts they are squares of linear maps like others.
LONG = ("branches joined along channels", "transposed convolution")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in NETWORKS]
)
def test_ciphertexts_agree_within_the_bound(name):
    rng = np.random.default_rng(4)
    network = NETWORKS[name]
    images = rng.normal(size=(64, *network.input_shape)) * 0.5
    wanted = network.run(images)
    bundle = compile_network(
        network, images, times=TIMES, limits=Limits(max_error=0.05 * float(np.sqrt(np.mean(wanted**2))))
    )
    assert np.abs(clear_outputs(bundle, images) - wanted).max() <= bundle.client.predicted_logit_error
    client, server = Client(bundle.client), Server(bundle.server)
    server.register(client.evaluation_key)
    found = np.array([client.decrypt(server.run(client.encrypt(image))) for image in images[:2]])
    assert np.abs(found - wanted[:2]).max() <= bundle.client.predicted_logit_error


@pytest.mark.parametrize("name", NETWORKS)
def test_files_hold_every_node(name):
    rng = np.random.default_rng(5)
    network = NETWORKS[name]
    again = network_from_bytes(*network_bytes(network))
    images = rng.normal(size=(2, *network.input_shape))
    assert [type(node) for node in again.nodes] == [type(node) for node in network.nodes]
    np.testing.assert_array_equal(again.run(images), network.run(images))
    assert network_bytes(again) == network_bytes(network)


def test_a_product_is_one_level_and_its_factors_are_balanced():
    network = product_network(low=1e-3)
    stages = network_stages(network)
    assert [(stage.size, stage.squared) for stage in stages] == [(12, True), (3, False)]
    ranges = {name: Range(-1.0, 1.0, rms) for name, rms in (("a", 1.0), ("b", 1e-4))}
    (balanced, _) = network_stages(Network(nodes=network.nodes, ranges=ranges))
    factor = stages[0].maps[0].toarray(), balanced.maps[0].toarray()
    # (a/t + t b) + (a/t - t b) = 2 a / t: the sum of both halves is smaller by t = 100
    np.testing.assert_allclose(factor[0][:6] + factor[0][6:], 100 * (factor[1][:6] + factor[1][6:]), atol=1e-9)


@pytest.mark.parametrize(
    ("name", "grid"),
    [
        ("zero padding before a convolution", Grid(3, (6, 6), (1, 1), (2, 6, 6))),
        ("branches joined along channels", Grid(5, (6, 6), (1, 1), (2, 6, 6))),
        ("product of feature maps", Grid(6, (6, 6), (1, 1), (2, 6, 6))),
        ("transposed convolution", Grid(3, (4, 4), (2, 2), (2, 8, 8))),
    ],
)
def test_positions_stay_on_the_raster(name, grid):
    assert network_stages(NETWORKS[name])[0].grid == grid


def test_a_transposed_convolution_returns_to_the_raster_it_came_from():
    assert network_stages(NETWORKS["transposed convolution"])[1].grid == Grid(2, (8, 8), (1, 1), (2, 8, 8))


@pytest.mark.parametrize(
    ("shape", "indices", "grid"),
    [
        ((2, 3), np.array([0, 2, 4, 6, 8, 10]), Grid(2, (3,), (4,), (2, 12))),  # every second position
        ((2, 12), np.repeat(np.arange(12), 2), Grid(2, (12,), (1,), (2, 12))),  # nearest, twice as long
        ((2, 18), np.repeat(np.arange(12), 3), None),  # three times as long: no whole steps
        ((2, 6), np.arange(12)[::-1], None),  # backwards
        ((12,), np.arange(12), None),  # no positions
        ((2, 3), np.array([0, -1, 4, 6, -1, 10]), Grid(2, (3,), (2,), (2, 12))),  # nothing to measure: as it was
    ],
)
def test_a_gather_keeps_positions_where_neighbours_stay_neighbours(shape, indices, grid):
    half = AxisMap(name="h", inputs=("x",), shape=(2, 6), axis=1, matrix=np.kron(np.eye(6), np.ones((1, 2))))
    pick = Gather(name="g", inputs=("h",), shape=shape, indices=indices)
    network = Network(nodes=(Input(name="x", inputs=(), shape=(2, 12)), half, pick))
    assert network_stages(network)[-1].grid == grid


def test_work_in_clear():
    work = {layer.layer: layer for layer in plain_workload(NETWORKS["transposed convolution"]).layers}["t"]
    assert (work.macs, work.channels, work.fan_in) == (16 * 3 * 2 * 9, 2, 27)
    work = {layer.layer: layer for layer in plain_workload(NETWORKS["bilinear, then the sum over an axis"]).layers}
    assert work["sum"].elementwise == 2 * 8 * 8 * 2
    assert work["h"].elementwise == 2 * 4 * 2 * (2 * 8 - 2)  # two weights per new position, one at both ends
    assert {layer.layer: layer for layer in plain_workload(product_network()).layers}["p"].elementwise == 6
