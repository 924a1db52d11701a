"""Keys: what they show, which files they are written to, and that a server's keys are exactly those of the manifest."""

import copy
import dataclasses
import json
import os
import pickle
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from compress import artifact
from compress.errors import FormatError, KeyMismatchError, OverwriteError, SecretKeyError
from secure.bundle.client_file import client_digest
from secure.parties.client import Client
from secure.parties.container import ContainerKind, parse
from secure.parties.keys import (
    EvaluationKey,
    SecretCipher,
    SecretKey,
    generate_keys,
    load_evaluation_key,
    write_keys,
)
from secure.parties.server import Server
from secure.plan import KeyManifest
from secure.seal.context import make_ring
from tests.secure.plans import FLAT, Builder, small_bundle


@pytest.fixture(scope="module")
def spec():
    return small_bundle().client


@pytest.fixture(scope="module")
def ring(spec):
    return make_ring(spec.params)


@pytest.fixture(scope="module")
def keys(spec, ring):
    return generate_keys(spec, ring)


def content_of(secret):
    """The bytes of SEAL's secret key, taken out of the container."""
    return parse(secret.to_bytes(), ContainerKind.SECRET_KEY, "secret key").items[0]


def test_both_keys_carry_the_same_fresh_id(spec, ring, keys):
    secret, evaluation = keys
    assert secret.key_id == evaluation.key_id
    assert len(secret.key_id) == 16
    assert generate_keys(spec, ring)[0].key_id != secret.key_id


def test_keys_round_trip_through_bytes(keys):
    secret, evaluation = keys
    assert SecretKey.from_bytes(secret.to_bytes()) == secret
    assert EvaluationKey.from_bytes(evaluation.to_bytes()) == evaluation


def test_a_secret_key_shows_and_pickles_nothing(keys, ring):
    secret, _ = keys
    content = content_of(secret)
    shown = repr(secret) + str(secret) + f"{secret}" + "".join(repr(getattr(secret, name)) for name in dir(secret))
    assert "content hidden" in shown
    assert content.hex()[:16] not in shown
    assert repr(content)[2:12] not in shown
    for held in (secret, SecretCipher(ring, secret)):
        with pytest.raises(TypeError, match="a secret key cannot be pickled or copied"):
            pickle.dumps(held)
        with pytest.raises(TypeError, match="a secret key cannot be pickled or copied"):
            copy.deepcopy(held)


def test_generic_object_walks_do_not_reveal_a_secret_keys_content(keys):
    secret, _ = keys
    assert not dataclasses.is_dataclass(secret)
    with pytest.raises(TypeError, match="asdict.. should be called on dataclass instances"):
        dataclasses.asdict(secret)
    with pytest.raises(TypeError, match="fields|dataclass"):
        dataclasses.replace(secret, key_id=b"")
    with pytest.raises(TypeError, match="__dict__"):
        vars(secret)
    for walk in (
        copy.copy,
        copy.deepcopy,
        pickle.dumps,
        lambda key: key.__reduce_ex__(2),
        lambda key: key.__getstate__(),
    ):
        with pytest.raises(TypeError, match="a secret key cannot be pickled or copied; save it with write_keys"):
            walk(secret)
    with pytest.raises(TypeError, match="not JSON serializable"):
        json.dumps(secret)
    values = [getattr(secret, name) for name in SecretKey.__slots__[1:]]
    assert values == [secret.bundle_id, secret.client_digest, secret.key_id]


def test_a_client_reveals_no_secret_key(spec):
    client = Client(spec)
    for walk in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="pickle"):
            walk(client)
    assert repr(content_of(client.secret_key))[2:12] not in repr(vars(client))


def test_a_secret_key_cannot_be_changed_and_is_compared_by_content(keys, spec, ring):
    secret, _ = keys
    for change in (lambda: setattr(secret, "key_id", b""), lambda: delattr(secret, "bundle_id")):
        with pytest.raises(AttributeError, match="a secret key cannot be changed: (key_id|bundle_id)"):
            change()
    again = SecretKey.from_bytes(secret.to_bytes())
    other = SecretKey(secret.bundle_id, secret.key_id, content_of(generate_keys(spec, ring)[0]))
    assert secret == again and hash(secret) == hash(again)
    assert secret != other and secret != secret.to_bytes()


def test_an_evaluation_key_shows_no_content(keys):
    assert "items" not in repr(keys[1])


def test_an_evaluation_key_contains_nothing_of_the_secret_key(keys):
    secret, evaluation = keys
    middle = content_of(secret)[200:232]
    assert middle not in evaluation.to_bytes()


def test_key_files_have_their_modes_and_are_not_overwritten(tmp_path, keys):
    secret, evaluation = keys
    write_keys(tmp_path / "keys", secret, evaluation)
    path = tmp_path / "keys" / "secret.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SecretKey.from_bytes(path.read_bytes()) == secret
    assert EvaluationKey.from_bytes((tmp_path / "keys" / "evaluation.key").read_bytes()) == evaluation
    before = path.read_bytes()
    with pytest.raises(OverwriteError, match="secret.key exists; choose another output or pass --force"):
        write_keys(tmp_path / "keys", secret, evaluation)
    assert path.read_bytes() == before
    write_keys(tmp_path / "keys", secret, evaluation, force=True)
    assert sorted(entry.name for entry in (tmp_path / "keys").iterdir()) == ["evaluation.key", "secret.key"]


def test_both_key_files_are_replaced_or_neither(tmp_path, keys, ring, spec, monkeypatch):
    write_keys(tmp_path / "keys", *keys)
    before = {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()}
    real = os.replace

    def refuse(source, target):
        if Path(target).name == "evaluation.key" and not str(source).endswith(".old"):
            raise OSError("disk")
        real(source, target)

    monkeypatch.setattr(artifact.os, "replace", refuse)
    with pytest.raises(OSError, match="disk"):
        write_keys(tmp_path / "keys", *generate_keys(spec, ring), force=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()} == before


def test_no_byte_of_a_secret_key_is_ever_in_a_file_that_others_may_read(tmp_path, keys, monkeypatch):
    modes = []
    real = os.fdopen

    def watched(descriptor, mode):
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return real(descriptor, mode)

    monkeypatch.setattr(artifact.os, "fdopen", watched)
    write_keys(tmp_path / "keys", *keys)
    assert modes == [0o600, 0o600]
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "keys").iterdir()} == {
        "secret.key": 0o600,
        "evaluation.key": 0o644,
    }


def test_a_secret_key_given_as_evaluation_key_is_refused(keys):
    with pytest.raises(SecretKeyError, match="evaluation key: this is a secret key"):
        EvaluationKey.from_bytes(keys[0].to_bytes())
    with pytest.raises(FormatError, match="field 'kind' is evaluation key, expected secret key"):
        SecretKey.from_bytes(keys[1].to_bytes())


def test_a_server_loads_exactly_the_keys_of_the_manifest(spec, ring, keys):
    evaluation = keys[1]
    loaded = load_evaluation_key(evaluation, spec.bundle_id, spec.keys, ring)
    assert loaded.galois.size() == 2
    assert loaded.relin.size() == 1
    lacking = KeyManifest((*spec.keys.galois_elements, 81), True)
    with pytest.raises(FormatError, match="it lacks the key that the bundle uses at index 40; make new keys"):
        load_evaluation_key(evaluation, spec.bundle_id, lacking, ring)
    fewer = KeyManifest(spec.keys.galois_elements[:1], True)
    with pytest.raises(FormatError, match="it has a key that the bundle does not use at index 13; make"):
        load_evaluation_key(evaluation, spec.bundle_id, fewer, ring)
    for items in [(b"", evaluation.items[1]), (evaluation.items[0], b""), (evaluation.items[0],)]:
        with pytest.raises(FormatError, match="it lacks a key the bundle uses, or has one it does not use"):
            load_evaluation_key(replace(evaluation, items=items), spec.bundle_id, spec.keys, ring)
    swapped = replace(evaluation, items=evaluation.items[::-1])
    with pytest.raises(FormatError, match="evaluation key: field 'key id' is not the hash of its content"):
        load_evaluation_key(swapped, spec.bundle_id, spec.keys, ring)
    with pytest.raises(KeyMismatchError, match="evaluation key: it belongs to bundle"):
        load_evaluation_key(evaluation, "00" * 32, spec.keys, ring)


def test_a_bundle_without_key_switches_has_empty_evaluation_keys(spec):
    builder = Builder(params=FLAT)
    plan = builder.build(builder.add_plain(0, 1.0))
    flat = replace(spec, params=FLAT, keys=plan.key_manifest)
    ring = make_ring(FLAT)
    _, evaluation = generate_keys(flat, ring)
    assert evaluation.items == (b"", b"")
    assert load_evaluation_key(evaluation, spec.bundle_id, plan.key_manifest, ring).galois.size() == 0


def test_a_secret_key_of_other_parameters_is_refused(keys):
    with pytest.raises(FormatError, match="secret key: SEAL cannot read it"):
        SecretCipher(make_ring(FLAT), keys[0])


# -- keys and the client.json that they were made with


def test_keys_say_which_client_file_they_were_made_with(keys, spec):
    secret, evaluation = keys
    assert secret.client_digest == evaluation.client_digest == client_digest(spec)
    assert SecretKey.from_bytes(secret.to_bytes()).client_digest == secret.client_digest
    assert EvaluationKey.from_bytes(evaluation.to_bytes()) == evaluation


def test_a_server_refuses_keys_that_were_made_with_another_client_file():
    bundle = small_bundle()
    server = Server(replace(bundle.server, client_digest=client_digest(bundle.client)))
    assert server.register(Client(bundle.client).evaluation_key)
    altered = replace(bundle.client, predicted_logit_error=0.001)
    with pytest.raises(KeyMismatchError) as caught:
        server.register(Client(altered).evaluation_key)
    assert str(caught.value) == (
        f"evaluation key: it was made with client.json {client_digest(altered)[:12]}, this bundle's is "
        f"{client_digest(bundle.client)[:12]}; one of the two files is altered; take client.json from a source that "
        "you trust, and make new keys with keygen"
    )
    assert Server(bundle.server).register(Client(altered).evaluation_key)  # a server that does not know the file


def test_a_client_refuses_a_secret_key_that_was_made_with_another_client_file(keys, spec):
    with pytest.raises(KeyMismatchError, match="secret key: it was made with client.json"):
        Client(replace(spec, predicted_logit_error=0.001), keys[0])
    assert Client(spec, keys[0]).secret_key is keys[0]


@pytest.mark.parametrize("kind", [ContainerKind.SECRET_KEY, ContainerKind.EVALUATION_KEY])
def test_a_key_file_without_a_whole_digest_is_refused(keys, kind):
    secret, evaluation = keys
    content = secret.to_bytes() if kind is ContainerKind.SECRET_KEY else evaluation.to_bytes()
    container = parse(content, kind, "key")
    read = SecretKey.from_bytes if kind is ContainerKind.SECRET_KEY else EvaluationKey.from_bytes
    for items in (container.items[:-1], (*container.items[:-1], bytes(31)), (*container.items, b"")):
        with pytest.raises(FormatError, match="field 'items' is not . and a sha256"):
            read(replace(container, items=items).to_bytes())
    assert read(replace(container, items=(*container.items[:-1], b"")).to_bytes()).client_digest == ""
