"""Every route by itself: what is refused, when, and with which words; what tenants see of each other.

The engine is replaced by one that answers at once, or not at all.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import cipherpress as cp
from cipherpress.service import inference
from cipherpress.service.app import make_app
from cipherpress.service.messages import Message
from cipherpress.service.parties import Parties
from cipherpress.service.paths import LENGTH, OFFSET
from cipherpress.service.queueing import LateError, QueueFullError, Work
from cipherpress.service.service import Service
from cipherpress.service.settings import ServiceLimits, ServiceSettings
from cipherpress.service.tenants import ANYBODY, read_tenants
from cipherpress.service.workers import WorkerDiedError
from compress.errors import ConfigError
from tests.service.conftest import Party

ANN, BOB, MONITOR = "ann-" + 20 * "a", "bob-" + 20 * "b", "metrics-" + 20 * "m"
INFER = "/v2/models/small/infer"


class FakeEngine:
    """Answers with `answer`, or raises it; counts what it was given."""

    def __init__(self) -> None:
        self.answer: Message | BaseException = ({"plan_ms": 1.0, "key_id": "", "held_bytes": 0}, b"reply")
        self.full, self.ready = False, True
        self.given: list[Work] = []

    async def start(self) -> None:
        pass

    async def stop(self, drain_s: float) -> None:
        pass

    async def run(self, work: Work) -> Message:
        self.given.append(work)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class Site:
    """A service without processes, and requests to it by tenants."""

    def __init__(self, bundles: Path, folder: Path, tokens: bool) -> None:
        (folder / "tokens").write_text(
            f"ann {ANN}\nbob sha256:{hashlib.sha256(BOB.encode()).hexdigest()}  # hashed\n\nmetrics {MONITOR}\n"
        )
        settings = ServiceSettings(
            bundles={"small": bundles / "small", "batch": bundles / "batch"},
            data_dir=folder / "data",
            token_file=folder / "tokens" if tokens else None,
            limits=ServiceLimits(tenant_keys=1, idle_s=0.2),
        )
        self.engine = FakeEngine()
        self.service = Service(settings, self.engine)
        self.app = make_app(self.service)

    def ask(self, method: str, path: str, token: str | None = None, **options: Any) -> httpx.Response:
        headers = {**options.pop("headers", {}), **({"Authorization": f"Bearer {token}"} if token else {})}

        async def answer() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://site") as http:
                return await http.request(method, path, headers=headers, **options)

        return asyncio.run(answer())

    def upload(self, party: Party, token: str | None = None, content: bytes | None = None) -> httpx.Response:
        key = party.key if content is None else content
        path = f"/v2/keys/{hashlib.sha256(key).hexdigest()}"
        return self.ask("PATCH", path, token, content=key, headers={OFFSET: "0", LENGTH: str(len(key))})


@pytest.fixture
def site(bundles: Path, tmp_path: Path) -> Iterator[Site]:
    one = Site(bundles, tmp_path, tokens=False)
    yield one
    one.service.close()


@pytest.fixture
def guarded(bundles: Path, tmp_path: Path) -> Iterator[Site]:
    one = Site(bundles, tmp_path, tokens=True)
    yield one
    one.service.close()


def refusal(answer: httpx.Response) -> tuple[int, str]:
    assert set(answer.json()) == {"error", "type"}
    return answer.status_code, answer.json()["type"]


def test_a_body_that_is_too_large_is_refused_before_it_is_read(site: Site) -> None:
    most_bytes = site.service.offers["small"].most_request_bytes
    read: list[int] = []

    async def body() -> AsyncIterator[bytes]:
        for _ in range(1000):
            read.append(1)
            yield bytes(1000)

    answer = site.ask("POST", INFER, content=body(), headers={"Content-Length": str(most_bytes + 1)})
    assert refusal(answer) == (413, "TooLargeError") and answer.headers["connection"] == "close"
    assert f"larger than the {most_bytes:,} bytes allowed" in answer.json()["error"]
    assert not site.engine.given


def test_a_body_without_a_length_is_read_to_the_limit_and_no_further(site: Site, party: Party) -> None:
    site.upload(party)
    start, sent = party.request[:64], []

    async def body() -> AsyncIterator[bytes]:
        yield start
        for _ in range(100_000):
            sent.append(1)
            yield bytes(1000)

    answer = site.ask("POST", INFER, content=body())
    assert refusal(answer) == (413, "TooLargeError")
    assert sum(sent) <= site.service.offers["small"].most_request_bytes // 1000 + 2


def test_a_full_queue_is_said_at_once(site: Site, party: Party) -> None:
    site.upload(party)
    site.engine.full = True
    answer = site.ask("POST", INFER, content=party.request)
    assert refusal(answer) == (429, "BusyError") and answer.headers["retry-after"] == "1"
    site.engine.full, site.engine.answer = False, QueueFullError()
    assert refusal(site.ask("POST", INFER, content=party.request)) == (429, "BusyError")


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (LateError(), (504, "LateError")),
        (WorkerDiedError(), (500, "WorkerDiedError")),
        (({"error": "FormatError", "message": "request: no", "about": "request"}, b""), (400, "FormatError")),
        (({"error": "ValueError", "message": "secret", "about": "server"}, b""), (500, "InternalError")),
        (({"error": "KeyFileError", "message": "damaged", "about": "key"}, b""), (409, "KeyNotRegisteredError")),
    ],
)
def test_what_goes_wrong_behind_the_queue_has_a_status(
    site: Site, party: Party, answer: Any, wanted: tuple[int, str]
) -> None:
    site.upload(party)
    site.engine.answer = answer
    found = site.ask("POST", INFER, content=party.request)
    assert refusal(found) == wanted and "secret" not in found.text
    held = site.ask("HEAD", f"/v2/keys/{party.sha256}").status_code
    assert held == (404 if wanted[0] == 409 else 200)


def test_a_full_disk_is_said_and_what_is_stored_still_serves(
    site: Site, party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.upload(party)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    other = bytearray(party.key)
    other[-1] ^= 1
    with monkeypatch.context() as patched:
        patched.setattr(site.service.store, "append", full)
        patched.setattr(site.service, "limits", replace(site.service.limits, tenant_keys=2))
        patched.setattr(site.service.store, "_limits", site.service.limits)
        answer = site.upload(party, content=bytes(other))
        assert refusal(answer) == (507, "StorageError") and "No space left on device" in answer.text
        assert site.ask("POST", INFER, content=party.request).content == b"reply"
        patched.setattr(inference.Body, "into", full)
        batch = cp.Client(cp.load_client(party.folder.parent / "batch")).encrypt_batch(np.zeros((1, 2, 3)))
        assert refusal(site.ask("POST", "/v2/models/batch/infer", content=batch)) == (507, "StorageError")
    assert not list(site.service.spool.folder.iterdir())


def test_a_large_request_reaches_its_worker_in_a_file(
    site: Site, party: Party, bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "READ_AHEAD_BYTES", 1000)
    site.upload(party)
    assert site.ask("POST", INFER, content=party.request).content == b"reply"
    work = site.engine.given[-1]
    assert work.body == b"" and work.fields["request_bytes"] == len(party.request)
    assert Path(work.fields["request_file"]).parent == site.service.spool.folder
    assert Parties({"small": bundles / "small"}, 1, 2**30).run(work.fields, b"").body == party.reply


def test_a_client_that_leaves_is_not_worked_for_under_any_server_of_http(site: Site, party: Party) -> None:
    site.upload(party)
    ended, sent = [], []

    async def run(_: Work) -> Message:
        try:
            return await asyncio.sleep(60, ({}, b""))
        finally:
            ended.append("work")

    async def ask() -> None:
        left = [{"type": "http.request", "body": party.request}, {"type": "http.disconnect"}]

        async def receive() -> Any:
            return left.pop(0)

        async def send(message: Any) -> None:
            sent.append(message.get("status"))

        scope = {"type": "http", "method": "POST", "path": INFER, "headers": [], "query_string": b"", "scheme": "http"}
        await site.app(scope, receive, send)

    site.engine.run = run  # type: ignore[method-assign]
    asyncio.run(ask())
    assert ended == ["work"] and sent[0] == 499


def test_one_connection_uploads_a_key_at_a_time(site: Site, party: Party) -> None:
    site.service.uploading.add((ANYBODY, party.sha256))
    answer = site.upload(party)
    assert refusal(answer) == (409, "UploadingError") and answer.headers["retry-after"] == "1"
    site.service.uploading.clear()
    assert site.upload(party).status_code == 201


def test_a_secret_key_is_refused_before_a_byte_is_stored(site: Site, party: Party) -> None:
    secret = party.client.secret_key.to_bytes()  # type: ignore[attr-defined]
    assert refusal(site.upload(party, content=secret)) == (400, "SecretKeyError")
    assert refusal(site.ask("POST", INFER, content=secret[:5000])) == (400, "SecretKeyError")
    assert not site.engine.given
    stored = b"".join(path.read_bytes() for path in site.service.store._folder.rglob("*") if path.is_file())
    assert stored == b""


def test_keys_that_are_none_of_this_server_are_refused(site: Site, party: Party) -> None:
    other = bytearray(party.key)
    other[16] ^= 1  # of the bundle id
    assert refusal(site.upload(party, content=bytes(other))) == (400, "KeyMismatchError")
    assert refusal(site.upload(party, content=party.request)) == (400, "FormatError")
    path, headers = f"/v2/keys/{party.sha256}", {OFFSET: "0", LENGTH: str(len(party.key))}
    damaged = bytearray(party.key)
    damaged[-1] ^= 1
    answer = site.ask("PATCH", path, content=bytes(damaged), headers=headers)
    assert "do not have the hash in the path; upload it again" in answer.json()["error"]
    assert site.ask("HEAD", path).status_code == 404
    for wrong in ({OFFSET: "0"}, {OFFSET: "-1", LENGTH: "500"}, {OFFSET: "0", LENGTH: "9" * 15}, {LENGTH: "5"}):
        assert site.ask("PATCH", path, content=b"x", headers=wrong).status_code in (400, 413)
    assert site.ask("GET", "/v2/keys/ABC").status_code == 400


def test_a_worker_refuses_a_key_and_nothing_of_it_is_kept(site: Site, party: Party) -> None:
    site.engine.answer = ({"error": "FormatError", "message": "evaluation key: no", "about": "request"}, b"")
    assert refusal(site.upload(party)) == (400, "FormatError")
    assert site.ask("GET", "/v2/keys").json() == {"keys": []}


def test_one_tenant_learns_nothing_of_anothers_keys(guarded: Site, party: Party) -> None:
    assert guarded.upload(party, ANN).status_code == 201
    path, unknown = f"/v2/keys/{party.sha256}", "/v2/keys/" + "0" * 64

    def said(answer: httpx.Response) -> tuple[int, bytes, Any]:
        return answer.status_code, answer.content, sorted(answer.headers.items())

    for method in ("GET", "HEAD", "DELETE"):
        assert said(guarded.ask(method, path, BOB)) == said(guarded.ask(method, unknown, BOB))
    guarded.engine.given.clear()
    of_ann = guarded.ask("POST", INFER, BOB, content=party.request)
    assert refusal(of_ann) == (409, "KeyNotRegisteredError") and not guarded.engine.given
    assert guarded.ask("GET", "/v2/keys", BOB).json() == {"keys": []}
    assert guarded.upload(party, BOB).status_code == 201  # its own copy, with all bytes sent again
    assert guarded.ask("DELETE", path, BOB).status_code == 204
    assert guarded.ask("POST", INFER, ANN, content=party.request).content == b"reply"


@pytest.mark.parametrize("header", [None, "Bearer wrong", f"Basic {ANN}", ANN, "Bearer", f"Bearer {MONITOR}"])
def test_without_a_token_nothing_is_said(guarded: Site, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    for method, path in (
        ("GET", "/v2"), ("GET", "/v2/models"), ("GET", "/v2/models/small"), ("GET", "/v2/models/none"),
        ("GET", "/v2/models/small/client"), ("POST", INFER), ("GET", "/v2/keys"), ("DELETE", "/v2/keys/" + "0" * 64),
    ):  # fmt: skip
        assert refusal(guarded.ask(method, path, headers=headers)) == (401, "TokenError")
    assert guarded.ask("GET", "/v2/health/live").status_code == 200


def test_metrics_are_for_one_tenant_and_name_none(guarded: Site, party: Party) -> None:
    guarded.upload(party, ANN)
    guarded.ask("POST", INFER, ANN, content=party.request)
    for token in (None, ANN):
        assert guarded.ask("GET", "/metrics", token).status_code == 401
    text = guarded.ask("GET", "/metrics", MONITOR).text
    assert 'cipherpress_requests_total{route="infer",status="200"} 1.0' in text
    assert "ann" not in text and party.sha256[:8] not in text


def test_a_tenant_has_as_many_keys_as_allowed(guarded: Site, party: Party) -> None:
    guarded.upload(party, ANN)
    other = bytearray(party.key)
    other[-1] ^= 1
    answer = guarded.upload(party, ANN, content=bytes(other))
    assert refusal(answer) == (413, "QuotaError") and "1 keys are stored, as many as allowed" in answer.text


def test_a_slow_body_is_given_up(site: Site, party: Party) -> None:
    site.upload(party)

    async def body() -> AsyncIterator[bytes]:
        yield party.request[:64]
        await asyncio.sleep(5)
        yield party.request[64:]

    assert refusal(site.ask("POST", INFER, content=body())) == (408, "SlowError")


def test_unknown_paths_and_methods_are_errors_in_json(site: Site) -> None:
    assert refusal(site.ask("GET", "/v2/nothing")) == (404, "NotFoundError")
    assert refusal(site.ask("GET", INFER)) == (405, "HttpError")
    assert site.ask("POST", INFER, headers={"Inference-Header-Content-Length": "5"}).status_code == 400


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "allowed: a file with one tenant or more"),
        ("ann", "line 1: got '1 words'; allowed: NAME TOKEN"),
        ("ann short", "line 1: got 'a token of 5 letters'; allowed: 20 or more, drawn at random"),
        ("ann sha256:12", "line 1: .*64 hex digits after sha256:"),
        (f"# two\nann {ANN}\nann {BOB}", "line 3: got 'ann'; allowed: a name and a token that no other line has"),
    ],
)
def test_a_wrong_token_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "tokens").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_tenants(tmp_path / "tokens")
