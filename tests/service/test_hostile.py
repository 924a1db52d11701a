"""Mutated requests and keys over HTTP, and a server with tokens and TLS."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path
from random import Random

import httpx
import numpy as np
import pytest

import cipherpress as cp
from cipherpress.service.paths import LENGTH, OFFSET
from secure.parties.container import ContainerKind
from tests.fuzz.messages import container_case
from tests.service.conftest import Party
from tests.service.running import Running, running
from tests.service.test_faults import INFER, infer, upload

#: The longest that a server may take to refuse something, on a machine that is busy.
PATIENCE_S = 20.0


def _refused(answer: httpx.Response) -> str:
    """The type of the refusal; a mutation may also leave a request that works."""
    if answer.status_code in (200, 201):
        return "works"
    assert answer.status_code in (400, 409, 413), answer.text
    assert len(answer.json()["error"]) < 3000
    return str(answer.json()["type"])


def _post(http: httpx.Client, content: bytes) -> str:
    return _refused(http.post(INFER, content=content))


def _patch(http: httpx.Client, content: bytes) -> str:
    path = f"/v2/keys/{hashlib.sha256(content).hexdigest()}"
    answer = http.patch(path, content=content, headers={OFFSET: "0", LENGTH: str(len(content))})
    http.delete(path)
    return _refused(answer)


def _mutate(served: Running, party: Party, count: int) -> None:
    """So many mutated requests and a tenth as many keys; no worker dies, and the next request is served."""
    workers, outcomes = set(served.workers), Counter[str]()
    with httpx.Client(base_url=served.url, timeout=60) as http:
        upload(http, party)
        for send, content, kind, trials in (
            (_post, party.request, ContainerKind.REQUEST, count),
            (_patch, party.key, ContainerKind.EVALUATION_KEY, count // 10),
        ):
            case = container_case(content, kind, lambda changed, _, send=send: lambda: send(http, changed))
            for seed in range(trials):
                _, act = case(Random(seed))
                start = time.monotonic()
                outcomes[str(act())] += 1
                assert time.monotonic() - start < PATIENCE_S
        upload(http, party)
        assert infer(http, party) == party.reply
    assert set(served.workers) == workers
    assert outcomes["FormatError"] > count / 4 and len(outcomes) >= 3


def test_mutated_requests_and_keys_get_typed_refusals(served: Running, party: Party) -> None:
    _mutate(served, party, 100)


@pytest.mark.slow
def test_many_mutated_requests_and_keys_get_typed_refusals(served: Running, party: Party) -> None:
    _mutate(served, party, 5000)


def test_a_server_with_tokens_and_tls(bundles: Path, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    token = "t" * 40
    (tmp_path / "tokens").write_text(f"ann {token}\n")
    options = ("--tls-cert", str(certificate), "--tls-key", str(key), "--token-file", str(tmp_path / "tokens"))
    with running(bundles / "small", options=options) as server:
        assert server.url.startswith("https://")
        with cp.RemoteClient(server.url, token=token, ca_file=certificate) as remote:
            assert remote.predict(np.zeros((4, 8))).shape == (2, 5)
        with pytest.raises(cp.ServiceError, match="answers 401: .*no token of this server"):
            cp.RemoteClient(server.url, ca_file=certificate).connect()
        with pytest.raises(cp.ServiceUnavailableError, match="certificate verify failed"):
            cp.RemoteClient(server.url, token=token, tries=1).connect()
        log = server.errors.read_text()
    assert token not in log
