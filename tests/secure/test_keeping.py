"""Keep bits on ciphertexts: the plan, its operations, and both parties."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import cipherpress as cp
from compress.errors import ConfigError, InputRangeError, InsecureParametersError
from secure.bundle.specs import Bundle
from secure.comparison.bundling import keeping_bundle, keeping_params, planned_keeping
from secure.comparison.grid import PairGrid
from secure.comparison.keeping import ClearOperations, Keeping, Leveled
from secure.comparison.planning import PlanOperations, Value
from secure.comparison.sign import composite_sign
from secure.evaluators.clear import run_clear
from secure.params import make_params
from secure.parties.registrations import registration_bytes
from secure.plan import Kind
from secure.seal.sizes import client_keys_bytes
from secure.verify.roundtrip import clear_outputs


def small() -> Keeping:
    return Keeping(PairGrid(6, 6, 2, ((0, 0), (1, 1)), 8192), composite_sign(0.25, (7,), most=1.0))


def bits(keeping: Keeping, scores: np.ndarray) -> np.ndarray:
    return keeping.evaluate(Leveled(keeping.grid.pack(scores)), ClearOperations()).slots[keeping.grid.cell_slots]


def encrypted(bundle: Bundle, scores: np.ndarray) -> np.ndarray:
    client, server = cp.Client(bundle.client), cp.Server(bundle.server)
    server.register(client.evaluation_key)
    return client.decrypt(server.run(client.encrypt(scores)))


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (lambda run, x, y: run.multiply(x, y), lambda x, y: x * y),
        (lambda run, x, y: run.square(x), lambda x, y: x * x),
        (lambda run, x, y: run.subtract(x, y), lambda x, y: x - y),
        (lambda run, x, y: run.multiply(run.square(x), y), lambda x, y: x * x * y),
        (lambda run, x, y: run.lowered(x, 1), lambda x, y: x),
        (lambda run, x, y: run.add_plain(run.multiply_plain(x, 0.5), 2.0), lambda x, y: x / 2 + 2),
    ],
)
def test_operations_written_down_compute_what_they_say(operation: Callable, expected: Callable) -> None:
    run = PlanOperations(make_params(8192, [50, 40, 40], 50), 40)
    output = operation(run, run.input, run.rotate(run.input, 5))
    plan = run.plan(output)
    x = np.random.default_rng(0).uniform(-1, 1, run.params.slots)
    found = np.real(run_clear(plan, [x[None]])[0][0])
    assert found == pytest.approx(expected(x, np.roll(x, -5)), abs=1e-6)
    for number, op in plan.numbered():
        if op.kind is Kind.RESCALE:
            own = plan.scale_of(op.args[0]) / plan.params.data_primes[op.level]
            assert plan.scale_of(number) == pytest.approx(own, rel=1e-12)
        if op.kind is Kind.ADD:
            assert plan.scale_of(op.args[0]) == pytest.approx(plan.scale_of(op.args[1]), rel=1e-12)
    assert plan.scale_of(output.number) == pytest.approx(run.scales[output.level], rel=1e-12)


def test_lowering_drops_primes_and_keeps_the_scale_of_the_level() -> None:
    run = PlanOperations(make_params(8192, [50, 30, 30, 30], 50), 30)
    assert run.lowered(run.input, 1).level == 1
    assert [op.kind for op in run.ops] == [Kind.DROP, Kind.DROP, Kind.MULTIPLY_PLAIN, Kind.RESCALE]
    assert run.lowered(Value(0, 4), 4) == run.input


def test_scales_of_many_levels_stay_with_their_primes_and_leave_the_last_one_room() -> None:
    keeping = Keeping(PairGrid(4, 4, 2, ((0, 0),), 16384), composite_sign(2**-9, (15, 15, 15), most=1.0))
    run = PlanOperations(keeping_params(keeping, 38), 38)
    plan = run.plan(keeping.evaluate(run.input, run))
    assert run.params.levels > 16
    assert max(abs(np.log2(scale) - 38) for scale in run.scales.values()) < 0.01
    for output in plan.outputs:
        assert 8 * plan.scale_of(output) < plan.params.data_primes[0]
    for bits in (48.0, 10.0, np.nan):
        with pytest.raises(ConfigError, match="^bits: got"):
            keeping_bundle(keeping, bits)


def test_keep_bits_of_a_small_grid_come_back_encrypted() -> None:
    keeping = small()
    bundle = keeping_bundle(keeping, 27)
    scores = np.random.default_rng(1).random((6, 6))
    clear = bits(keeping, scores)
    assert clear_outputs(bundle, scores.reshape(1, 6, 6))[0] == pytest.approx(clear.ravel(), abs=1e-5)
    found = encrypted(bundle, scores)
    assert np.abs(found - clear).max() < bundle.client.predicted_logit_error < 0.05
    with pytest.raises(InputRangeError, match="1.5"):
        cp.Client(bundle.client).encrypt(np.full((6, 6), 1.5))


def test_a_bundle_of_keep_bits_is_saved_and_read_again(tmp_path: Path) -> None:
    bundle = keeping_bundle(small(), 27)
    cp.save(bundle, tmp_path / "bundle")
    again = cp.load(tmp_path / "bundle")
    assert again.client.bundle_id == bundle.client.bundle_id
    assert again.report["least_gap"] == bundle.report["least_gap"]
    assert "6 x 6" in again.explain()


def test_levels_that_a_ring_does_not_hold_are_refused() -> None:
    deep = Keeping(PairGrid(4, 4, 2, ((0, 0),), 4096), composite_sign(0.1, (15, 15), most=1.0))
    with pytest.raises(InsecureParametersError, match="128-bit security allows 214"):
        keeping_bundle(deep)
    narrow = Keeping(PairGrid(4, 4, 2, ((0, 0),), 4096), composite_sign(0.1, (7,), most=0.9))
    with pytest.raises(ConfigError, match="^most: got 0.9"):
        keeping_bundle(narrow)


def test_the_planner_takes_the_smallest_ring_and_keeps_its_promises() -> None:
    keeping, bundle = planned_keeping(4, 4, 2, ((0, 0),), least_gap=0.6, deviation=0.25)
    assert bundle.client.params.poly_modulus_degree == 16384
    assert keeping.least_gap == pytest.approx(0.6)
    assert keeping.deviation + bundle.client.predicted_logit_error <= 0.25
    _, finer = planned_keeping(4, 4, 2, ((0, 0),), least_gap=0.1, deviation=0.25)
    assert finer.client.params.poly_modulus_degree == 32768
    assert finer.client.params.log2_qp <= 868


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"least_gap": 1e-6}, "least_gap"),
        ({"least_gap": 0.0}, "least_gap"),
        ({"least_gap": 0.1, "deviation": 0.7}, "deviation"),
        ({"least_gap": 0.1, "kernel": 200}, "least_gap"),
    ],
)
def test_what_no_ring_decides_is_refused(options: dict, field: str) -> None:
    with pytest.raises(ConfigError, match=f"^{field}: got"):
        planned_keeping(4, 4, options.pop("kernel", 2), ((0, 0),), **options)


@pytest.mark.slow
def test_a_grid_of_sixteen_by_sixteen_is_decided_rightly_under_encryption() -> None:
    keeping = Keeping(
        PairGrid(16, 16, 3, ((0, 0), (0, 2), (2, 0), (2, 2)), 16384), composite_sign(2**-5, (15, 15), most=1.0)
    )
    bundle = keeping_bundle(keeping)
    rng = np.random.default_rng(2)
    scores = np.where(rng.random((16, 16)) < 0.6, 0.0, rng.integers(1, 16, (16, 16)) / 15)
    found = encrypted(bundle, scores)
    assert np.abs(found - np.round(bits(keeping, scores))).max() < keeping.deviation
    assert np.abs(found - bits(keeping, scores)).max() < bundle.client.predicted_logit_error < 1e-4


@pytest.mark.parametrize(
    ("gap", "degrees", "bits", "memory_mb", "sent_mb"),
    [(2**-5, (15, 15), 44, 422, 149), (2**-8, (7, 15, 15), 38, 591, 186)],
)
def test_keys_of_a_grid_of_sixteen_take_less_than_a_gigabyte(
    gap: float, degrees: tuple[int, ...], bits: float, memory_mb: float, sent_mb: float
) -> None:
    grid = PairGrid(16, 16, 3, ((0, 0), (0, 2), (2, 0), (2, 2)), 16384)
    bundle = keeping_bundle(Keeping(grid, composite_sign(gap, degrees, most=1.0)), bits)
    assert bundle.report["keys"] == 9
    assert registration_bytes(bundle.server.plan) / 1e6 == pytest.approx(memory_mb, rel=0.02)
    assert client_keys_bytes(bundle.client.params, bundle.client.keys) / 1e6 == pytest.approx(sent_mb, rel=0.02)
