"""From a Network to a bundle for throughput: what it computes, its parameters, and errors by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from compress.errors import (
    CalibrationError,
    CompilationSizeError,
    InputShapeError,
    LevelBudgetError,
    PlanBudgetError,
    PrecisionError,
)
from compress.network import Network
from secure.bundle.batch_specs import BatchBundle
from secure.coded.clear import run_clear
from secure.coded.dry import dry_run
from secure.encoding import coefficients
from secure.limits import Limits
from secure.params import check_security
from secure.throughput.compile import compile_throughput
from secure.throughput.noise import input_variance
from secure.throughput.reporting import block_bytes
from tests.secure.coded_networks import quadratic_network

Array = NDArray[np.float64]


def rows(count: int, seed: int) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, size=(count, 12))


def compiled(network: Network, limits: Limits | None = None, held_out: int = 400) -> BatchBundle:
    return compile_throughput(network, rows(300, 5), held_out=rows(held_out, 6), limits=limits or Limits())


@pytest.fixture(scope="module")
def bundle() -> BatchBundle:
    return compiled(quadratic_network(6))


def test_the_clear_run_is_the_network(bundle: BatchBundle) -> None:
    wanted = quadratic_network(6).run(rows(50, 7))
    found = run_clear(bundle.server.plan, rows(50, 7))
    assert np.abs(found - wanted).max() <= bundle.report["predicted_systematic_error"]
    assert bundle.report["predicted_systematic_error"] < 1e-3 * np.abs(wanted).max()


def test_parameters_are_secure_and_the_report_says_what_they_cost(bundle: BatchBundle) -> None:
    plan, report = bundle.server.plan, bundle.report
    check_security(plan.params)
    assert plan.params.special_prime is None and report["evaluation_key_bytes"] == 0 and report["rotations"] == 0
    assert dry_run(plan).parts == (2, 2, 3, 3) and report["parts"] == (2, 2, 3, 3)
    assert report["log2_q"] == report["log2_qp"] >= report["modulus_bits_needed"]
    sent = sum(prime.bit_length() - plan.upload_bits_dropped for prime in plan.params.data_primes)
    assert report["upload_bytes"] == plan.inputs * 2 * sent / 8  # two coefficients of every feature per slot
    layers = {row["layer"]: row for row in report["layers"]}
    codes, units = np.count_nonzero(quadratic_network(6).node("dense0").weights.codes), len(plan.units)
    assert codes <= layers["dense0"]["nonzeros"] <= codes + units * (8 + 1)  # biases, and rows that hand units on
    assert bundle.client.bundle_id == bundle.server.bundle_id and report["mode"] == "throughput"


def test_no_output_wraps_around_on_accepted_inputs(bundle: BatchBundle) -> None:
    """Outputs of a plan with phases are the block's coefficients, and slots otherwise."""
    plan = bundle.server.plan
    most, half = 2.0 ** (plan.params.log2_qp - 1), plan.params.slots
    found = run_clear(plan, rows(half, 8)) * plan.output_scales
    if plan.units:
        turns = np.exp(2j * np.pi * np.random.default_rng(9).random(half))
        found = coefficients(found.T * turns)
    assert most / 64 < np.abs(found).max() < most


def test_every_bit_of_all_codes_saves_five_bits_of_the_modulus_of_a_two_square_network() -> None:
    bits = [8, 7, 6, 5, 4]
    limits = Limits(max_error=1.0)
    needed = [compiled(quadratic_network(b, squares=2), limits).report["modulus_bits_needed"] for b in bits]
    assert (-np.diff(needed) >= 5).all()


def test_more_precision_needs_a_larger_input_scale_and_modulus() -> None:
    loose, tight = (compiled(quadratic_network(6), Limits(max_error=error)) for error in (0.1, 0.01))
    assert loose.client.predicted_logit_error <= 0.1 and tight.client.predicted_logit_error <= 0.01
    variances = [
        input_variance(one.client.params.poly_modulus_degree, one.client.input_scale, one.client.upload_bits_dropped)
        for one in (loose, tight)
    ]
    assert 60 < variances[0] / variances[1] < 160
    assert tight.report["modulus_bits_needed"] - loose.report["modulus_bits_needed"] > 2 * np.log2(10) - 5


def test_low_bits_of_one_prime_stay_at_home() -> None:
    bundle = compiled(quadratic_network(6), Limits(max_error=1.0))
    plan = bundle.server.plan
    assert plan.params.levels == 1 and plan.upload_bits_dropped > 0
    without = replace(plan, upload_bits_dropped=0)
    assert block_bytes(plan)[0] < block_bytes(without)[0]
    assert bundle.client.predicted_logit_error <= 1.0


def test_float_weights_get_as_few_bits_as_the_limits_allow() -> None:
    network = quadratic_network(None)
    found = {error: compiled(network, Limits(max_error=error)).report for error in (1.0, 0.01)}
    assert found[1.0]["rounding_bits"] < found[0.01]["rounding_bits"]
    assert all(0 < report["predicted_systematic_error"] <= error for error, report in found.items())


def test_compiling_again_gives_the_same_bundle(bundle: BatchBundle) -> None:
    assert compiled(quadratic_network(6)).client.bundle_id == bundle.client.bundle_id


def test_an_upload_beyond_the_budget_is_refused_with_the_smallest_one() -> None:
    with pytest.raises(PlanBudgetError, match=r"the smallest upload is \d+ bytes an image; raise --budget"):
        compiled(quadratic_network(6), Limits(upload_bytes=100))


def test_a_network_too_deep_for_every_ring_names_the_layer() -> None:
    with pytest.raises(LevelBudgetError, match=r"layer '(dense|square)\d': .*N=32768 carries 868"):
        compiled(quadratic_network(4, squares=5), Limits(max_error=3e4))
    for squares, error in ((5, 0.1), (8, 100.0)):
        with pytest.raises(LevelBudgetError, match=r"layer '(dense|square)\d': its integers have more bits than"):
            compiled(quadratic_network(8, squares=squares), Limits(max_error=error))


def test_an_error_below_rounding_is_refused() -> None:
    with pytest.raises(PrecisionError, match="rounding its constants to 16 bits alone makes an error"):
        compiled(quadratic_network(None, squares=2), Limits(max_error=1e-7))


def test_a_network_that_is_too_large_to_compile_is_refused_before_any_work() -> None:
    limits = Limits(compile_bytes=3e8)
    with pytest.raises(CompilationSizeError, match="layer 'dense0': compiling the network would take about 0.3 GB"):
        compiled(quadratic_network(6), limits)
    with pytest.raises(CompilationSizeError, match=r"94 multiply-adds; .*raise --compile-memory and --compile-seconds"):
        compiled(quadratic_network(6), Limits(compile_seconds=1.0))


def test_few_rows_are_warned_about() -> None:
    (warning,) = compiled(quadratic_network(6)).report["warnings"]
    assert "400 rows cannot show less than 0.75%" in warning
    found = compile_throughput(quadratic_network(6), rows(2000, 5)).report
    assert found["held_out"] is False and "calibration rows" in found["warnings"][0]


def test_a_bound_far_beyond_the_rows_is_warned_about_and_a_useless_one_refused() -> None:
    """Inputs with heavy tails through two squares: few rows say little about the errors of rare inputs."""
    network, heavy = quadratic_network(6, squares=2), np.random.default_rng(1).standard_t(3, size=(300, 12))
    limits = Limits(max_disagreement=0.5)
    found = compile_throughput(network, heavy, limits=limits).report["warnings"]
    assert sum("bound: the errors of 300 rows are at most" in line for line in found) == 1
    few = np.random.default_rng(1).standard_t(3, size=(60, 12))
    with pytest.raises(PrecisionError, match="bound: the errors of 60 rows .* or accept it with --accept-loose-bound"):
        compile_throughput(network, few, limits=limits)
    accepted = compile_throughput(network, few, limits=replace(limits, accept_loose_bound=True))
    assert any(line.startswith("bound: ") for line in accepted.report["warnings"])


def test_wrong_rows_are_refused() -> None:
    with pytest.raises(InputShapeError, match="calibration images: shape"):
        compile_throughput(quadratic_network(6), np.zeros((10, 5)))
    with pytest.raises(InputShapeError, match="held-out rows: shape"):
        compile_throughput(quadratic_network(6), rows(20, 5), held_out=np.zeros((10, 5)))
    with pytest.raises(CalibrationError, match="at least one image of finite numbers"):
        compile_throughput(quadratic_network(6), np.full((10, 12), np.nan))
