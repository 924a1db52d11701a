"""A server keeps a bounded number of keys, under ids that are hashes of their content, for any number of threads."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from secrets import token_bytes

import numpy as np
import pytest
from arch.rooms import ROOT

from compress.errors import ConfigError, KeyMismatchError, KeyNotRegisteredError
from secure.bundle.files import plan_digest
from secure.bundle.specs import ServerSpec
from secure.engine import buffers
from secure.engine.buffers import mapped
from secure.parties.backends import make_backend
from secure.parties.client import Client
from secure.parties.keys import KEY_ID_BYTES, EvaluationKey, content_digest, generate_keys
from secure.parties.registrations import Registration, Registrations, most_registrations, registration_bytes
from secure.parties.server import Server
from secure.seal.context import make_ring
from secure.switching.loading import load_for_engine
from tests.secure.plans import FLAT, Builder, small_bundle, small_bundle_by_hand

BUNDLE = small_bundle()
ONE_KEY = registration_bytes(BUNDLE.server.plan)


def image(seed=3):
    return np.random.default_rng(seed).uniform(-1, 1, (4, 8))


@pytest.fixture(scope="module")
def clients():
    return [Client(BUNDLE.client) for _ in range(3)]


def test_a_keys_id_is_the_hash_of_its_content_and_binds_its_requests(clients):
    key = clients[0].evaluation_key
    assert key.key_id == content_digest(key.bundle_id, key.items)[:KEY_ID_BYTES] == clients[0].secret_key.key_id
    assert key.key_id != content_digest("ab" * 32, key.items)[:KEY_ID_BYTES]
    assert content_digest(key.bundle_id, (b"ab", b"c")) != content_digest(key.bundle_id, (b"a", b"bc"))
    assert Client(BUNDLE.client).secret_key.key_id != key.key_id


def test_a_plan_without_key_switches_draws_its_ids():
    builder = Builder(params=FLAT)
    plan = builder.build(builder.add_plain(0, 1.0))
    spec = replace(BUNDLE.client, bundle_id=plan_digest(plan), params=FLAT, keys=plan.key_manifest)
    keys = [generate_keys(spec, make_ring(FLAT))[1] for _ in range(2)]
    assert keys[0].key_id != keys[1].key_id
    server = Server(ServerSpec(bundle_id=spec.bundle_id, plan=plan), backend="seal")
    assert [server.register(key) for key in keys] == [key.key_id for key in keys]


def test_the_key_that_was_used_least_recently_leaves(clients):
    server = Server(BUNDLE.server, keys_bytes=2 * ONE_KEY)
    first, second, third = (server.register(client.evaluation_key) for client in clients)
    requests = [client.encrypt(image()) for client in clients]
    with pytest.raises(KeyNotRegisteredError, match="request: no evaluation key .* left to make room .* register it"):
        server.run(requests[0])
    wanted = small_bundle_by_hand(BUNDLE, image())
    assert np.abs(clients[1].decrypt(server.run(requests[1])) - wanted).max() < 0.05
    server.register(clients[0].evaluation_key)  # the third was used least recently
    server.run(requests[0])
    server.run(requests[1])
    with pytest.raises(KeyNotRegisteredError, match=f"no evaluation key {third.hex()[:8]}") as caught:
        server.run(requests[2])
    assert caught.value.key_id == third
    assert isinstance(caught.value, KeyMismatchError)
    server.forget(first)
    server.forget(first)
    with pytest.raises(KeyNotRegisteredError, match=f"x.ct: no evaluation key {first.hex()[:8]}"):
        server.load_request(requests[0], "x.ct")
    with pytest.raises(KeyNotRegisteredError, match=f"no evaluation key {first.hex()[:8]}"):
        server.run_ciphertexts(first, [])
    assert second != third


def test_a_key_that_is_registered_is_not_loaded_again(clients, monkeypatch):
    server = Server(BUNDLE.server)
    server.register(clients[0].evaluation_key)
    monkeypatch.setattr(type(server._backend), "evaluator", lambda *_: pytest.fail("loaded again"))
    assert server.register(clients[0].evaluation_key.to_bytes()) == clients[0].secret_key.key_id


def test_other_content_under_a_known_id_is_refused():
    held = Registrations(2)
    held.add(b"id", Registration(b"first", "evaluator"))
    assert held.holds(b"id", b"first")
    assert not held.holds(b"other", b"first")
    with pytest.raises(KeyMismatchError, match="another key is registered under 6964; make new keys with keygen"):
        held.holds(b"id", b"second")
    assert held.evaluator(b"id", "request") == "evaluator"


@pytest.mark.parametrize("room", [0, -1, ONE_KEY - 1, float("nan"), float("inf"), True, "2M"])
def test_room_for_less_than_one_key_is_refused(room):
    with pytest.raises(ConfigError, match=f"keys_bytes: got .*; allowed: at least {ONE_KEY:,}, which one key of this"):
        Server(BUNDLE.server, keys_bytes=room)


def test_room_for_one_key_is_there_however_large_it_is():
    assert most_registrations(None, 2**40) == 1
    assert most_registrations(None, 2**20) == 2**11
    assert most_registrations(2.5e6, 1_000_000) == 2


@pytest.mark.parametrize("backend", ["engine", "seal"])
def test_threads_that_register_forget_and_run_at_once_see_answers_or_the_typed_error(clients, backend):
    server = Server(BUNDLE.server, backend=backend, keys_bytes=2 * ONE_KEY)
    wanted = small_bundle_by_hand(BUNDLE, image())
    requests = [client.encrypt(image()) for client in clients]
    keys = [client.evaluation_key for client in clients]
    for key in keys:
        server.register(key)

    def work(seed):
        random = np.random.default_rng(seed)
        answers = refusals = 0
        for _ in range(12):
            which, action = random.integers(3), random.integers(4)
            if action == 0:
                server.register(keys[which])
            elif action == 1:
                server.forget(keys[which].key_id)
            else:
                try:
                    reply = server.run(requests[which])
                except KeyNotRegisteredError:
                    refusals += 1
                else:
                    assert np.abs(clients[which].decrypt(reply) - wanted).max() < 0.05
                    answers += 1
        return answers, refusals

    with ThreadPoolExecutor(6) as pool:
        counts = np.array(list(pool.map(work, range(6))))
    assert counts.sum(axis=0).min() > 0
    assert len(server._registrations) <= 2


def test_what_a_registration_takes_is_known_beforehand(monkeypatch):
    builder = Builder()
    total = builder.rotate(0, 1)
    for steps in range(2, 43):
        total = builder.add(total, builder.rotate(0, steps))
    plan = builder.build(total)
    spec = replace(BUNDLE.client, bundle_id=plan_digest(plan), keys=plan.key_manifest)
    ring = make_ring(spec.params)
    items = generate_keys(spec, ring)[1].items
    backend = make_backend("engine", ring, plan, 2**26)
    # tables that all clients share are made now
    backend.evaluator(load_for_engine(items, plan.key_manifest, ring))
    pieces = []  # mappings, which tracemalloc does not see

    def recorded(size):
        pieces.append(mapped(size))
        return pieces[-1]

    monkeypatch.setattr(buffers, "mapped", recorded)
    tracemalloc.start()
    kept = backend.evaluator(load_for_engine(items, plan.key_manifest, ring))
    found, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    found += sum(piece.nbytes for piece in pieces)
    assert kept is not None and pieces
    assert abs(registration_bytes(plan) - found) < 0.05 * found


@pytest.mark.parametrize("backend", ["engine", "seal"])
def test_registrations_without_keys_are_counted_too(backend):
    """Anybody may register any number of ids for a plan that uses no keys."""
    builder = Builder()
    plan = builder.build(builder.add(0, 0))
    server = Server(ServerSpec(bundle_id=plan_digest(plan), plan=plan), backend=backend)

    def register():
        server.register(EvaluationKey(server.spec.bundle_id, token_bytes(16), (b"", b"")))

    register()
    tracemalloc.start()
    for _ in range(100):
        register()
    found, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(server._registrations) == 101
    assert found / 100 < server.registration_bytes < 20_000


MEMORY = """
import sys
sys.path.insert(0, '.')
import gc
from tests.secure.plans import small_bundle
from secure.parties.keys import generate_keys
from secure.parties.registrations import registration_bytes
from secure.parties.server import Server
from secure.seal.context import make_ring

def resident_mb():
    return int(open('/proc/self/statm').read().split()[1]) * 4096 / 1e6

bundle = small_bundle()
ring = make_ring(bundle.client.params)
under_seal = sys.argv[1] == 'seal'
one_bytes = registration_bytes(bundle.server.plan, under_seal=under_seal)
server = Server(bundle.server, backend=sys.argv[1], keys_bytes=10 * one_bytes)
marks = []
count = int(sys.argv[2])
for number in range(count):
    server.register(generate_keys(bundle.client, ring)[1].to_bytes())
    if number in (29, count - 1):
        gc.collect()
        marks.append(resident_mb())
print(marks[1] - marks[0], len(server._registrations))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("count", [120, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("backend", ["engine", "seal"])
def test_many_registrations_take_no_more_memory_than_thirty(backend, count):
    """Ten are held. Memory would grow by a key per registration if the others were held too."""
    command = [sys.executable, "-c", MEMORY, backend, str(count)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    grown_mb, held = done.stdout.split()
    assert held == "10"
    assert float(grown_mb) < (count - 30) * ONE_KEY / 1e6 / 3
