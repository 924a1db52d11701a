"""The walk, the cleartext evaluator against numpy, and the dry run against plans with one wrong field."""

import weakref
from dataclasses import replace

import numpy as np
import pytest

from compress.errors import BackendError, PlanError
from secure.evaluators.clear import ClearEvaluator, run_clear
from secure.evaluators.dry import dry_run
from secure.evaluators.walk import walk
from secure.noise import centred_key_switch_variance, fresh_variance
from secure.params import make_params
from secure.plan import Kind, galois_element
from tests.secure.plans import FLAT, SMALL, Builder, complex_by_hand, complex_plan, every_kind_by_hand, every_kind_plan


def slots(seed=1, images=()):
    return np.random.default_rng(seed).uniform(-1, 1, (*images, SMALL.slots))


def test_clear_equals_numpy_by_hand():
    plan, x = every_kind_plan(), slots()
    for found, wanted in zip(run_clear(plan, [x]), every_kind_by_hand(plan, x), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


def test_complex_slots_equal_numpy_by_hand():
    plan, x = complex_plan(), slots(2) + 1j * slots(3)
    for found, wanted in zip(run_clear(plan, [x]), complex_by_hand(plan, x), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


def test_a_conjugation_needs_its_own_key():
    elements = {galois_element(5, 4096), 2 * 4096 - 1, 2 * 4096 - galois_element(5, 4096)}
    assert dry_run(complex_plan()).galois_elements == {2 * 4096 - 1, 2 * 4096 - galois_element(5, 4096)} < elements


def test_clear_runs_a_batch_of_images_at_once():
    plan, x = every_kind_plan(), slots(images=(3,))
    np.testing.assert_array_equal(run_clear(plan, [x])[0][2], run_clear(plan, [x[2]])[0])


def test_simulated_noise_is_seeded_and_has_the_predicted_size():
    builder = Builder()
    plan, x = builder.build(builder.rotate(0, 1)), slots()
    noisy = run_clear(plan, [x], noise_seed=5)[0]
    np.testing.assert_array_equal(noisy, run_clear(plan, [x], noise_seed=5)[0])
    predicted = fresh_variance(SMALL.poly_modulus_degree) + centred_key_switch_variance(SMALL, 2)
    measured = np.var((noisy - np.roll(x, -1)) * plan.input_scale)
    assert measured == pytest.approx(predicted / 2, rel=0.15)  # the other half is imaginary; there are 2,048 samples


def test_walk_frees_values_after_their_last_use():
    plan, alive, peaks = every_kind_plan(), set(), []

    class Value:
        def __init__(self, name):
            self.name = name
            alive.add(name)

        def __del__(self):
            alive.discard(self.name)

    class Names:
        """An evaluator whose operations each make a new tracked value."""

        count = 0

        def _make(self, *_):
            self.count += 1
            return Value(self.count)

        rotate = conjugate = multiply_plain = add = add_plain = square = multiply = relinearize = rescale = drop = _make

    results = walk(plan, Names(), [Value("input")], lambda value, op, result: peaks.append(len(alive)))
    assert len(alive) == len(results) == 2
    assert max(peaks) == dry_run(plan).peak_ciphertexts == 4  # input, two products, their sum


def test_walk_refuses_the_wrong_number_of_inputs():
    with pytest.raises(PlanError, match="2 ciphertexts were given, the plan takes 1"):
        run_clear(every_kind_plan(), [slots(), slots()])


def test_clear_refuses_vectors_of_the_wrong_width():
    with pytest.raises(PlanError, match="each needs 2048 slots"):
        run_clear(every_kind_plan(), [np.zeros(5)])


def test_an_operation_that_fails_in_clear_names_its_layer():
    plan = every_kind_plan()
    narrow = replace(plan.constants[0], slots=np.ones(3, np.float32))
    with pytest.raises(BackendError, match="layer 'fc': multiply_plain to level 2: operands could not be broadcast"):
        run_clear(replace(plan, constants=(narrow, *plan.constants[1:])), [slots()])


def test_dry_run_counts_by_kind_and_level_and_lists_galois_elements():
    result = dry_run(every_kind_plan())
    assert result.operations == {
        (Kind.ROTATE, 2): 1,
        (Kind.ROTATE, 1): 1,
        (Kind.MULTIPLY_PLAIN, 2): 2,
        (Kind.ADD, 2): 1,
        (Kind.ADD_PLAIN, 2): 1,
        (Kind.SQUARE, 2): 1,
        (Kind.RELINEARIZE, 2): 1,
        (Kind.RESCALE, 2): 1,
        (Kind.DROP, 2): 1,
    }
    assert set(result.galois_elements) == {galois_element(3, 4096), galois_element(2, 4096)} == {27, 9}
    assert result.galois_elements == set(every_kind_plan().key_manifest.galois_elements)


# index of the operation, fields to change, message
OP_MUTATIONS = [
    (0, {"steps": 0}, "layer 'fc': operation rotate rotates by nothing"),
    (0, {"steps": 2048}, "rotates by nothing"),
    (0, {"level": 1}, "operation rotate says level 1, it is 2"),
    (0, {"scale": 2.0**20 + 1}, "says scale 1048577, it is 1048576"),
    (0, {"parts": 3}, "says 3 parts, it has 2"),
    (0, {"args": (9,)}, r"operation rotate, value 1, reads \(9,\); 1 earlier values are needed"),
    (0, {"args": (-1,)}, r"reads \(-1,\); 1 earlier values are needed"),
    (0, {"args": ()}, r"reads \(\); 1 earlier values are needed"),
    (0, {"constant": 0}, "operation rotate reads constant 0, which it does not have"),
    (0, {"kind": Kind.RELINEARIZE, "steps": 0}, "relinearizes a value of two parts"),
    (1, {"constant": 17}, "operation multiply_plain reads constant 17, which it does not have"),
    (1, {"constant": -1}, "operation multiply_plain reads constant -1"),
    (1, {"steps": 1}, "operation multiply_plain has 1 steps and does not rotate"),
    (3, {"args": (3,)}, r"operation add, value 4, reads \(3,\); 2 earlier values are needed"),
    (3, {"args": (3, 1)}, r"adds scales 4.29497e\+09 and 1.04858e\+06"),
    (4, {"constant": 0}, r"layer 'act': operation add_plain adds a constant of scale 4096 to 4.29497e\+09"),
    (5, {"parts": 2}, "operation square says 2 parts, it has 3"),
    (6, {"kind": Kind.ROTATE, "steps": 1}, "moves a value that was not relinearized"),
    (6, {"kind": Kind.SQUARE}, "squares a value that was not relinearized"),
    (9, {"kind": Kind.RESCALE, "steps": 0}, "layer 'skip': operation rescale rescales at the last level"),
    (9, {"kind": Kind.DROP, "steps": 0}, "operation drop drops the last level"),
    (9, {"kind": Kind.ADD, "steps": 0, "args": (0, 9)}, "operation add adds levels 2 and 1"),
    (9, {"kind": Kind.ADD, "steps": 0, "args": (6, 7)}, "operation add adds 3 parts to 2"),
    (9, {"kind": Kind.MULTIPLY_PLAIN, "steps": 0, "constant": 0}, "reads a constant of level 2 at level 1"),
]


@pytest.mark.parametrize(("index", "changes", "message"), OP_MUTATIONS)
def test_dry_run_catches_an_operation_with_one_thing_wrong(index, changes, message):
    plan = every_kind_plan()
    dry_run(plan)
    ops = list(plan.ops)
    ops[index] = replace(ops[index], **changes)
    with pytest.raises(PlanError, match=message):
        dry_run(replace(plan, ops=tuple(ops)))


PLAN_MUTATIONS = [
    ({"inputs": 0}, "the plan takes 0 ciphertexts"),
    ({"input_level": 0}, "level 0; the parameters have 1 to 2"),
    ({"input_level": 3}, "level 3; the parameters have 1 to 2"),
    ({"input_level": 1}, "says level 2, it is 1"),
    ({"input_scale": 0.0}, "scale 0.0; it must be positive"),
    ({"input_scale": float("nan")}, "scale nan; it must be positive"),
    ({"input_scale": 2.0**21}, "says scale 1048576, it is 2097152"),
    ({"outputs": ()}, r"the plan returns values \(\), which it does not have"),
    ({"outputs": (99,)}, r"the plan returns values \(99,\), which it does not have"),
    ({"params": make_params(4096, [36, 30], None)}, "operation rotate needs a key-switching prime"),
    ({"params": make_params(4096, [36, 29.5], 39)}, "layer 'act': operation rescale says scale"),
]


@pytest.mark.parametrize(("changes", "message"), PLAN_MUTATIONS)
def test_dry_run_catches_a_plan_with_one_thing_wrong(changes, message):
    with pytest.raises(PlanError, match=message):
        dry_run(replace(every_kind_plan(), **changes))


CONSTANT_MUTATIONS = [
    ({"level": 1}, "layer 'fc': operation multiply_plain reads a constant of level 1 at level 2"),
    ({"scale": 0.0}, "reads a constant of scale 0.0"),
    ({"scale": float("inf")}, "reads a constant of scale inf"),
    ({"scale": 2.0**11}, r"says scale 4.2949673e\+09, it is 2.14748365e\+09"),
    ({"slots": np.ones(5, np.float32)}, "reads a constant of the wrong length"),
    ({"slots": np.full(2048, np.inf, np.float32)}, "reads a constant that is not finite"),
    ({"slots": np.zeros(2048, np.float32)}, "reads a constant of zeros"),
]


@pytest.mark.parametrize(("changes", "message"), CONSTANT_MUTATIONS)
def test_dry_run_catches_a_constant_with_one_thing_wrong(changes, message):
    plan = every_kind_plan()
    constants = (replace(plan.constants[0], **changes), *plan.constants[1:])
    with pytest.raises(PlanError, match=message):
        dry_run(replace(plan, constants=constants))


def test_dry_run_refuses_a_scale_that_wraps_around():
    builder = Builder()
    plan = builder.build(builder.multiply_plain(0, 1.0, 2.0**60))
    with pytest.raises(PlanError, match=r"operation multiply_plain has scale 2\^80.0 where 77.0 bits are the most"):
        dry_run(plan)


def test_relinearizing_needs_a_special_prime():
    builder = Builder(params=FLAT)
    plan = builder.build(builder.relinearize(builder.square(0)))
    with pytest.raises(PlanError, match="operation relinearize needs a key-switching prime"):
        dry_run(plan)


def test_a_plan_without_key_switches_needs_no_special_prime():
    builder = Builder(params=FLAT)
    plan = builder.build(builder.add_plain(builder.multiply_plain(0, 0.5, 2.0**10), 1.0))
    assert dry_run(plan).galois_elements == frozenset()


def test_a_value_without_readers_is_freed():
    builder = Builder()
    builder.rotate(0, 1)
    plan, alive = builder.build(builder.rotate(0, 2)), []
    walk(plan, ClearEvaluator(plan), [slots()], lambda number, op, result: alive.append(weakref.ref(result)))
    assert alive[0]() is None
