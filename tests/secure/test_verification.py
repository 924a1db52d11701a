"""The search finds what brute force finds, and a bundle that breaks its promise is reported."""

from dataclasses import replace

import numpy as np
import pytest

from compress.errors import InputShapeError
from secure.bounds.headroom import wrap_sites
from secure.bundle.files import plan_digest
from secure.bundle.specs import Bundle, ClientSpec, ServerSpec
from secure.encoding import coefficients
from secure.layout.packing import input_vectors
from secure.verify.verification import failures, verify_bundle
from secure.verify.worst_case import Fullness, SimulatedError, ascend
from tests.secure.plans import SMALL, Builder, small_bundle


def scaled_bundle(weight_scale: float, bound: float = 1.0) -> Bundle:
    """y = w x in a ring of two levels, x being 32 features repeated; the weight scale sets how much room there is."""
    builder = Builder()
    rng = np.random.default_rng(0)
    weights = np.tile(rng.uniform(-1, 1, 32), SMALL.slots // 32)
    plan = builder.build(builder.multiply_plain(0, weights, weight_scale))
    client = small_bundle().client
    spec: ClientSpec = replace(
        client,
        bundle_id=plan_digest(plan),
        keys=plan.key_manifest,
        output_slots=client.output_slots,
        output_levels=(2,),
        output_scales=(plan.scale_of(plan.outputs[0]),),
        predicted_logit_error=bound,
    )
    return Bundle(client=spec, server=ServerSpec(bundle_id=spec.bundle_id, plan=plan))


def first_ciphertext(bundle, images):
    return input_vectors(images.reshape(len(images), -1), bundle.client.input_slots)[:, 0]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).uniform(-0.5, 0.5, (12, 4, 8))


def test_every_value_that_is_rescaled_or_decrypted_is_watched():
    plan = small_bundle().server.plan
    sites = {site.value: site for site in wrap_sites(plan)}
    rescaled = next(op for op in plan.ops if op.kind == "rescale")
    assert set(sites) == {rescaled.args[0], *plan.outputs}
    site = sites[plan.outputs[0]]
    assert site.layer == "act"
    assert site.room_bits == pytest.approx(np.log2(SMALL.data_primes[0]) - 1 - np.log2(plan.scale_of(plan.outputs[0])))


def test_fullness_is_the_largest_coefficient_over_half_of_the_modulus(images):
    bundle = scaled_bundle(2.0**20)
    slots = first_ciphertext(bundle, images) * bundle.server.plan.constants[0].slots
    largest = np.abs(coefficients(slots)).max(axis=1) * 2.0**40
    half = SMALL.data_primes[0] * SMALL.data_primes[1] / 2
    np.testing.assert_allclose(Fullness(bundle).values(images), np.log2(largest / half), rtol=1e-9)


@pytest.mark.parametrize("make", [Fullness, lambda bundle: SimulatedError(bundle, 3)])
def test_gradients_are_limits_of_differences(images, make):
    objective = make(small_bundle())
    x, change = images[:4], np.random.default_rng(2).normal(size=images[:4].shape)
    values, gradient = objective.gradients(x)
    np.testing.assert_allclose(values, objective.values(x))
    epsilon = 1e-6
    difference = (objective.values(x + epsilon * change) - objective.values(x - epsilon * change)) / (2 * epsilon)
    np.testing.assert_allclose(
        np.sum(gradient * change, axis=(1, 2)) * _slope(objective, values), difference, rtol=1e-3
    )


def _slope(objective, values):
    """The slope of the reported value over the climbed one: fullness climbs a coefficient and reports its log2."""
    if isinstance(objective, SimulatedError):
        return 1.0
    (site,) = [site for site in wrap_sites(small_bundle().server.plan) if site.layer == "act"][-1:]
    return 1 / (2.0 ** (values + site.room_bits) * np.log(2))


def test_ascent_on_a_linear_plan_reaches_the_corner_that_is_best_for_the_coefficient_it_climbs(images):
    bundle = scaled_bundle(2.0**20)
    low, high = np.full((8, 4, 8), -1.0), np.full((8, 4, 8), 1.0)
    found = ascend(Fullness(bundle), images[:8], low, high, 20, lambda share: None)
    weights = bundle.server.plan.constants[0].slots[:32]
    units = np.zeros((32, SMALL.slots))
    for feature in range(32):
        units[feature, feature::32] = weights[feature]
    # a coefficient is linear in the input: its largest value over the box is the sum of its absolute derivatives
    best = np.abs(coefficients(units)).sum(axis=0)
    slots = first_ciphertext(bundle, found.images) * bundle.server.plan.constants[0].slots
    climbed = np.abs(coefficients(slots))
    np.testing.assert_allclose(climbed.max(axis=1), best[climbed.argmax(axis=1)], rtol=1e-9)
    assert np.all((found.images >= low) & (found.images <= high))
    assert found.values.max() > Fullness(bundle).values(images).max()


def test_a_search_without_steps_returns_the_images(images):
    found = ascend(Fullness(small_bundle()), images[:2], images[:2] - 1, images[:2] + 1, 0, lambda share: None)
    np.testing.assert_array_equal(found.images, images[:2])


def test_a_sound_bundle_holds_within_its_bound(images):
    result = verify_bundle(small_bundle(), images, encrypted=4, steps=5)
    assert result["holds"] and failures(result) == []
    assert result["backend"] == "engine"
    assert [row["radius"] for row in result["rows"]] == [0.0, 0.1, 1.0]
    headroom = [row["least_headroom_bits"] for row in result["rows"]]
    assert headroom[0] >= headroom[1] >= headroom[2]
    assert all(row["encrypted"] == 4 and row["largest_error"] > 0 for row in result["rows"])
    assert result["largest_error"] == max(row["largest_error"] for row in result["rows"][:2]) <= result["bound"]


def test_too_small_a_bound_is_reported_as_broken(images):
    result = verify_bundle(scaled_bundle(2.0**20, bound=1e-9), images, encrypted=4, steps=2)
    assert not result["holds"]
    (line,) = failures(result)
    assert line.startswith("the bound is broken: an encrypted input within radius 0.1 is off by")


def test_a_modulus_that_inputs_in_the_range_exceed_is_found_and_encryption_shows_it(images):
    headroom = -float(Fullness(scaled_bundle(2.0**44)).values(images).max())
    near = scaled_bundle(2.0 ** (44 + headroom - 0.2))  # 0.2 bits more than the images, less than their neighbours need
    result = verify_bundle(near, images, encrypted=4, steps=10, radius=0.5)
    assert result["rows"][0]["least_headroom_bits"] == pytest.approx(0.2, abs=0.01)
    assert result["rows"][0]["largest_error"] < 1e-3
    assert result["least_headroom_bits"] < 0 and not result["holds"]
    assert any(
        line.startswith("headroom is exhausted: an input within radius 0.5 exceeds") for line in failures(result)
    )
    assert result["largest_error"] > 100 * result["rows"][0]["largest_error"]  # a wrapped value is entirely wrong
    assert result["largest_error"] > 0.3  # while outputs are below one


def test_images_outside_the_range_are_skipped_and_wrong_shapes_are_refused(images):
    outside = images.copy()
    outside[3] = 2.0
    assert verify_bundle(small_bundle(), outside, encrypted=2, steps=0)["images"] == len(images) - 1
    with pytest.raises(InputShapeError, match="none of 1 images lies in the accepted range; give the data"):
        verify_bundle(small_bundle(), outside[3:4])
    with pytest.raises(InputShapeError, match="the network takes"):
        verify_bundle(small_bundle(), images[:, :2])


def test_the_same_seed_gives_the_same_result(images):
    keys = ("least_headroom_bits", "simulated_error")
    first, second = (verify_bundle(small_bundle(), images, encrypted=2, steps=3, seed=7) for _ in range(2))
    assert [[row[key] for key in keys] for row in first["rows"]] == [
        [row[key] for key in keys] for row in second["rows"]
    ]
