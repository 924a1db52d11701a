"""The noise of throughput plans: ring arithmetic with real errors against the clear run, and the bound that bundles
promise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from secure.bundle.batch_specs import BatchBundle
from secure.coded.clear import run_all, run_clear, with_units
from secure.coded.plan import BatchPlan, Linear, Quadratic, Step
from secure.limits import Limits
from secure.throughput.compile import compile_throughput
from secure.throughput.noise import COEFFICIENT_VARIANCE, input_variance
from tests.secure.coded_networks import quadratic_network
from tests.secure.random_networks import rows as drawn_rows

Array = NDArray[np.float64]
Polynomial = NDArray[np.object_]  # N coefficients, Python integers


def rows(count: int, seed: int) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, size=(count, 12))


@pytest.fixture(scope="module")
def bundle() -> BatchBundle:
    limits = Limits(max_error=0.5)
    return compile_throughput(quadratic_network(6, squares=2), rows(400, 1), held_out=rows(1000, 2), limits=limits)


def roots(degree: int) -> Array:
    """Half of the primitive roots of X^N + 1, one of each conjugate pair."""
    return np.exp(1j * np.pi * (2 * np.arange(degree // 2) + 1) / degree)


def errors(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """SEAL's centred binomial errors."""
    return rng.binomial(21, 0.5, size=shape) - rng.binomial(21, 0.5, size=shape)


@dataclass
class Ring:
    """Polynomials modulo X^N + 1 and a modulus, as arrays of Python integers."""

    degree: int
    modulus: int

    def product(self, left: Polynomial, right: Polynomial) -> Polynomial:
        full = np.zeros(2 * self.degree, dtype=object)
        for power, value in enumerate(left):
            full[power : power + self.degree] += value * right
        return (full[: self.degree] - full[self.degree :]) % self.modulus

    def centred(self, polynomial: Polynomial) -> Polynomial:
        reduced = polynomial % self.modulus
        return np.where(reduced > self.modulus // 2, reduced - self.modulus, reduced)

    def run(self, plan: BatchPlan, parts: list[list[Polynomial]]) -> list[list[Polynomial]]:
        """The parts of every output, from those of every input feature."""
        values = [parts]
        for step in plan.steps:
            values.append([self.feature(step, values[step.sources[0]], row) for row in range(step.features)])
        return values[-1]

    def feature(self, step: Step, source: list[list[Polynomial]], row: int) -> list[Polynomial]:
        one = np.array([1] + [0] * (self.degree - 1), dtype=object)
        if isinstance(step, Linear):
            own = range(step.starts[row], step.starts[row + 1])
            result = [
                sum(int(step.codes[place]) * source[step.columns[place]][part] for place in own) % self.modulus
                for part in range(len(source[0]))
            ]
            result[0] = result[0] + int(step.bias[row]) * one
            return result
        assert isinstance(step, Quadratic)
        x = source[row]
        result = [np.zeros(self.degree, dtype=object) for _ in range(2 * len(x) - 1)]
        for i, left in enumerate(x):
            result[i] = result[i] + int(step.linear[row]) * left
            for j, right in enumerate(x):
                result[i + j] = result[i + j] + int(step.square[row]) * self.product(left, right)
        result[0] = result[0] + int(step.constant[row]) * one
        return [part % self.modulus for part in result]


def encoded(slots: Array, degree: int) -> Array:
    """Coefficients of the polynomial with these real slots, (N,), not rounded."""
    powers = roots(degree)[:, None] ** np.arange(degree)
    return np.asarray(2 / degree * (slots @ powers.conj()).real)


def test_ciphertexts_hold_the_clear_run_of_the_disturbed_inputs(bundle: BatchBundle) -> None:
    """A block in a small ring: errors, masks and a ternary key as in a large one, evaluated in Python integers."""
    plan, rng, degree = bundle.server.plan, np.random.default_rng(3), 16
    # room for answers without the random phases of many slots
    ring = Ring(degree, 2**16 * int(np.prod([int(prime) for prime in plan.params.data_primes], dtype=object)))
    images = with_units(rows(degree // 2, 4), plan.units)
    secret = rng.integers(-1, 2, size=degree).astype(object)
    parts, disturbed = [], []
    for feature in range(plan.inputs):
        message = np.rint(encoded(images[:, feature] * plan.input_scale, degree)).astype(np.int64)
        noisy = message + errors(rng, (degree,))
        mask = np.array([int.from_bytes(rng.bytes(40), "little") % ring.modulus for _ in range(degree)], dtype=object)
        parts.append([(noisy.astype(object) - ring.product(mask, secret)) % ring.modulus, mask])
        disturbed.append((noisy @ roots(degree)[:, None].T ** np.arange(degree)[:, None]) / plan.input_scale)
    outputs = ring.run(plan, parts)
    assert {len(output) for output in outputs} == {plan.parts[-1]}
    powers = [np.array([1] + [0] * (degree - 1), dtype=object)]
    while len(powers) < plan.parts[-1]:
        powers.append(ring.product(powers[-1], secret))
    wanted = run_all(plan.steps, plan.inputs, plan.input_scale, np.array(disturbed).T)[-1]
    for output, expected, scale in zip(outputs, wanted, plan.output_scales, strict=True):
        held = ring.centred(sum(ring.product(part, power) for part, power in zip(output, powers, strict=True)))
        slots = (held.astype(np.float64) @ roots(degree)[:, None].T ** np.arange(degree)[:, None]) / scale
        assert np.allclose(slots, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


def disturbances(rng: np.random.Generator, degree: int, count: int) -> Array:
    """Slots of fresh errors and of the encoder's rounding, (count, N / 2), before division by the scale."""
    turned = errors(rng, (count, degree)) * np.exp(1j * np.pi * np.arange(degree) / degree)
    rounding = rng.normal(size=(count, degree // 2)) * np.sqrt(degree / 12)
    return np.fft.fft(turned, axis=1)[:, : degree // 2] + rounding


def test_the_variance_of_an_input_is_the_measured_one() -> None:
    rng = np.random.default_rng(5)
    found = np.var(disturbances(rng, 2048, 200).real) / 1000.0**2
    assert found == pytest.approx(input_variance(2048, 1000.0, 0), rel=0.03)
    assert np.var(errors(rng, (10**6,))) == pytest.approx(COEFFICIENT_VARIANCE, rel=0.01)
    dropped = rng.uniform(-8, 8, size=(200, 2048)) * np.exp(1j * np.pi * np.arange(2048) / 2048)
    more = np.var(np.fft.fft(dropped, axis=1).real) / 1000.0**2
    assert more == pytest.approx(input_variance(2048, 1000.0, 4) - input_variance(2048, 1000.0, 0), rel=0.03)


def test_the_promised_bound_holds_and_is_close(bundle: BatchBundle) -> None:
    plan, rng = bundle.server.plan, np.random.default_rng(6)
    degree = plan.params.poly_modulus_degree
    most, squares, count = 0.0, 0.0, 0
    for block in range(-(-10_000 // (degree // 2))):
        images = rows(degree // 2, 100 + block)
        noisy = with_units(images, plan.units) + disturbances(rng, degree, plan.inputs).T / plan.input_scale
        found = run_all(plan.steps, plan.inputs, plan.input_scale, noisy)[-1].real.T
        error = np.abs(found - quadratic_network(6, squares=2).run(images))
        most, squares, count = max(most, float(error.max())), squares + float(np.sum(error**2)), count + error.size
    bound = bundle.client.predicted_logit_error
    assert count >= 30_000 and most < bound < 4 * most
    assert np.sqrt(squares / count) < bound / 6


def test_systematic_errors_are_exact_on_rows(bundle: BatchBundle) -> None:
    images = rows(500, 7)
    wrong = np.abs(run_clear(bundle.server.plan, images) - quadratic_network(6, squares=2).run(images))
    assert wrong.max() <= bundle.report["predicted_systematic_error"] < bundle.report["predicted_random_error"]


@pytest.mark.parametrize("kind", ["normal", "scaled", "skewed"])
def test_a_bound_from_sixty_rows_holds_for_ten_thousand(kind: str) -> None:
    few, network = drawn_rows(kind, 60, 12, seed=1), quadratic_network(6)
    made = compile_throughput(network, few, limits=Limits(max_error=0.5))
    plan, client, rng = made.server.plan, made.client, np.random.default_rng(8)
    images = drawn_rows(kind, 12_000, 12, seed=2)
    images = images[((images >= client.input_low) & (images <= client.input_high)).all(axis=1)][:10_000]
    degree = plan.params.poly_modulus_degree
    disturbed = np.concatenate(
        [disturbances(rng, degree, plan.inputs).T for _ in range(-(-len(images) // (degree // 2)))]
    )
    noisy = with_units(images, plan.units) + disturbed[: len(images)] / plan.input_scale
    found = run_all(plan.steps, plan.inputs, plan.input_scale, noisy)[-1].real.T
    error = np.abs(found - network.run(images)).max()
    assert len(images) > 9_000 and error < client.predicted_logit_error < 6 * error
    if not plan.units:
        assert np.abs(found * plan.output_scales).max() < 2.0 ** (plan.params.log2_qp - 1)
