"""Two threads do the same work as one: every piece once, the same bits, also for requests at the same time."""

import gc
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numba import njit

from secure.engine.atomics import increase, let_others, look
from secure.engine.evaluator import EngineBackend
from secure.engine.team import ALONE, Team, shared
from secure.parties.backends import usable_cores
from tests.secure.plans import baby_giant_plan, complex_plan, every_kind_plan
from tests.secure.test_tenseal_evaluator import Party, uniform

#: How often a test reads a word before it decides that no thread will change it; starting a thread takes far less.
LOOKS = 10_000_000


@shared
@njit(nogil=True)
def add_one(piece, worker, counts):
    counts[piece] += 1


@shared
@njit(nogil=True)
def wait_for_the_other(piece, worker, word, workers):
    """A piece that ends only when both pieces have begun."""
    workers[piece] = worker
    increase(word)
    looks = 0
    while look(word) < 2 and looks < LOOKS:
        let_others()
        looks += 1


@njit(nogil=True)
def count_often(team, rounds, counts):
    for round_ in range(rounds):
        add_one(team, 1 + round_ % len(counts), (counts,))


@njit(nogil=True)
def wait_in_two(team, word, workers):
    wait_for_the_other(team, 2, (word, workers))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_piece_is_done_once(threads):
    team, counts = Team(threads), np.zeros(13, dtype=np.int64)
    for _ in range(20):
        with team.gathered() as address:
            count_often(address, 1300, counts)
    np.testing.assert_array_equal(counts, 20 * 100 * np.arange(13, 0, -1))


@pytest.mark.skipif(usable_cores() < 2, reason="a helper keeps off the leader's core")
def test_two_pieces_are_worked_on_at_once():
    """Each thread is pinned to a core of its own, so that the machine's load cannot run them one after the other."""
    before, cores = set(threading.enumerate()), os.sched_getaffinity(0)
    team, word, workers = Team(2), np.zeros(1, dtype=np.int64), np.full(2, -1)
    (helper,) = set(threading.enumerate()) - before
    own, other = sorted(cores)[:2]
    os.sched_setaffinity(helper.native_id, {other})
    os.sched_setaffinity(threading.get_native_id(), {own})
    try:
        with team.gathered() as address:
            wait_in_two(address, word.ctypes.data, workers)
    finally:
        os.sched_setaffinity(threading.get_native_id(), cores)
    assert sorted(workers) == [0, 1]


def test_a_team_works_on_one_request_at_a_time_and_is_free_after_an_error():
    team = Team(2)
    with pytest.raises(ZeroDivisionError, match="the request failed"), team.gathered() as first:
        with team.gathered() as second:
            assert second == ALONE != first
        raise ZeroDivisionError("the request failed")
    with team.gathered() as again:
        assert again == first


def test_helpers_end_with_their_team():
    before = set(threading.enumerate())
    team = Team(3)
    helpers = set(threading.enumerate()) - before
    assert len(helpers) == 2
    del team
    gc.collect()
    for helper in helpers:
        helper.join(timeout=60)
        assert not helper.is_alive()


@pytest.mark.parametrize("plan", [every_kind_plan(), baby_giant_plan(), complex_plan()])
def test_two_threads_compute_the_same_bits_as_one(plan):
    party = Party(plan)
    one, two = (EngineBackend(party.ring, plan, 2**30, None, threads) for threads in (1, 2))
    evaluators = one.evaluator(party.keys), two.evaluator(party.keys)
    inputs = [one.load(party.encrypt(uniform(seed))) for seed in range(plan.inputs)]
    wanted = one.run(evaluators[0], inputs)
    for _ in range(10):
        for value, expected in zip(two.run(evaluators[1], inputs), wanted, strict=True):
            np.testing.assert_array_equal(value.rows, expected.rows)


def test_requests_at_the_same_time_do_not_disturb_each_other():
    """Three clients, each with its own keys and input, send many requests to one backend of two threads."""
    plan = baby_giant_plan()
    parties = [Party(plan) for _ in range(3)]
    one, two = (EngineBackend(parties[0].ring, plan, 2**30, None, threads) for threads in (1, 2))
    inputs = [[two.load(party.encrypt(uniform(seed)))] for seed, party in enumerate(parties)]
    wanted = [one.run(one.evaluator(party.keys), own) for party, own in zip(parties, inputs, strict=True)]
    evaluators, start = [two.evaluator(party.keys) for party in parties], threading.Barrier(len(parties))

    def wrong(client):
        start.wait()
        answers = [two.run(evaluators[client], inputs[client]) for _ in range(20)]
        return sum(not np.array_equal(value.rows, wanted[client][0].rows) for (value, *_) in answers)

    with ThreadPoolExecutor(len(parties)) as pool:
        assert list(pool.map(wrong, range(len(parties)))) == [0, 0, 0]
