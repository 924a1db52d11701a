"""The floor under a draft's noise: never above the prediction, near it for small noise, without effect on choices."""

from dataclasses import replace

import numpy as np
import pytest

from compress.network import Add, Dense, Input, Network, Polynomial, Weights
from secure.bounds.propagate import NoiseModel, noise_model
from secure.drafting.draft import Choice, Draft, Rescaling, StageScales, gather_evidence
from secure.params import make_params
from secure.passes import run_passes
from secure.passes.choose_parameters import choose_parameters
from secure.stages.stages import network_stages

COEFFICIENTS = np.array([[0.1], [0.5], [0.25]])
IMAGES = np.random.default_rng(1).random((12, 20))


def dense(name, source, rows, columns):
    kernel = np.random.default_rng(rows + columns).normal(size=(rows, columns)) / np.sqrt(columns)
    return Dense(
        name=name, inputs=(source,), shape=(rows,), weights=Weights(kernel, np.array(1.0)), bias=np.zeros(rows)
    )


def square(name, source, size):
    return Polynomial(name=name, inputs=(source,), shape=(size,), coefficients=COEFFICIENTS)


def network():
    """Two squares; the second layer reads the first square and the input."""
    return Network(
        nodes=(
            Input(name="x", inputs=(), shape=(20,)),
            dense("d", "x", 20, 20),
            square("a", "d", 20),
            Add(name="sum", inputs=("a", "x"), shape=(20,)),
            dense("e", "sum", 9, 20),
            square("b", "e", 9),
            dense("out", "b", 3, 9),
        )
    )


def placed(planes=1):
    """The network's draft before its primes are chosen."""
    stages = network_stages(network())
    choice = Choice(degree=8192, rescaling=Rescaling.EVERY, base_primes=1, rotate_input=True, planes=planes)
    draft = Draft(stages=stages, evidence=gather_evidence(stages, IMAGES), choice=choice)
    return run_passes(draft, stop=choose_parameters)


def model_with_excess(draft):
    model = noise_model(draft, 8)
    rng = np.random.default_rng(2)
    return replace(model, excess=tuple(rng.uniform(1, 9, len(excess)) for excess in model.excess))


@pytest.mark.parametrize("planes", [1, 2])
@pytest.mark.parametrize("bits", [-4, 0, 8, 20])
def test_the_floor_is_never_above_what_is_predicted(planes, bits):
    draft = placed(planes)
    model, rng = model_with_excess(draft), np.random.default_rng(3)
    params = make_params(8192, [40, 30, 30], 45)
    for _ in range(10):
        input_scale, *others = 2.0 ** (bits + rng.uniform(0, 8, 1 + 2 * len(draft.stages)))
        scales = [StageScales(value, atom) for value, atom in zip(others[::2], others[1::2], strict=True)]
        floor, predicted = (ask(params, input_scale, scales) for ask in (model.least_sigmas, model.output_sigmas))
        assert (floor <= predicted).all()


def test_the_floor_is_what_is_predicted_where_noise_is_small():
    draft = choose_parameters(placed())
    model = model_with_excess(draft)
    floor, predicted = (
        ask(draft.params, draft.input_scale, draft.scales) for ask in (model.least_sigmas, model.output_sigmas)
    )
    np.testing.assert_allclose(floor, predicted, rtol=1e-3)


@pytest.mark.parametrize("allowed", [np.inf, 1e-2, 1e-5])
def test_what_is_chosen_is_the_same_when_every_chain_is_tried(monkeypatch, allowed):
    draft = replace(placed(), allowed_error=allowed)
    chosen = choose_parameters(draft)
    tried = count_calls(monkeypatch)
    assert choose_parameters(draft).params == chosen.params
    few = len(tried)
    outputs = draft.evidence.subset(8).outputs
    monkeypatch.setattr(NoiseModel, "least_sigmas", lambda model, *chain: np.zeros_like(outputs))
    again = choose_parameters(draft)
    assert len(tried) - few > 3 * few
    assert (again.params, again.input_scale, again.scales) == (chosen.params, chosen.input_scale, chosen.scales)


def count_calls(monkeypatch):
    """A list that grows with every exact propagation of noise."""
    calls, exact = [], NoiseModel.output_sigmas
    monkeypatch.setattr(NoiseModel, "output_sigmas", lambda *chain, **more: calls.append(0) or exact(*chain, **more))
    return calls
