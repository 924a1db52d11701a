"""Handwritten digits through throughput plans: classes that encryption changes, and what fewer bits and codes save."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

import cipherpress as cp
from compress.network import Dense, Input, Network, Polynomial, Weights
from secure.bundle.batch_specs import BatchBundle
from secure.coded.clear import run_all, with_units
from secure.throughput.compile import compile_throughput

Array = NDArray[np.float64]
TEST_IMAGES = 1000

pytestmark = pytest.mark.slow


@cache
def digits() -> tuple[Array, NDArray[np.int64], Array, NDArray[np.int64]]:
    data = cp.load_data("mnist")
    train, test = data.x_train[:6000].reshape(6000, -1), data.x_test[:3000].reshape(3000, -1)
    return train.astype(np.float64), data.y_train[:6000], test.astype(np.float64), data.y_test[:3000]


def coded(values: Array, bits: int) -> Weights:
    step = 2.0 ** np.ceil(np.log2(np.abs(values).max() / (2 ** (bits - 1) - 1)))
    return Weights(np.rint(values / step).astype(np.int8), np.asarray(step), bits)


@cache
def classifier(bits: int, kept: float = 1.0) -> Network:
    """784-64-10: mixtures of principal components, of `kept` of the pixels each, squared, and ridge regression.

    bits: of its codes.
    """
    train, labels, _, _ = digits()
    rng = np.random.default_rng(0)
    components = np.linalg.svd(train[:1000] - train.mean(axis=0), full_matrices=False)[2][:30]
    first = coded(rng.normal(size=(64, 30)) @ components * (rng.random((64, 784)) < kept) / np.sqrt(kept), bits)
    coefficients = np.array([[0.0], [0.5], [0.03125]])
    x = Input(name="x", inputs=(), shape=(784,))
    bias = -first.values() @ train.mean(axis=0)
    hidden = Dense(name="hidden", inputs=("x",), shape=(64,), weights=first, bias=bias)
    square = Polynomial(name="square", inputs=("hidden",), shape=(64,), coefficients=coefficients)
    features = Network(nodes=(x, hidden, square)).run(train)
    centred = features - features.mean(axis=0)
    wanted = np.eye(10)[labels] - 0.1
    solved = np.linalg.solve(centred.T @ centred + 1e2 * np.eye(64), centred.T @ wanted)
    last = coded(solved.T, bits)
    out = Dense(name="out", inputs=("square",), shape=(10,), weights=last, bias=-last.values() @ features.mean(axis=0))
    return Network(nodes=(x, hidden, square, out))


@cache
def compiled(bits: int, kept: float = 1.0) -> BatchBundle:
    train, _, test, _ = digits()
    return compile_throughput(classifier(bits, kept), train[:500], held_out=test)


def encrypted_outputs(bundle: BatchBundle, images: Array) -> Array:
    """Outputs under the noise of fresh ciphertexts, simulated in the slots."""
    plan, rng = bundle.server.plan, np.random.default_rng(1)
    degree, half = plan.params.poly_modulus_degree, plan.params.slots
    sent = images[:, plan.read_inputs] if plan.read_inputs else images
    noisy = with_units(sent, plan.units).astype(np.complex128)
    for start in range(0, len(images), half):
        errors = rng.binomial(21, 0.5, (plan.inputs, degree)) - rng.binomial(21, 0.5, (plan.inputs, degree))
        slots = np.fft.fft(errors * np.exp(1j * np.pi * np.arange(degree) / degree), axis=1)[:, :half]
        noisy[start : start + half] += slots.T[: len(images) - start] / plan.input_scale
    return run_all(plan.steps, plan.inputs, plan.input_scale, noisy)[-1].real.T


def test_encryption_keeps_the_classes_of_digits() -> None:
    _, _, test, labels = digits()
    bundle, network = compiled(5), classifier(5)
    wanted, found = network.run(test[:TEST_IMAGES]), encrypted_outputs(bundle, test[:TEST_IMAGES])
    assert np.mean(wanted.argmax(axis=1) == labels[:TEST_IMAGES]) > 0.8
    assert np.mean(wanted.argmax(axis=1) == found.argmax(axis=1)) >= 0.99
    assert np.abs(found - wanted).max() < bundle.client.predicted_logit_error
    assert bundle.report["poly_modulus_degree"] == 2048 and bundle.report["predicted_disagreement"] < 0.01


def test_the_expected_disagreement_is_the_observed_one() -> None:
    _, _, test, _ = digits()
    bundle, network = compiled(5), classifier(5)
    changed = np.mean(network.run(test).argmax(axis=1) != encrypted_outputs(bundle, test).argmax(axis=1))
    assert changed == pytest.approx(bundle.report["expected_disagreement"], rel=0.6)


def test_fewer_bits_and_fewer_codes_are_predicted_to_be_faster() -> None:
    many, few, sparse = compiled(7).report, compiled(4).report, compiled(4, 0.05).report
    assert many["modulus_bits_needed"] - few["modulus_bits_needed"] > 6
    assert many["upload_bytes"] > few["upload_bytes"]
    assert sparse["nonzeros"] < 0.1 * few["nonzeros"]
    assert sparse["predicted_us_per_image"] < 0.6 * few["predicted_us_per_image"]
