"""Random phases in slots: programs without constants, what a client turns and turns back, and the smaller modulus."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from compress.errors import AnswerRangeError, PlanError
from compress.network import Network
from compress.robust import input_range
from secure.bundle.batch_client import batch_client_fault
from secure.bundle.batch_specs import BatchBundle
from secure.bundle.files import load_bundle, save_bundle
from secure.coded.clear import run_clear, with_units
from secure.coded.dry import dry_run
from secure.coded.forms import LinearForm, ProductForm, Program, QuadraticForm, SumForm
from secure.coded.homogeneous import UNITS, homogeneous, units_of
from secure.coded.passes import run_passes
from secure.coded.plan import Quadratic
from secure.encoding import coefficients, complex_slots
from secure.limits import Limits
from secure.residues.times import TYPICAL_RESIDUE_TIMES
from secure.streams.client import BatchClient
from secure.streams.frames import FrameHead
from secure.streams.phases import answer_turns, phases, planes
from secure.streams.server import BatchServer
from secure.throughput.compile import bundle_of, compile_throughput
from secure.throughput.evidence import gather
from secure.throughput.judged import Judged
from secure.throughput.magnitudes import MISREAD_PROBABILITY
from secure.throughput.phased import phased
from secure.throughput.promise import Allowed
from secure.throughput.search import search, smallest_fast, upload_bytes
from tests.secure.coded_networks import quadratic_network
from tests.secure.small_batches import homogeneous_by_hand, small_batch_bundle_with_units

Array = NDArray[np.float64]


def rows(count: int, seed: int) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, size=(count, 12))


def program_of(network: Network, seed: int = 0) -> Program:
    return run_passes(network, 8, rows(8, seed))


def kinds(squares: int, max_error: float) -> tuple[Judged, Judged, Allowed]:
    """What a search tries: the network as it is, and with units."""
    network, images = quadratic_network(6, squares=squares), rows(400, 1)
    accepted = input_range(images)

    @cache
    def programs(bits: int) -> Program:
        return run_passes(network, bits, images[:8])

    evidence = gather(network, programs(16), images, rows(1000, 2), accepted)
    turned = phased(programs, evidence, 16, 0.01)
    assert turned is not None
    return Judged(programs, evidence), turned, Allowed(max_error, 1.0)


def bundle_with_units(squares: int, max_error: float) -> BatchBundle:
    _, turned, allowed = kinds(squares, max_error)
    choice = smallest_fast(search([turned], allowed, TYPICAL_RESIDUE_TIMES), Limits())
    accepted = input_range(rows(400, 1))
    return bundle_of(quadratic_network(6, squares=squares), choice, turned.evidence, accepted, TYPICAL_RESIDUE_TIMES)


@pytest.fixture(scope="module")
def bundle() -> BatchBundle:
    return bundle_with_units(2, 0.5)


@pytest.mark.parametrize(("squares", "max_error"), [(1, 0.05), (2, 0.5)])
def test_phases_save_bits_of_the_modulus(squares: int, max_error: float) -> None:
    plain, turned, allowed = kinds(squares, max_error)
    bits = []
    for kind in (plain, turned):
        (best, *_) = search([kind], allowed, TYPICAL_RESIDUE_TIMES)
        assert best.promise.error <= max_error and best.plan.units == kind.units
        bits.append(best.modulus_bits)
    assert bits[1] < bits[0] - 4.5


def test_the_compiler_takes_the_smallest_upload_of_fast_plans_of_both_kinds() -> None:
    plain, turned, allowed = kinds(2, 0.5)
    found = [choice for kind in (plain, turned) for choice in search([kind], allowed, TYPICAL_RESIDUE_TIMES)]
    chosen = compile_throughput(
        quadratic_network(6, squares=2), rows(400, 1), held_out=rows(1000, 2), limits=Limits(max_error=0.5)
    ).report
    fastest = min(choice.predicted_us for choice in found)
    assert chosen["predicted_us_per_image"] <= 1.05 * fastest
    near = [upload_bytes(choice) for choice in found if choice.predicted_us <= 1.05 * fastest]
    assert chosen["upload_bytes"] == pytest.approx(min(near), rel=1e-6)


@pytest.mark.parametrize(("squares", "unit"), [(0, 4.0), (1, 4.0), (2, 32.0), (3, 64.0)])
def test_units_take_the_place_of_constants(squares: int, unit: float) -> None:
    program = program_of(quadratic_network(6, squares=squares))
    made = homogeneous(program, unit)
    assert made is not None and made.inputs == 12 + UNITS
    for form in made.forms:
        constants = [getattr(form, name) for name in ("bias", "linear", "constant") if hasattr(form, name)]
        assert constants and not np.any(constants[0])
    wanted = program.run(rows(100, 3))[-1]
    found = made.run(with_units(rows(100, 3), units_of(unit)))[-1]
    assert np.abs(found - wanted).max() < 0.02 * np.abs(wanted).max()


@pytest.mark.parametrize("squares", [0, 1, 2, 3])
def test_a_phase_comes_back_as_its_power(squares: int) -> None:
    """w x and w times the units give w^d times the outputs, for every w."""
    made = homogeneous(program_of(quadratic_network(6, squares=squares)), 32.0)
    assert made is not None
    inputs, turn = with_units(rows(20, 4), units_of(32.0)), np.exp(1.234j)
    np.testing.assert_allclose(made.run(turn * inputs)[-1], turn ** (2**squares) * made.run(inputs)[-1], rtol=1e-9)


def test_a_larger_unit_gives_smaller_codes() -> None:
    program = program_of(quadratic_network(6))
    codes = []
    for unit in (1.0, 16.0):
        made = homogeneous(program, unit)
        assert made is not None and isinstance(made.forms[0], LinearForm)
        codes.append(np.abs(made.forms[0].codes[:, 12:].toarray()[:8]).max())
    assert codes[0] > 4 * codes[1]


def test_programs_of_another_shape_keep_their_constants() -> None:
    program = program_of(quadratic_network(6))
    matrix, square, last = program.forms
    assert isinstance(square, QuadraticForm) and isinstance(last, LinearForm)
    product = ProductForm(layer="p", sources=(1, 1), size=8)
    total = SumForm(layer="s", sources=(1, 2), weights=np.ones((2, 8)), constant=np.zeros(8))
    flat = replace(square, square=np.append(0.0, square.square[1:]))
    steep = replace(square, linear=np.full(8, 1e9))
    for forms in (
        (matrix, square),
        (matrix, square, replace(square, sources=(2,)), replace(last, sources=(3,))),
        (matrix, product, last),
        (matrix, square, total, replace(last, sources=(3,))),
        (matrix, flat, last),
        (matrix, steep, last),
    ):
        assert homogeneous(Program(12, forms), 16.0) is None
    assert homogeneous(program, 1e-12) is None  # codes of such a unit would be huge


@pytest.mark.parametrize(("square", "bias"), [(1e30, 0.0), (1e-30, 0.0), (1e30, 1.0)])
def test_units_that_grow_or_vanish_beyond_float64_are_given_up(square: float, bias: float) -> None:
    program = program_of(quadratic_network(6, squares=3))
    forms = tuple(
        replace(form, square=np.full(form.features, square), linear=np.zeros(form.features))
        if isinstance(form, QuadraticForm)
        else replace(form, bias=np.full(form.features, bias))
        for form in program.forms
        if isinstance(form, QuadraticForm | LinearForm)
    )
    assert homogeneous(Program(12, forms), 32.0) is None


def test_complex_slots_are_the_values_of_the_polynomial() -> None:
    rng = np.random.default_rng(5)
    slots = rng.normal(size=(3, 64)) + 1j * rng.normal(size=(3, 64))
    np.testing.assert_allclose(complex_slots(coefficients(slots)), slots, atol=1e-12)
    np.testing.assert_allclose(complex_slots(coefficients(slots.real)), slots.real, atol=1e-12)


def test_phases_follow_from_the_batch_and_the_block_and_are_uniform() -> None:
    head = FrameHead(bytes(range(16)), 3, 5, 4096)
    found = phases(head)
    np.testing.assert_allclose(np.abs(found), 1, rtol=1e-12)
    np.testing.assert_array_equal(found[:100], phases(replace(head, images=100, blocks=0)))
    for other in (replace(head, block=4), replace(head, batch_id=bytes(16))):
        assert abs(np.vdot(found, phases(other))) < 5 * np.sqrt(4096)
    for power in (1, 2, 4, 8):
        assert abs(np.sum(found**power)) < 4 * np.sqrt(4096)


@pytest.mark.parametrize("count", [1, 2, 3, "slots - 1", "slots", "slots + 1"])
def test_batches_of_any_size_give_the_answers_of_the_network(bundle: BatchBundle, count: int | str) -> None:
    client, server, slots = BatchClient(bundle.client), BatchServer(bundle.server), bundle.client.block_images
    number = count if isinstance(count, int) else slots + {"slots - 1": -1, "slots": 0, "slots + 1": 1}[count]
    images = rows(number, 6)
    found = client.decrypt_batch(server.run_batch(client.encrypt_batch(images)))
    assert found.shape == (number, 3)
    assert np.abs(found - run_clear(bundle.server.plan, images)).max() < bundle.client.predicted_logit_error


@pytest.mark.parametrize("count", [1, 2047, 2049])
def test_products_sums_and_selections_keep_phases(count: int) -> None:
    made = small_batch_bundle_with_units()
    client, server = BatchClient(made.client), BatchServer(made.server)
    images = np.random.default_rng(11).uniform(-1, 1, size=(count, 2, 3))
    found = client.decrypt_batch(server.run_batch(client.encrypt_batch(images)))
    np.testing.assert_allclose(found, homogeneous_by_hand(images), atol=made.client.predicted_logit_error)
    np.testing.assert_allclose(run_clear(made.server.plan, images.reshape(count, 6)), homogeneous_by_hand(images))


def test_another_process_with_the_key_reads_the_answers(bundle: BatchBundle) -> None:
    client = BatchClient(bundle.client)
    images = rows(5, 12)
    reply = BatchServer(bundle.server).run_batch(client.encrypt_batch(images))
    found = BatchClient(bundle.client, client.secret_key).decrypt_batch(reply)
    assert np.abs(found - run_clear(bundle.server.plan, images)).max() < bundle.client.predicted_logit_error


def test_alike_and_extreme_images_fill_a_block(bundle: BatchBundle) -> None:
    """The case that phases are for: without them, all slots of a block would add up in the first coefficients."""
    client, server = BatchClient(bundle.client), BatchServer(bundle.server)
    calibration = rows(1000, 2)
    outputs = run_clear(bundle.server.plan, calibration)
    worst = calibration[np.abs(outputs).max(axis=1).argmax()]
    images = np.tile(worst, (bundle.client.block_images, 1))
    found = client.decrypt_batch(server.run_batch(client.encrypt_batch(images)))
    assert np.abs(found - run_clear(bundle.server.plan, images)).max() < bundle.client.predicted_logit_error
    held = run_clear(bundle.server.plan, images[:1])[0] * bundle.client.output_scales
    assert np.abs(held).max() > 2.0 ** (bundle.client.params.log2_qp - 1)  # more than the modulus holds in one slot


def test_coefficients_that_leave_the_modulus_are_put_right(bundle: BatchBundle) -> None:
    """Alike images, so large that the modulus ends at 2.5 standard deviations of a coefficient: one in 80 wraps
    around."""
    plan, slots, calibration = bundle.server.plan, bundle.client.block_images, rows(1000, 2)
    worst = calibration[np.abs(run_clear(plan, calibration)).max(axis=1).argmax()]
    larger = np.linspace(1, 4, 600)[:, None] * worst
    sizes = np.abs(run_clear(plan, larger) * bundle.client.output_scales).max(axis=1) / np.sqrt(2 * slots)
    half = 2.0 ** (plan.params.log2_qp - 1)
    place = int((sizes > half / 2.5).argmax())
    assert half / 2.6 < sizes[place] < half / 2.4
    images = np.tile(larger[place], (slots, 1))
    wide = replace(bundle.client, input_low=np.full(12, -10.0), input_high=np.full(12, 10.0))
    wanted = run_clear(plan, images)
    client = BatchClient(wide)
    found = client.decrypt_batch(BatchServer(bundle.server).run_batch(client.encrypt_batch(images)))
    assert np.abs(found - wanted).max() < 10 * bundle.client.predicted_logit_error < 0.5 * np.abs(wanted).max()


def test_answers_of_which_too_much_wrapped_around_are_refused(bundle: BatchBundle) -> None:
    wide = replace(bundle.client, input_low=np.full(12, -100.0), input_high=np.full(12, 100.0))
    client, server = BatchClient(wide), BatchServer(bundle.server)
    for factor in (4.0, 40.0, 100.0):
        reply = server.run_batch(client.encrypt_batch(factor * np.sign(rows(wide.block_images, 7))))
        with pytest.raises(AnswerRangeError, match="reply, frame 0: the answers of this block are so .* unlike"):
            client.decrypt_batch(reply)
    # one such image among others does no harm
    images = rows(wide.block_images, 8)
    images[5] *= 4
    found = client.decrypt_batch(server.run_batch(client.encrypt_batch(images)))
    error = np.abs(found - run_clear(bundle.server.plan, images)).max(axis=1)
    assert np.delete(error, 5).max() < wide.predicted_logit_error and error[5] < 100 * wide.predicted_logit_error


def test_coefficients_are_as_likely_as_predicted_to_be_large(bundle: BatchBundle) -> None:
    """Hoeffding's bound on a coefficient, at probabilities that a trial can show; alike images are the worst case."""
    rng, degree = np.random.default_rng(9), 2048
    exceeded = {2.0: 0, 3.0: 0}
    for _ in range(100):
        turns = np.exp(2j * np.pi * rng.random(degree // 2))
        found = np.abs(coefficients(turns)) * np.sqrt(degree)  # in units of the standard deviation bound
        for sigmas in exceeded:
            exceeded[sigmas] += int((found > sigmas).sum())
    for sigmas, times in exceeded.items():
        assert 0 < times / (100 * degree) < 2 * np.exp(-(sigmas**2) / 2)
    needed = bundle.report["modulus_bits_needed"]
    assert MISREAD_PROBABILITY <= 1e-12 and needed <= bundle.client.params.log2_qp


def test_planes_are_what_the_slots_hold(bundle: BatchBundle) -> None:
    head, images = FrameHead(bytes(16), 0, 1, 64), rows(64, 10)
    found = planes(bundle.client, images, head)
    signs = 1 - 2 * (np.arange(64) % 2)
    held = found[0] + 1j * signs[:, None] * found[1]
    np.testing.assert_allclose(held, phases(head)[:, None] * with_units(images, bundle.client.units), rtol=1e-12)
    turns = answer_turns(bundle.client, head)
    np.testing.assert_allclose(turns[:64], phases(head) ** bundle.client.answer_degree)
    np.testing.assert_array_equal(turns[64:], np.ones(bundle.client.block_images - 64))


def test_bundles_with_units_are_written_and_read(bundle: BatchBundle, tmp_path: Path) -> None:
    save_bundle(bundle, tmp_path / "bundle")
    read = load_bundle(tmp_path / "bundle")
    assert isinstance(read, BatchBundle) and read.client.units == bundle.client.units == read.server.plan.units
    assert read.server.bundle_id == bundle.server.bundle_id
    assert "slots     of random phase; 3 inputs of constants" in read.explain()


@pytest.mark.parametrize("units", [(0.0,), (-1.0,), (1e300,), (1.0,) * 17])
def test_impossible_units_are_refused(bundle: BatchBundle, units: tuple[float, ...]) -> None:
    fault = batch_client_fault(replace(bundle.client, units=units))
    assert fault is not None and fault[0] == "units"


def test_plans_with_units_have_no_constants_and_one_degree(bundle: BatchBundle) -> None:
    plan = bundle.server.plan
    number = next(number for number, step in enumerate(plan.steps) if isinstance(step, Quadratic))
    for name in ("linear", "constant"):
        wrong_constants: dict[str, Any] = {name: np.ones(plan.steps[number].features)}
        step = replace(plan.steps[number], **wrong_constants)
        steps = (*plan.steps[:number], step, *plan.steps[number + 1 :])
        with pytest.raises(PlanError, match=f"field '{name}' is not zero in a plan with units"):
            dry_run(replace(plan, steps=steps))
    for wrong in ((-1.0,), (np.inf,), (1.0,) * plan.inputs):
        with pytest.raises(PlanError, match="field 'units'"):
            dry_run(replace(plan, units=wrong))
