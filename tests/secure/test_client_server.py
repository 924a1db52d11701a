"""Client and server: a round trip, and refusals of wrong, foreign and hostile messages."""

import gc
import hashlib
import subprocess
import sys
from dataclasses import replace
from types import FunctionType

import numpy as np
import pytest
import tenseal.sealapi as sealapi

from compress.errors import BackendError, ConfigError, FormatError, InputShapeError, KeyMismatchError, SecretKeyError
from secure.bundle.files import plan_digest, save_bundle
from secure.bundle.specs import ServerSpec
from secure.engine.evaluator import EngineBackend
from secure.evaluators.dry import dry_run
from secure.params import make_params
from secure.parties.backends import SealBackend
from secure.parties.client import Client
from secure.parties.container import Container, ContainerKind, parse
from secure.parties.keys import SecretCipher, SecretKey
from secure.parties.server import Server
from tests.secure.counting import counted_operations
from tests.secure.plans import SMALL, Builder, every_kind_plan, small_bundle, small_bundle_by_hand

BUNDLE = small_bundle()


@pytest.fixture(scope="module")
def client():
    return Client(BUNDLE.client)


@pytest.fixture(scope="module")
def server(client):
    server = Server(BUNDLE.server)
    server.register(client.evaluation_key)
    return server


@pytest.fixture(scope="module")
def request_bytes(client):
    return client.encrypt(image())


def image(seed=3):
    return np.random.default_rng(seed).uniform(-1, 1, (4, 8))


def test_round_trip_within_the_predicted_error(client, server):
    found = client.decrypt(server.run(client.encrypt(image())))
    wanted = small_bundle_by_hand(BUNDLE, image())
    assert found.dtype == np.float64
    assert found.shape == (2, 5)
    assert np.abs(found - wanted).max() < BUNDLE.client.predicted_logit_error < np.abs(wanted).max()


def test_two_clients_share_a_server(client, server):
    other = Client(BUNDLE.client)
    assert server.register(other.evaluation_key.to_bytes()) == other.secret_key.key_id
    for one in (client, other):
        wanted = small_bundle_by_hand(BUNDLE, image())
        assert np.abs(one.decrypt(server.run(one.encrypt(image()))) - wanted).max() < 0.05
    reply = server.run(other.encrypt(image()))
    with pytest.raises(KeyMismatchError, match="reply: it was encrypted under another key"):
        client.decrypt(reply)
    server.forget(other.secret_key.key_id)
    with pytest.raises(
        KeyMismatchError,
        match="no evaluation key .* is registered, or it left to make room for others; register it and",
    ):
        server.run(other.encrypt(image()))


def test_a_client_made_from_its_secret_key_reads_the_reply(client, server, request_bytes):
    again = Client(BUNDLE.client, SecretKey.from_bytes(client.secret_key.to_bytes()))
    np.testing.assert_allclose(again.decrypt(server.run(request_bytes)), client.decrypt(server.run(request_bytes)))
    with pytest.raises(KeyMismatchError, match="this client was given its secret key; use the evaluation.key"):
        _ = again.evaluation_key


def test_the_same_image_encrypts_differently_each_time(client):
    assert client.encrypt(image()) != client.encrypt(image())


def test_a_request_holds_a_seed_in_place_of_its_second_part(request_bytes):
    residues = 2 * SMALL.levels * SMALL.poly_modulus_degree
    assert len(request_bytes) < residues * 8 / 2


def test_a_server_without_room_for_plaintexts_gives_the_same_answer(client, request_bytes):
    server = Server(BUNDLE.server, cache_bytes=0)
    server.register(client.evaluation_key)
    wanted = small_bundle_by_hand(BUNDLE, image())
    assert np.abs(client.decrypt(server.run(request_bytes)) - wanted).max() < 0.05


@pytest.mark.parametrize("threads", [0, -1, 3])
def test_threads_outside_one_to_the_number_of_cores_are_refused(monkeypatch, threads):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1})
    with pytest.raises(
        ConfigError, match=f"threads: got {threads}; allowed: 1 to 2, the cores that this process may use"
    ):
        Server(BUNDLE.server, threads=threads)


def test_servers_with_one_and_two_threads_give_the_same_answer(monkeypatch, client, server, request_bytes):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1})
    two = Server(BUNDLE.server, threads=2)
    two.register(client.evaluation_key)
    assert (server.threads, two.threads) == (1, 2)
    assert two.run(request_bytes) == server.run(request_bytes)
    with pytest.raises(ConfigError, match="threads: got 2; allowed: 1 where a plan runs under SEAL"):
        Server(BUNDLE.server, backend="seal", threads=2)


@pytest.mark.parametrize(("name", "kind"), [("seal", SealBackend), ("engine", EngineBackend)])
def test_a_server_runs_the_backend_it_is_asked_for_and_says_so(name, kind, client, request_bytes, monkeypatch):
    ran = []
    real = kind.run
    monkeypatch.setattr(kind, "run", lambda self, *given: ran.append(type(self)) or real(self, *given))
    one = Server(BUNDLE.server, backend=name)
    one.register(client.evaluation_key)
    one.run(request_bytes)
    assert (one.backend, ran) == (name, [kind])


@pytest.mark.parametrize("wrong", [BUNDLE, BUNDLE.client, "folder"])
def test_a_server_says_what_to_give_it(wrong):
    with pytest.raises(ConfigError) as caught:
        Server(wrong)
    assert str(caught.value) == (
        f"spec: got '{type(wrong).__name__}'; allowed: a ServerSpec; give bundle.server, or load_server(folder)"
    )


@pytest.mark.parametrize("wrong", [BUNDLE, BUNDLE.server, "folder"])
def test_a_client_says_what_to_give_it(wrong):
    with pytest.raises(ConfigError) as caught:
        Client(wrong)
    assert str(caught.value) == (
        f"spec: got '{type(wrong).__name__}'; allowed: a ClientSpec; give bundle.client, or load_client(folder)"
    )


def test_a_client_takes_a_secret_key_and_no_other_value_for_it(client):
    for wrong in (client.secret_key.to_bytes(), client.evaluation_key):
        with pytest.raises(ConfigError) as caught:
            Client(BUNDLE.client, wrong)
        assert str(caught.value) == (
            f"secret_key: got '{type(wrong).__name__}'; allowed: None, or a SecretKey; "
            "read a file's bytes with SecretKey.from_bytes"
        )


@pytest.mark.parametrize("name", ["clear", "SEAL", "tenseal", ""])
def test_a_server_refuses_backends_that_it_does_not_have(name):
    with pytest.raises(ConfigError) as caught:
        Server(BUNDLE.server, backend=name)
    assert str(caught.value) == f"backend: got '{name}'; allowed: engine, seal"


def test_a_plan_that_only_seal_can_run_is_not_run_by_the_engine():
    builder = Builder(params=make_params(8192, [52, 40], 56))
    plan = builder.build(builder.rotate(0, 1))
    spec = ServerSpec(bundle_id=plan_digest(plan), plan=plan)
    assert Server(spec).backend == "seal"
    with pytest.raises(BackendError) as caught:
        Server(spec, backend="engine")
    assert str(caught.value) == (
        "backend: 'engine' cannot run this bundle: it takes primes of up to 50 bits, and one here has 56; use 'seal'"
    )


def test_a_plan_that_only_the_engine_can_run_is_not_run_by_seal():
    builder = Builder(params=make_params(4096, [33, 36], 36))
    plan = builder.build(builder.rotate(0, 1))
    spec = ServerSpec(bundle_id=plan_digest(plan), plan=plan)
    assert Server(spec).backend == "engine"
    with pytest.raises(BackendError) as caught:
        Server(spec, backend="seal")
    assert str(caught.value) == (
        "backend: 'seal' cannot run this bundle: its special prime is too small for SEAL's key switches to be precise; "
        "use 'engine', or compile again with --backends both"
    )


def test_operations_done_are_those_of_the_plan(client, request_bytes):
    done = counted_operations(BUNDLE.server, client.evaluation_key, request_bytes)
    assert done == dry_run(BUNDLE.server.plan).operations


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (np.zeros((8, 4)), r"input: shape \(8, 4\); the network takes \(4, 8\); reshape or crop"),
        (np.zeros((1, 1, 4, 8)), r"shape \(1, 1, 4, 8\)"),
        (np.full((4, 8), np.nan), "values that are not finite"),
        (
            np.full((4, 8), 255),
            r"255, accepted are -1 to 1 \(31 more features lie outside\); scale the input as the tr",
        ),
        ("a picture", "not an array of numbers"),
        ([[1, 2], [3]], "not an array of numbers"),
    ],
)
def test_an_input_that_does_not_fit_is_refused(client, found, message):
    with pytest.raises(InputShapeError, match=message):
        client.encrypt(found)


@pytest.mark.parametrize("value", [-1.0, 1.0])
def test_a_value_at_the_end_of_the_range_is_answered_within_the_predicted_error(client, server, value):
    edge = image()
    edge[1, 2] = value
    found = client.decrypt(server.run(client.encrypt(edge)))
    assert np.abs(found - small_bundle_by_hand(BUNDLE, edge)).max() < BUNDLE.client.predicted_logit_error


def test_another_bundle_is_refused_on_both_sides(client, server, request_bytes):
    other = small_bundle(seed=1)
    assert other.client.bundle_id != BUNDLE.client.bundle_id
    stranger = Client(other.client)
    with pytest.raises(KeyMismatchError, match="request: it belongs to bundle"):
        server.run(stranger.encrypt(image()))
    with pytest.raises(KeyMismatchError, match="evaluation key: it belongs to bundle"):
        server.register(stranger.evaluation_key)
    with pytest.raises(KeyMismatchError, match="reply: it belongs to bundle"):
        stranger.decrypt(server.run(request_bytes))
    with pytest.raises(KeyMismatchError, match="secret key: it belongs to bundle"):
        Client(other.client, client.secret_key)


def test_secret_material_never_gets_into_a_server(client, server):
    with pytest.raises(SecretKeyError, match="this is a secret key; a server must never have one"):
        server.register(client.secret_key.to_bytes())
    with pytest.raises(SecretKeyError, match="this is a secret key"):
        server.run(client.secret_key.to_bytes())
    with pytest.raises(SecretKeyError, match="a server takes evaluation keys only, not SecretKey"):
        server.register(client.secret_key)
    with pytest.raises(SecretKeyError, match="not Client"):
        server.register(client)


def test_no_object_reachable_from_a_server_is_secret(client, server, request_bytes):
    server.run(request_bytes)
    secret_types = (
        SecretKey,
        SecretCipher,
        sealapi.SecretKey,
        sealapi.KeyGenerator,
        sealapi.Decryptor,
        sealapi.Encryptor,
    )
    content = parse(client.secret_key.to_bytes(), ContainerKind.SECRET_KEY, "secret key").items[0]
    seen, queue = set(), [vars(server)]
    while queue:
        found = queue.pop()
        if id(found) in seen or isinstance(found, type) or type(found).__name__ == "module":
            continue
        seen.add(id(found))
        assert not isinstance(found, secret_types)
        assert not (isinstance(found, bytes) and content in found)
        # what a function closes over, but not the globals of its module
        queue.extend((found.__closure__ or ()) if isinstance(found, FunctionType) else gc.get_referents(found))
    assert len(seen) > 20
    assert not any("secret" in name or "decrypt" in name for name in dir(server))


def test_truncated_and_altered_requests_are_refused(server, request_bytes):
    for content in (request_bytes[:-1], request_bytes[:50], b"", b"x" * 5000):
        with pytest.raises(FormatError, match="^request: "):
            server.run(content)
    altered = bytearray(request_bytes)
    altered[len(altered) // 2] ^= 1
    with pytest.raises(FormatError, match="field 'sha256' does not match"):
        server.run(bytes(altered))
    with pytest.raises(FormatError, match="field 'kind' is request, expected reply"):
        Client(BUNDLE.client).decrypt(request_bytes)


def test_a_sealed_request_of_foreign_bytes_is_refused(server, request_bytes):
    container = parse(request_bytes, ContainerKind.REQUEST, "request")
    rng = np.random.default_rng(0)
    item = container.items[0]
    for start in (2, 6, 12, 16, 20, 22, 30, 60, 200, len(item) - 4):
        altered = bytearray(item)
        altered[start : start + 4] = rng.bytes(4)
        forged = replace(container, items=(bytes(altered),)).to_bytes()
        try:
            server.run(forged)  # residues may be any number: only the hash could show the change, and it is forged
        except FormatError as error:
            assert str(error).startswith("request: ")
    with pytest.raises(FormatError, match="request: 3 ciphertexts, the network takes 1"):
        server.run(replace(container, items=container.items * 3).to_bytes())
    with pytest.raises(FormatError, match="request: 0 bytes are too few for a SEAL object"):
        server.run(replace(container, items=(b"",)).to_bytes())


def test_a_ciphertext_of_the_wrong_level_is_refused_on_both_sides(client, server):
    lower = SecretCipher(client._ring, client.secret_key).encrypt(np.ones(SMALL.slots), 1, 2.0**20)
    container = Container(ContainerKind.REQUEST, BUNDLE.client.bundle_id, client.secret_key.key_id, (lower,))
    with pytest.raises(FormatError, match="request: a ciphertext of level 1, expected 2"):
        server.run(container.to_bytes())
    high = SecretCipher(client._ring, client.secret_key).encrypt(np.ones(SMALL.slots), 2, 2.0**20)
    reply = replace(container, kind=ContainerKind.REPLY, items=(high, high))
    with pytest.raises(FormatError, match="reply: a ciphertext of level 2, expected 1"):
        client.decrypt(reply.to_bytes())
    with pytest.raises(FormatError, match="reply: 1 ciphertexts, the network answers with 2"):
        client.decrypt(replace(reply, items=(high,)).to_bytes())


def test_a_server_process_imports_no_torch_and_stays_small(tmp_path):
    """A process with the server alone; its client made the key and the request elsewhere."""
    bundle, client = small_bundle(), Client(small_bundle().client)
    save_bundle(bundle, tmp_path / "bundle")
    (tmp_path / "key").write_bytes(client.evaluation_key.to_bytes())
    (tmp_path / "request").write_bytes(client.encrypt(np.zeros((4, 8)) + 0.5))
    script = (
        "import sys; sys.path.insert(0, '.')\n"
        "from pathlib import Path\n"
        "from secure.bundle.files import load_server\nfrom secure.parties.server import Server\n"
        "from secure.verify.memory import peak_rss_bytes\n"
        "folder = Path(sys.argv[1])\n"
        "server = Server(load_server(folder / 'bundle'))\n"
        "server.register((folder / 'key').read_bytes())\n"
        "for _ in range(3): server.run((folder / 'request').read_bytes())\n"
        "heavy = {'torch', 'scipy.fft', 'scipy.sparse', 'scipy.stats', 'scipy.optimize'}\n"
        "print(sorted(heavy & set(sys.modules)), peak_rss_bytes() // 2**20)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    subprocess.run(command, capture_output=True, check=True)  # compiles the kernels, where no test has done so yet
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    heavy, peak_mib = done.stdout.rsplit(maxsplit=1)
    assert heavy == "[]"
    assert int(peak_mib) < 200


def test_the_digest_names_the_plan():
    assert BUNDLE.client.bundle_id == small_bundle().client.bundle_id
    assert len(bytes.fromhex(BUNDLE.client.bundle_id)) == hashlib.sha256().digest_size
    assert every_kind_plan(0).constants[0].level == 2
