"""Numbers, names and seeds are told apart; every function with a seed refuses a wrong one before any work."""

import numpy as np
import pytest

import cipherpress as cp
from cipherpress.zoo.training import train, train_spec
from compress.blocks.importance import block_responses
from compress.blocks.prune import prune_blocks
from compress.checks import LARGEST_SEED, check_seed, is_number, is_whole, tuple_of_names
from compress.conversion.convert import convert
from compress.errors import ConfigError
from compress.joint.quantize import joint_quantize
from compress.opq.curvature import weight_curvature
from compress.opq.shots import Shot, opq_in_shots
from compress.press.candidates import Candidates
from compress.press.pressing import coded, pressed, pruned, trained
from compress.press.setting import Setting
from compress.training.finetune import finetune
from compress.training.held_out import hold_out
from compress.training.loop import fit_
from compress.training.schedule import Schedule

SCHEDULE = Schedule(epochs=1, learning_rate=0.1)


@pytest.mark.parametrize("seed", [-1, 1.0, "0", None, True, 2**63])
def test_a_seed_that_no_generator_takes_is_refused(seed):
    with pytest.raises(ConfigError) as caught:
        check_seed(seed)
    assert str(caught.value) == f"seed: got {seed!r}; allowed: a whole number from 0 to 2^63 - 1"
    assert caught.value.field == "seed"


def test_seeds_of_python_and_numpy_are_taken():
    assert [check_seed(seed) for seed in (0, 7, np.int64(7), LARGEST_SEED)] == [None] * 4


@pytest.mark.parametrize(
    "call",
    [
        lambda: convert(None, None, seed=-1),
        lambda: finetune(None, None, seed=-1),
        lambda: fit_(None, None, None, SCHEDULE, loss=None, seed=-1),
        lambda: hold_out(None, seed=-1),
        lambda: prune_blocks(None, None, seed=-1),
        lambda: block_responses(None, None, None, {}, seed=-1),
        lambda: joint_quantize(None, None, seed=-1),
        lambda: weight_curvature(None, None, seed=-1),
        lambda: opq_in_shots(None, None, [Shot(0.5, 4, 1)], seed=-1),
        lambda: pruned(None, None, Setting(), seed=-1),
        lambda: coded(None, None, Setting(bits=None, sparsity=0.0), seed=-1),
        lambda: pressed(None, None, Setting(), seed=-1),
        lambda: trained(None, None, Setting(), seed=-1),
        lambda: Candidates(None, None, None, seed=-1),
        lambda: train(None, None, None, seed=-1),
        lambda: train_spec("no-such-network", None, seed=-1),
        lambda: cp.press(None, None, seed=-1),
        lambda: cp.press_for(None, None, cp.Target(min_accuracy=0.5), seed=-1),
    ],
)
def test_every_function_with_a_seed_checks_it_first(call):
    with pytest.raises(ConfigError, match="^seed: got -1; allowed: a whole number from 0 to"):
        call()


def test_numbers_are_told_from_what_looks_like_them():
    assert all(is_whole(value) for value in (0, -3, np.int32(4)))
    assert not any(is_whole(value) for value in (1.0, True, np.bool_(True), "1", None))
    assert all(is_number(value) for value in (0, 1.5, np.float32(1.5), np.int64(2)))
    assert not any(is_number(value) for value in (False, np.bool_(True), "1.5", None, 1j, [1]))


def test_names_become_a_tuple():
    assert tuple_of_names("straight", ["a", "b"]) == ("a", "b")
    assert tuple_of_names("straight", ()) == ()
