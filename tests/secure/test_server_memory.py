"""What a server takes in memory is known before, and a limit decides how it keeps its constants, or refuses."""

from math import inf, nan

import numpy as np
import pytest

from cipherpress.compiled import _check_memory, check_limits
from compress.errors import ConfigError, PlanBudgetError
from secure.engine.constants import EngineConstants
from secure.engine.ring import EngineRing
from secure.engine.schedule import schedule
from secure.engine.storages import Storage
from secure.limits import Limits
from secure.parties.client import Client
from secure.parties.memory import server_memory
from secure.parties.server import Server
from secure.seal.context import make_ring
from tests.secure.plans import baby_giant_plan, complex_plan, small_bundle

BUNDLE = small_bundle(own_keys=True)


@pytest.mark.parametrize("plan", [BUNDLE.server.plan, baby_giant_plan(), complex_plan()], ids=["all", "map", "complex"])
def test_constants_take_what_was_estimated_whole_packed_and_small(plan):
    found, ring = server_memory(plan), EngineRing(make_ring(plan.params))

    def kept(room):
        return EngineConstants(ring, plan, schedule(plan), room).bytes_by_storage

    assert kept(found.whole) == {**dict.fromkeys(Storage, 0), Storage.WHOLE: found.whole}
    assert kept(found.whole - 1)[Storage.WHOLE] < found.whole
    if found.packed < found.whole:
        between = kept(found.packed + found.small)
        assert sum(between.values()) == found.packed
        assert between[Storage.SMALL] == between[Storage.SMALL_LIFTED] == 0
        assert sum(kept(found.small).values()) == found.small
    assert found.small <= found.packed <= found.whole


def test_a_limit_leaves_room_for_constants_and_the_answer_is_the_same():
    found = server_memory(BUNDLE.server.plan)
    client = Client(BUNDLE.client)
    request = client.encrypt(np.random.default_rng(3).uniform(-1, 1, (4, 8)))
    replies = []
    for limit in (found.fixed + 2 * found.whole, found.least, found.fixed):
        server = Server(BUNDLE.server, memory_bytes=limit)
        server.register(client.evaluation_key)
        replies.append(server.run(request))
    assert replies[0] == replies[1] == replies[2]


@pytest.mark.parametrize("limit", [0, 1e6, -1.0, inf, nan, "8G"])
def test_a_limit_below_what_must_be_there_is_refused_with_the_numbers(limit):
    with pytest.raises(ConfigError, match=r"memory_bytes: got .*; allowed: at least \d.*program 0\.\d\d GB.*keys"):
        Server(BUNDLE.server, memory_bytes=limit)


def test_compiling_refuses_a_plan_whose_server_needs_more_than_the_limit():
    plan = BUNDLE.server.plan
    found = server_memory(plan)
    _check_memory(plan, Limits(memory_bytes=found.least))
    with pytest.raises(PlanBudgetError, match=r"needs 0\.\d\d GB where 0\.\d\d GB are allowed: program .*--memory"):
        _check_memory(plan, Limits(memory_bytes=found.least - 1))
    with pytest.raises(ConfigError, match="memory_bytes: got 0; allowed: above 0"):
        Limits(memory_bytes=0)
    with pytest.raises(ConfigError, match="memory_bytes: .*no limit in mode throughput"):
        check_limits(Limits(memory_bytes=1e9), "throughput")


def test_under_seal_constants_are_whole():
    found = server_memory(BUNDLE.server.plan, under_seal=True)
    assert found.small == found.packed == found.whole > 0
