"""Every kind of layer through the whole compiler, in clear; and the promises about any network's modulus."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from compress.network import Add, AvgPool, Conv, Dense, Input, Network, Permute, Polynomial, Reshape, Weights
from secure.compiling.compile import bundle_of, compile_network
from secure.compiling.failing import levels_missing
from secure.drafting.draft import Choice, Draft, Evidence, Rescaling, gather_evidence
from secure.kernels.counts import KernelTimes
from secure.limits import Limits
from secure.params import GUIDELINE_2024_LOG2_QP, check_security
from secure.parties.client import Client
from secure.parties.server import Server
from secure.passes import run_passes
from secure.passes.choose_parameters import choose_parameters
from secure.stages.stages import network_stages
from secure.verify.roundtrip import clear_outputs

TIMES = KernelTimes(butterfly_ns=1.0, product_ns=3.0, addition_ns=1.0, call_us=1.0)
QUADRATIC = np.array([[0.1], [0.5], [0.25]])
SIGMOID_CUBIC = np.array([[0.5], [0.197], [0.0], [-0.004]])
QUARTIC = np.array([[0.1], [0.5], [0.2], [0.05], [0.1]])


def weights(*shape):
    rng = np.random.default_rng(sum(shape))
    return Weights(rng.normal(size=shape) / np.sqrt(np.prod(shape[1:])), np.array(1.0))


def conv(name, source, shape, kernel, **options):
    rank = len(shape) - 1
    plain = {"stride": (1,) * rank, "padding": (0,) * rank, "dilation": (1,) * rank, "groups": 1}
    bias = np.linspace(-0.1, 0.1, shape[0])
    return Conv(name=name, inputs=(source,), shape=shape, weights=kernel, bias=bias, **{**plain, **options})


def curve(source, shape, coefficients=QUADRATIC):
    return Polynomial(name="act", inputs=(source,), shape=shape, coefficients=coefficients)


def closed(shape, *nodes, outputs=3):
    """The nodes between an input of `shape` and a flattened dense layer."""
    size = nodes[-1].size
    return Network(
        nodes=(
            Input(name="x", inputs=(), shape=shape),
            *nodes,
            Reshape(name="flat", inputs=(nodes[-1].name,), shape=(size,)),
            Dense(
                name="out", inputs=("flat",), shape=(outputs,), weights=weights(outputs, size), bias=np.zeros(outputs)
            ),
        )
    )


LAYERS = {
    "conv1d, strided and padded": closed(
        (2, 12), conv("c", "x", (3, 6), weights(3, 2, 3), stride=(2,), padding=(1,)), curve("c", (3, 6))
    ),
    "conv1d, dilated": closed((2, 12), conv("c", "x", (3, 8), weights(3, 2, 3), dilation=(2,)), curve("c", (3, 8))),
    "conv2d, strided by axis": closed(
        (3, 8, 9), conv("c", "x", (2, 4, 9), weights(2, 3, 2, 3), stride=(2, 1), padding=(0, 1)), curve("c", (2, 4, 9))
    ),
    "conv2d, dilated": closed(
        (1, 9, 9), conv("c", "x", (2, 5, 7), weights(2, 1, 3, 3), dilation=(2, 1)), curve("c", (2, 5, 7))
    ),
    "conv2d, grouped": closed(
        (4, 6, 6), conv("c", "x", (4, 6, 6), weights(4, 2, 3, 3), padding=(1, 1), groups=2), curve("c", (4, 6, 6))
    ),
    "many input channels": closed((8, 5, 5), conv("c", "x", (4, 3, 3), weights(4, 8, 3, 3)), curve("c", (4, 3, 3))),
    "pool after a square": closed(
        (2, 8, 8),
        curve("x", (2, 8, 8)),
        AvgPool(name="p", inputs=("act",), shape=(2, 4, 4), kernel=(2, 2), stride=(2, 2), padding=(0, 0)),
    ),
    "residual sum": closed(
        (2, 6, 6),
        curve("x", (2, 6, 6)),
        conv("c", "act", (2, 6, 6), weights(2, 2, 3, 3), padding=(1, 1)),
        Add(name="add", inputs=("c", "act"), shape=(2, 6, 6)),
    ),
    "residual sum across a square": closed(
        (8,),
        Dense(name="d", inputs=("x",), shape=(8,), weights=weights(8, 8), bias=np.zeros(8)),
        curve("d", (8,)),
        Add(name="add", inputs=("act", "x"), shape=(8,)),
    ),
    "degree 4": closed(
        (6,),
        Dense(name="d", inputs=("x",), shape=(5,), weights=weights(5, 6), bias=np.zeros(5)),
        curve("d", (5,), QUARTIC),
    ),
    "degree 3": closed(
        (6,),
        Dense(name="d", inputs=("x",), shape=(5,), weights=weights(5, 6), bias=np.zeros(5)),
        curve("d", (5,), SIGMOID_CUBIC),
    ),
    "degree 3 on positions, by channel": closed(
        (2, 5, 5),
        conv("c", "x", (3, 5, 5), weights(3, 2, 3, 3), padding=(1, 1)),
        curve("c", (3, 5, 5), SIGMOID_CUBIC * np.array([[1.0, 2.0, -1.0]])),
    ),
    "degree 4 with a small leading coefficient": closed(
        (6,),
        Dense(name="d", inputs=("x",), shape=(5,), weights=weights(5, 6), bias=np.zeros(5)),
        curve("d", (5,), np.vstack([SIGMOID_CUBIC, [[1e-7]]])),
    ),
    "degree 2 that is nearly a line": closed(
        (6,),
        Dense(name="d", inputs=("x",), shape=(5,), weights=weights(5, 6), bias=np.zeros(5)),
        curve("d", (5,), np.array([[0.1], [1.0], [1e-5]])),
    ),
    "permute": closed(
        (2, 4, 5), Permute(name="p", inputs=("x",), shape=(5, 2, 4), axes=(2, 0, 1)), curve("p", (5, 2, 4))
    ),
    "one output": closed((6,), curve("x", (6,)), outputs=1),
}  # fmt: skip


#: Networks that go through the whole search in the default tests; all others do in the slow ones.
SEARCHED = ("conv2d, grouped", "degree 4", "residual sum across a square")


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in SEARCHED])
def test_a_planned_layer_equals_the_network(name):
    """All passes for one choice, without a search for the fastest."""
    network = LAYERS[name]
    images = np.random.default_rng(2).random((8, *network.input_shape))
    wanted = network.run(images)
    draft = drafted(network, images, choice(16384))
    error = np.abs(clear_outputs(bundle_of(network, draft, (), TIMES), images) - wanted.reshape(len(images), -1)).max()
    assert error <= 1e-4 * np.abs(wanted).max()
    check_security(draft.params)


@pytest.mark.parametrize(
    "name", [name if name in SEARCHED else pytest.param(name, marks=pytest.mark.slow) for name in LAYERS]
)
def test_a_compiled_layer_equals_the_network(name):
    network = LAYERS[name]
    images = np.random.default_rng(2).random((8, *network.input_shape))
    wanted = network.run(images)
    bundle = compile_network(
        network, images, times=TIMES, limits=Limits(max_error=0.05 * float(np.sqrt(np.mean(wanted**2))))
    )
    error = np.abs(clear_outputs(bundle, images) - wanted.reshape(len(images), -1)).max()
    assert error <= 1e-4 * np.abs(wanted).max()
    check_security(bundle.client.params)


def drafted(network, images, choice, stop=None):
    stages = network_stages(network)
    return run_passes(Draft(stages=stages, evidence=gather_evidence(stages, images), choice=choice), stop=stop)


def choice(degree, **changes):
    known = {"rescaling": Rescaling.EVERY, "base_primes": 1, "rotate_input": True, **changes}
    return Choice(degree=degree, **known)


@pytest.mark.parametrize("columns", [2049, 3000])
def test_a_value_of_several_ciphertexts_equals_the_network(columns):
    network = closed(
        (columns,), Dense(name="d", inputs=("x",), shape=(4,), weights=weights(4, columns), bias=np.ones(4))
    )
    images = np.random.default_rng(3).random((4, columns))
    wanted = network.run(images)
    bundle = compile_network(
        network, images, times=TIMES, limits=Limits(max_error=0.05 * float(np.sqrt(np.mean(wanted**2))))
    )
    assert np.abs(clear_outputs(bundle, images) - wanted).max() <= 1e-4 * np.abs(wanted).max()
    wide = drafted(network, images, choice(4096))
    assert wide.plan.inputs == 2


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(-20, 12), min_size=3, max_size=3),
    st.sampled_from([8192, 16384]),
    st.sampled_from(Rescaling),
    st.integers(1, 2),
    st.integers(1, 2),
)
def test_every_modulus_the_search_finds_is_secure(magnitudes, degree, rescaling, base, primes):
    network = LAYERS["degree 4"]
    images = np.random.default_rng(4).random((4, 6))
    draft = drafted(
        network, images, choice(degree, rescaling=rescaling, base_primes=base, rescale_primes=primes), choose_parameters
    )
    sizes = [2.0**power for power in magnitudes]
    evidence = Evidence(
        (draft.evidence.atoms[0], *(atom * size for atom, size in zip(draft.evidence.atoms[1:], sizes, strict=False))),
        tuple(value * size for value, size in zip(draft.evidence.values, sizes, strict=True)),
    )
    found = choose_parameters(replace(draft, evidence=evidence))
    assume(found is not None)
    assert check_security(found.params) is None
    assert found.params.log2_qp <= GUIDELINE_2024_LOG2_QP[degree]


def test_the_first_layer_out_of_reach_is_the_one_that_is_named():
    """N=4096 carries 106 bits: 26 under the last rescale, 26 to switch keys, and two rescales of 24."""
    nodes = [Input(name="x", inputs=(), shape=(4,))]
    for index in range(6):
        name = f"fc{index}"
        nodes.append(Dense(name=name, inputs=(nodes[-1].name,), shape=(4,), weights=weights(4, 4), bias=np.zeros(4)))
        nodes.append(Polynomial(name=f"act{index}", inputs=(name,), shape=(4,), coefficients=QUADRATIC))
    network = Network(nodes=tuple(nodes))
    stages = network_stages(network)
    images = np.random.default_rng(5).random((4, 4))
    draft = Draft(stages=stages, evidence=gather_evidence(stages, images), choice=choice(4096))
    # three levels hold the stages of fc0, fc1 and fc2
    assert levels_missing(draft) == ("fc3", 7, 3)


def test_the_predicted_error_holds_where_few_slots_are_used():
    """Plaintexts with few non-zero slots: rounding their coefficients can remove a whole value, unlike white noise."""
    rng = np.random.default_rng(5)
    nodes = (
        Input(name="x", inputs=(), shape=(1, 4)),
        Polynomial(name="a", inputs=("x",), shape=(1, 4), coefficients=QUADRATIC),
        Polynomial(name="b", inputs=("a",), shape=(1, 4), coefficients=QUADRATIC),
        Reshape(name="r", inputs=("b",), shape=(4,)),
        Dense(
            name="fc",
            inputs=("r",),
            shape=(4,),
            weights=Weights(rng.normal(size=(4, 4)) * 0.5, np.array(1.0)),
            bias=rng.normal(size=4),
        ),
    )
    network = Network(nodes=nodes)
    images = rng.standard_normal((32, 1, 4))
    allowed = 0.05 * float(np.sqrt(np.mean(network.run(images) ** 2)))
    bundle = compile_network(network, images, times=TIMES, limits=Limits(max_error=allowed))
    client, server = Client(bundle.client), Server(bundle.server)
    server.register(client.evaluation_key)
    found = np.array([client.decrypt(server.run(client.encrypt(image))) for image in images[:3]])
    assert np.abs(found - clear_outputs(bundle, images[:3])).max() <= bundle.client.predicted_logit_error


def test_a_square_divided_by_two_primes_is_precise_where_one_prime_is_too_small():
    """Two layers with many inputs and squares need more precision than single primes of at most 50 bits give."""
    rng = np.random.default_rng(6)
    nodes = [Input(name="x", inputs=(), shape=(200,))]
    for name, rows, columns in (("a", 64, 200), ("b", 32, 64), ("out", 4, 32)):
        own = Weights(rng.normal(size=(rows, columns)) / np.sqrt(columns), np.array(1.0))
        nodes.append(Dense(name=name, inputs=(nodes[-1].name,), shape=(rows,), weights=own, bias=np.zeros(rows)))
        if name != "out":
            nodes.append(Polynomial(name=f"{name}2", inputs=(name,), shape=(rows,), coefficients=QUADRATIC))
    network, images = Network(nodes=tuple(nodes)), rng.random((16, 200))
    one, two = (drafted(network, images, choice(8192, rescale_primes=primes), choose_parameters) for primes in (1, 2))
    assert [draft.levels for draft in (one, two)] == [3, 5]
    allowed = 0.01 * float(np.sqrt(np.mean(network.run(images) ** 2)))
    bundle = compile_network(network, images, times=TIMES, limits=Limits(max_error=allowed))
    *lost, chosen = bundle.report["weighed"]
    assert (chosen["rescale_primes"], bundle.report["backend"]) == (2, "engine")
    assert any(other["rescale_primes"] == 1 and "times too large" in other["verdict"] for other in lost)
    client, server = Client(bundle.client), Server(bundle.server)
    server.register(client.evaluation_key)
    found = np.array([client.decrypt(server.run(client.encrypt(image))) for image in images[:4]])
    assert np.abs(found - network.run(images[:4])).max() <= bundle.client.predicted_logit_error <= allowed
