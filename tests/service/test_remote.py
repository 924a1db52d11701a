"""The client by itself, against a server that is scripted: retries, uploads that go on, and servers that misbehave."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from click.testing import CliRunner

import cipherpress as cp
from cipherpress.commands.shipped import shipped_image
from cipherpress.remote import steps
from cipherpress.service.paths import COMPLETE, LENGTH, OFFSET
from cli import main
from compress.errors import (
    BundleChangedError,
    ConfigError,
    FormatError,
    InsecureParametersError,
    KeyBytesError,
    ServiceError,
    ServiceUnavailableError,
)
from secure.bundle.client_file import client_json
from tests.secure.plans import small_bundle
from tests.service.conftest import Party

IMAGE = np.linspace(-0.9, 0.9, 32).reshape(4, 8)
Handler = Callable[[httpx.Request], httpx.Response]


class Script:
    """A server of the small bundle in this process. `before` may answer in its place, or raise what a network does."""

    def __init__(self, party: Party) -> None:
        self.part = (party.folder / "client.json").read_bytes()
        self.server = cp.Server(cp.load_server(party.folder))
        self.held: dict[str, bytearray] = {}
        self.before: Iterator[httpx.Response | Exception | None] = iter(())
        self.seen: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(f"{request.method} {request.url.path.rsplit('/', 1)[-1][:8]}")
        scripted = next(self.before, None)
        if isinstance(scripted, Exception):
            raise scripted
        return scripted or self.answer(request)

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/v2/models/small":
            return httpx.Response(200, json={"parameters": {"max_images": 1}})
        if path.endswith("/client"):
            return httpx.Response(200, content=self.part)
        if path.endswith("/infer"):
            try:
                return httpx.Response(200, content=self.server.run(request.content))
            except cp.CipherpressError as error:
                return self.refusal(409, type(error).__name__)
        sha256, held = path.rsplit("/", 1)[-1], self.held.setdefault(path, bytearray())
        if request.method == "PATCH":
            if int(request.headers[OFFSET]) != len(held):
                return httpx.Response(409, json={"error": "", "type": ""}, headers={OFFSET: str(len(held))})
            held += request.content
        whole = hashlib.sha256(held).hexdigest() == sha256
        if whole:
            self.server.register(bytes(held))
        headers = {OFFSET: str(len(held)), LENGTH: "0", COMPLETE: "?1" if whole else "?0"}
        return httpx.Response((201 if whole else 204) if request.method == "PATCH" else 200, headers=headers)

    @staticmethod
    def refusal(status: int, kind: str, **headers: str) -> httpx.Response:
        return httpx.Response(status, json={"error": "why", "type": kind}, headers=headers)


@pytest.fixture
def script(party: Party) -> Script:
    return Script(party)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses that a client made; none of them is waited for."""
    made: list[float] = []
    monkeypatch.setattr(steps.time, "sleep", made.append)
    return made


def client(script: Handler, keys: Path | None = None, **options: Any) -> cp.RemoteClient:
    remote = cp.RemoteClient("http://server", "small", keys=keys, **options)
    remote._open = httpx.Client(transport=httpx.MockTransport(script), base_url="http://server")
    return remote


def test_what_is_lost_or_refused_for_now_is_sent_again(script: Script, party: Party, pauses: list[float]) -> None:
    with client(script) as remote:
        wanted = remote.predict(IMAGE)
        script.before = iter(
            [
                httpx.ConnectError("refused"),
                script.refusal(429, "BusyError", **{"Retry-After": "3"}),
                script.refusal(503, "StoppingError"),
                httpx.ReadError("broken"),
            ]
        )
        np.testing.assert_allclose(remote.predict(IMAGE), wanted, atol=0.01)
    assert len(pauses) == 4 and pauses[1] == 3.0 and pauses == sorted(pauses, key=lambda one: one != 0.2)


def test_after_all_tries_it_says_why(script: Script, pauses: list[float]) -> None:
    script.before = iter([httpx.ConnectError("connection refused")] * 3)
    with pytest.raises(ServiceUnavailableError, match="after 3 tries .connection refused.; try again later"):
        client(script, tries=3).connect()
    script.before = iter([script.refusal(429, "BusyError")] * 2)
    with pytest.raises(ServiceUnavailableError, match="/small: no answer after 2 tries .* answers 429: why"):
        client(script, tries=2).connect()


def test_an_upload_goes_on_where_the_server_says(
    script: Script, party: Party, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    monkeypatch.setattr("cipherpress.remote.talking.PIECE_BYTES", 100_000)
    seen: list[int] = []

    def losing(request: httpx.Request) -> httpx.Response:
        answer = script(request)
        if request.method == "PATCH" and len(script.seen) in (6, 9):
            raise httpx.ReadError("the answer is lost, after the piece arrived")
        return answer

    with client(losing, progress=lambda held, whole: seen.append(held)) as remote:
        remote.predict(IMAGE)
    (held,) = script.held.values()
    assert seen == sorted(seen) and seen[-1] == len(held) and len(pauses) == 2


def test_a_key_that_the_server_lost_is_uploaded_again(script: Script) -> None:
    with client(script) as remote:
        wanted = remote.predict(IMAGE)
        script.held.clear()
        script.server.forget(remote._known[1].party.secret_key.key_id)  # type: ignore[index]
        np.testing.assert_allclose(remote.predict(IMAGE), wanted, atol=0.01)


def test_a_bundle_that_changes_while_a_client_uses_it_is_refused(script: Script, tmp_path: Path) -> None:
    with client(script, tmp_path) as remote:
        remote.predict(IMAGE)
        script.part = _part(predicted_logit_error=0.06)
        script.before = iter([script.refusal(400, "KeyMismatchError")])
        with pytest.raises(BundleChangedError, match="this client says .*start with a new folder of keys"):
            remote.predict(IMAGE)
    with pytest.raises(BundleChangedError, match=f"{tmp_path} says"):
        client(script, tmp_path).connect()


def _part(**changes: Any) -> bytes:
    return json.dumps(client_json(replace(small_bundle().client, **changes))).encode()


def test_a_folder_of_keygen_is_a_pin_too(script: Script, party: Party, tmp_path: Path) -> None:
    own = party.client
    cp.write_keys(tmp_path, own.secret_key, own.evaluation_key)  # type: ignore[attr-defined]
    script.part = _part(predicted_logit_error=0.06)
    with pytest.raises(BundleChangedError, match="ask its owner whether the bundle was changed"):
        client(script, tmp_path).connect()
    (tmp_path / "evaluation.key").unlink()
    script.part = (party.folder / "client.json").read_bytes()
    with pytest.raises(ConfigError, match="keys: .*a folder with evaluation.key beside secret.key"):
        client(script, tmp_path).connect()


def test_weak_parameters_and_large_keys_are_refused_before_a_key_is_made(script: Script, tmp_path: Path) -> None:
    stated = json.loads(script.part)
    with pytest.raises(KeyBytesError, match="allow .* bytes with max_key_bytes="):
        client(script, tmp_path, max_key_bytes=1000).connect()
    stated["params"]["data_primes"] *= 2
    script.part = json.dumps(stated).encode()
    with pytest.raises((InsecureParametersError, FormatError), match="data_primes|coeff_modulus|128"):
        client(script, tmp_path).connect()
    script.part = script.part[:-100]
    with pytest.raises(FormatError, match="/v2/models/small/client: client.json"):
        client(script, tmp_path).connect()
    assert not (tmp_path / "secret.key").exists()


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (httpx.Response(200, content=b"<html>"), FormatError, "is it a cipherpress server"),
        (httpx.Response(200, json=[1]), FormatError, "lack 'max_images'"),
        (httpx.Response(200, json={"parameters": {"max_images": 0}}), FormatError, "no whole number from 1 on"),
        (httpx.Response(302, headers={"Location": "http://other"}), ServiceError, "302: no reason was given"),
        (httpx.Response(200, content=bytes(2**20 + 1)), ServiceError, "larger than 1,048,576 bytes; it is not read"),
    ],
)
def test_a_server_that_is_none_is_named(
    script: Script, answer: httpx.Response, error: type[Exception], message: str
) -> None:
    script.before = iter([answer])
    with pytest.raises(error, match=message):
        client(script).connect()


def test_settings_are_checked_before_anything_is_sent(tmp_path: Path) -> None:
    for url in ("server:8000", "ftp://server", "http://", "http://x:y"):
        with pytest.raises(ConfigError, match="url: got .*; allowed: http:// or https://"):
            cp.RemoteClient(url)
    with pytest.raises(ConfigError, match="tries: got 0"):
        cp.RemoteClient("http://server", tries=0)
    with pytest.raises(ConfigError, match="ca_file: .* a file of certificates in PEM"):
        cp.RemoteClient("https://server", ca_file=tmp_path / "none.pem")
    with pytest.raises(ConfigError, match="client that was connected; call connect"):
        _ = cp.RemoteClient("http://server").spec


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("serve", "a=x", "a=y"), "every name once, and 'a' is taken"),
        (("serve", "a/b=x"), "names of letters, digits"),
        (("serve", "nowhere"), "nowhere/client.json"),
        (("serve", "nowhere", "--tls-cert", "x"), "both --tls-cert and --tls-key"),
        (("predict", "nowhere", "--input", "x", "--key", "y"), "url: got 'nowhere'"),
    ],
)
def test_a_command_says_in_one_line_what_is_wrong(arguments: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1 and message in result.stderr and result.stderr.splitlines()[-1].startswith("error: ")


def test_a_shipped_image_has_a_number() -> None:
    image = shipped_image(Path("mnist:0"))
    assert image is not None and image.shape == (1, 28, 28)
    assert shipped_image(Path("other:0")) is None and shipped_image(Path("x.npy")) is None
    with pytest.raises(ConfigError, match="input: got 'mnist:10000'; allowed: mnist:0 to mnist:9999"):
        shipped_image(Path("mnist:10000"))


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "cipherpress.service.serving", raising=False)
    result = CliRunner().invoke(main, ["serve", "nowhere"])
    assert result.exit_code == 1 and "pip install 'cipherpress[service]'" in result.stderr
