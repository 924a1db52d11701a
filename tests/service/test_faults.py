"""What a server survives: killed workers, being killed itself, clients that vanish or dawdle, files that are damaged.

After each fault the next request is served, and no accepted key is lost.
"""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

import cipherpress as cp
from cipherpress.service.paths import LENGTH, OFFSET
from tests.service.conftest import Party
from tests.service.running import ROOT, Running, kill, running, wait_until
from tests.small_road import process

INFER = "/v2/models/small/infer"


def upload(http: httpx.Client, party: Party) -> None:
    headers = {OFFSET: "0", LENGTH: str(len(party.key))}
    answer = http.patch(f"/v2/keys/{party.sha256}", content=party.key, headers=headers)
    assert answer.status_code == 201, answer.text


@pytest.fixture
def http(served: Running, party: Party) -> Iterator[httpx.Client]:
    """A client of the shared server, which holds the party's key."""
    with httpx.Client(base_url=served.url, timeout=60) as client:
        upload(client, party)
        yield client


def infer(http: httpx.Client, party: Party) -> bytes:
    answer = http.post(INFER, content=party.request)
    assert answer.status_code == 200, answer.text
    return answer.content


def test_a_request_whose_worker_is_killed_is_answered_by_another(
    served: Running, http: httpx.Client, party: Party
) -> None:
    stopped, other = served.workers
    os.kill(stopped, signal.SIGSTOP)  # so that a request is under way when the worker dies
    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(infer, http, party) for _ in range(3)]
        time.sleep(0.3)
        assert not all(one.done() for one in asking)
        kill(stopped)
        assert [one.result(60) for one in asking] == [party.reply] * 3
    wait_until(lambda: len(set(served.workers) - {stopped, other}) == 1, what="the worker is replaced")
    assert infer(http, party) == party.reply


def test_a_request_that_kills_two_workers_is_answered_with_an_error(
    served: Running, http: httpx.Client, party: Party
) -> None:
    stop, killed = threading.Event(), set[int]()

    def kill_all() -> None:
        while not stop.is_set():
            for worker in served.workers:
                killed.add(worker)
                with suppress(ProcessLookupError):  # it may have ended since it was listed
                    os.kill(worker, signal.SIGSTOP)
                    time.sleep(0.05)
                    kill(worker)

    killing = threading.Thread(target=kill_all)
    killing.start()
    answer = http.post(INFER, content=party.request)
    stop.set()
    killing.join()
    assert answer.status_code in (200, 500)
    assert answer.content == party.reply or answer.json()["type"] == "WorkerDiedError"
    wait_until(lambda: len(set(served.workers) - killed) == 2, what="workers are replaced")
    assert infer(http, party) == party.reply


def test_a_client_that_leaves_frees_its_worker(served: Running, http: httpx.Client, party: Party) -> None:
    stopped = set(served.workers)
    for worker in stopped:
        os.kill(worker, signal.SIGSTOP)
    leaving = [socket.create_connection(("127.0.0.1", httpx.URL(served.url).port)) for _ in stopped]
    for one in leaving:
        head = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(party.request)}\r\n\r\n"
        one.sendall(head.encode() + party.request)
    time.sleep(1.5)
    for one in leaving:
        one.close()
    wait_until(lambda: not stopped & set(served.workers), what="workers that nobody waits for are ended")
    assert infer(http, party) == party.reply


def test_the_process_that_forks_may_die(served: Running, http: httpx.Client, party: Party) -> None:
    orphans = served.workers
    kill(served.computing)
    assert infer(http, party) == party.reply
    for worker in orphans:
        kill(worker)
    # what was killed may still be there for a moment, and the server does not know yet
    wait_until(lambda: len(set(served.workers) - set(orphans)) == 2, what="all processes are replaced")
    assert infer(http, party) == party.reply


def test_a_disk_that_takes_no_more_keeps_what_is_there_and_serves_on(
    served: Running, http: httpx.Client, party: Party
) -> None:
    client = cp.Client(cp.load_client(party.folder))
    key = client.evaluation_key.to_bytes()
    path, (soft, hard) = f"/v2/keys/{hashlib.sha256(key).hexdigest()}", resource.getrlimit(resource.RLIMIT_FSIZE)
    first, headers = key[:50_000], {OFFSET: "0", LENGTH: str(len(key))}
    assert http.patch(path, content=first, headers=headers).status_code == 204
    resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (100_000, hard))  # as a disk without room
    headers = {OFFSET: "50000", LENGTH: str(len(key))}
    answer = http.patch(path, content=key[50_000:], headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (507, "StorageError")
    assert http.head(path).headers[OFFSET] == "50000"
    assert infer(http, party) == party.reply
    resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (soft, hard))
    assert http.patch(path, content=key[50_000:], headers=headers).status_code == 201
    assert infer(http, party) == party.reply


def test_a_client_that_vanishes_in_an_upload_goes_on_where_it_was(
    served: Running, http: httpx.Client, party: Party
) -> None:
    client = cp.Client(cp.load_client(party.folder))
    key = client.evaluation_key.to_bytes()
    own = Party(party.folder, client, key, b"", b"")
    with socket.create_connection(("127.0.0.1", httpx.URL(served.url).port)) as vanishing:
        head = f"PATCH /v2/keys/{own.sha256} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(key)}\r\n"
        vanishing.sendall(f"{head}{OFFSET}: 0\r\n{LENGTH}: {len(key)}\r\n\r\n".encode() + key[:200_000])
        time.sleep(0.1)
    held = lambda: int(http.head(f"/v2/keys/{own.sha256}").headers.get(OFFSET, 0))  # noqa: E731
    wait_until(lambda: held() == 200_000, what="the bytes that arrived are kept")
    headers = {OFFSET: "0", LENGTH: str(len(key))}
    wrong = http.patch(f"/v2/keys/{own.sha256}", content=key, headers=headers)
    assert (wrong.status_code, wrong.headers[OFFSET]) == (409, "200000")
    headers = {OFFSET: "200000", LENGTH: str(len(key))}
    assert http.patch(f"/v2/keys/{own.sha256}", content=key[200_000:], headers=headers).status_code == 201
    assert infer(http, party) == party.reply


def test_slow_clients_are_dropped_and_others_served(bundles: Path, party: Party, tmp_path: Path) -> None:
    """Also: the server is killed in mid-upload and between upload and request, and stopped with SIGTERM."""
    options = ("--data-dir", str(tmp_path), "--idle-seconds", "1")
    with running(bundles / "small", options=options) as server:
        port = httpx.URL(server.url).port
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        slow[0].sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x")
        slow[1].sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(party.request)}\r\n\r\n".encode())
        slow[1].sendall(party.request[:100])
        with httpx.Client(base_url=server.url, timeout=60) as http:
            headers = {OFFSET: "0", LENGTH: str(len(party.key))}
            half = len(party.key) // 2
            assert http.patch(f"/v2/keys/{party.sha256}", content=party.key[:half], headers=headers).status_code == 204
        for one in slow:
            one.settimeout(30)
            answer = one.recv(65536)
            assert answer == b"" or b" 408 " in answer or b" 409 " in answer
            one.close()
        server.kill()
    with running(bundles / "small", options=options) as server:
        with httpx.Client(base_url=server.url, timeout=60) as http:
            assert http.head(f"/v2/keys/{party.sha256}").headers[OFFSET] == str(half)
            headers = {OFFSET: str(half), LENGTH: str(len(party.key))}
            assert http.patch(f"/v2/keys/{party.sha256}", content=party.key[half:], headers=headers).status_code == 201
        server.kill()
    with running(bundles / "small", options=options) as server, httpx.Client(base_url=server.url, timeout=60) as http:
        assert infer(http, party) == party.reply
        (file,) = tmp_path.rglob("*.key")
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        (holding,) = server.workers  # has the key in memory
        kill(holding)
        wait_until(lambda: len(set(server.workers) - {holding}) == 1, what="the worker is replaced")
        answer = http.post(INFER, content=party.request)
        assert (answer.status_code, answer.json()["type"]) == (409, "KeyNotRegisteredError")
        upload(http, party)
        assert infer(http, party) == party.reply
        second = process("-m", "cli", "serve", bundles / "small", "--port", "0", "--data-dir", tmp_path, cwd=ROOT)
        assert (second.returncode, second.stderr.count("\n")) == (1, 2)
        assert "allowed: a folder that no other server uses; stop that server" in second.stderr
        (worker,) = server.workers
        os.kill(worker, signal.SIGSTOP)
        with ThreadPoolExecutor(1) as pool:  # what was accepted before SIGTERM is answered
            accepted = pool.submit(infer, http, party)
            time.sleep(1.5)
            server.process.terminate()
            time.sleep(0.3)
            os.kill(worker, signal.SIGCONT)
            assert accepted.result(60) == party.reply
        http.close()
        assert server.stop() == 0
    assert "Traceback" not in server.errors.read_text()
