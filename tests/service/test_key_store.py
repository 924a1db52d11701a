"""Evaluation keys on disk: uploads that go on, quotas, expiry, full disks, clocks that jump, restarts."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cipherpress.service import clock, keystore
from cipherpress.service.keystore import KeyStore, OffsetError, QuotaError
from cipherpress.service.settings import ServiceLimits
from compress.errors import ConfigError
from secure.parties.container import Container, ContainerKind

LIMITS = ServiceLimits(tenant_keys=2, tenant_key_bytes=1000, key_unused_s=500, upload_unused_s=50)
KEY = Container(ContainerKind.EVALUATION_KEY, "ab" * 32, b"k" * 16, (b"one", b"two", b"")).to_bytes()
SHA256 = hashlib.sha256(KEY).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[KeyStore]:
    one = KeyStore(tmp_path, LIMITS)
    yield one
    one.close()


def put(store: KeyStore, tenant: str, content: bytes = KEY) -> str:
    sha256 = hashlib.sha256(content).hexdigest()
    stored = store.begin(tenant, sha256, len(content))
    store.append(stored, 0, content)
    assert store.matches(sha256, stored)
    store.keep(sha256, stored)
    return sha256


def test_keys_and_uploads_are_there_after_a_restart(tmp_path: Path, store: KeyStore) -> None:
    put(store, "ann")
    stored = store.begin("bob", "0" * 64, 500)
    store.append(stored, 0, b"x" * 100)
    (tmp_path / "keys" / "stray").write_bytes(b"no key")
    store.close()
    again = KeyStore(tmp_path, LIMITS)
    found = again.for_request("ann", "ab" * 32, (b"k" * 16).hex())
    assert found is not None and found[0] == SHA256 and found[1].read_bytes() == KEY
    upload = again.find("bob", "0" * 64)
    assert upload is not None and (upload.held_bytes, upload.length, upload.complete) == (100, 500, False)
    again.close()
    store._lock = os.open(tmp_path / "lock", os.O_RDWR)  # what the fixture closes


def test_a_tenant_sees_its_own_keys_alone(store: KeyStore) -> None:
    put(store, "ann")
    assert store.find("bob", SHA256) is None and store.all("bob") == {}
    assert store.for_request("bob", "ab" * 32, (b"k" * 16).hex()) is None
    assert not store.discard("bob", SHA256) and store.find("ann", SHA256) is not None
    put(store, "bob")
    assert store.discard("ann", SHA256) and store.find("bob", SHA256) is not None


def test_another_server_on_the_folder_is_refused(tmp_path: Path, store: KeyStore) -> None:
    with pytest.raises(ConfigError, match="data-dir: .* a folder that no other server uses; stop that server"):
        KeyStore(tmp_path, LIMITS)


def test_bytes_go_on_where_the_file_ends(store: KeyStore) -> None:
    stored = store.begin("ann", SHA256, len(KEY))
    store.append(stored, 0, KEY[:50])
    for offset, content in ((0, KEY), (51, KEY[51:]), (50, KEY[50:] + b"more")):
        with pytest.raises(OffsetError, match="holds the first 50 bytes; go on from there"):
            store.append(stored, offset, content)
    with pytest.raises(OffsetError, match="holds the first 50 bytes"):
        store.begin("ann", SHA256, len(KEY) + 1)
    assert not store.matches(SHA256, stored)
    store.append(store.begin("ann", SHA256, len(KEY)), 50, KEY[50:])
    assert store.matches(SHA256, stored) and not store.matches("1" * 64, stored)


def test_a_tenant_has_as_many_keys_and_bytes_as_allowed(store: KeyStore) -> None:
    store.begin("ann", "1" * 64, 600)
    with pytest.raises(QuotaError, match="600 bytes of keys are stored and this key has 401; allowed are 1,000"):
        store.begin("ann", "2" * 64, 401)
    store.begin("ann", "2" * 64, 400)
    with pytest.raises(QuotaError, match="2 keys are stored, as many as allowed"):
        store.begin("ann", "3" * 64, 1)
    store.begin("bob", "3" * 64, 1000)


def test_keys_expire_by_running_time_whatever_the_clock_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed = 0.0
    monkeypatch.setattr(clock, "monotonic", lambda: passed)
    store = KeyStore(tmp_path, LIMITS)
    put(store, "ann")
    store.begin("ann", "1" * 64, 600)
    ten_years = time.time() + 10 * 365 * 86400
    monkeypatch.setattr(time, "time", lambda: ten_years)
    assert store.sweep() == 0
    passed = 60.0
    assert store.sweep() == 1 and store.find("ann", "1" * 64) is None
    passed = 400.0
    assert store.for_request("ann", "ab" * 32, (b"k" * 16).hex()) is not None  # used, so it stays
    store.sweep()
    store.close()
    for path in tmp_path.rglob("*.key"):
        assert path.stat().st_mtime == 400.0
    passed = 0.0  # another process, whose clock starts anew
    store = KeyStore(tmp_path, LIMITS)
    assert store.clock.now() == 400.0
    passed = 499.0
    assert store.sweep() == 0
    passed = 501.0
    assert store.sweep() == 1 and not list(tmp_path.rglob("*.key"))
    store.close()


def test_a_damaged_clock_starts_at_zero_and_no_key_is_lost(tmp_path: Path, store: KeyStore) -> None:
    put(store, "ann")
    store.close()
    (tmp_path / "running_time").write_text("nan")
    again = KeyStore(tmp_path, LIMITS)
    assert again.clock.now() < 100 and again.sweep() == 0 and again.find("ann", SHA256) is not None
    again.close()
    store._lock = os.open(tmp_path / "lock", os.O_RDWR)


class _FullDisk(io.FileIO):
    """A file on a disk with room for ten bytes more."""

    def write(self, content: object) -> int:
        super().write(bytes(content)[:10])  # type: ignore[arg-type, call-overload]
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_refuses_bytes_and_keeps_what_was_there(store: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, "ann")
    stored = store.begin("bob", SHA256, len(KEY))
    store.append(stored, 0, KEY[:50])
    monkeypatch.setattr(keystore, "open", lambda path, mode, buffering: _FullDisk(path, mode), raising=False)
    with pytest.raises(OSError, match="No space left on device"):
        store.append(stored, 50, KEY[50:])
    monkeypatch.delattr(keystore, "open")
    assert stored.held_bytes == stored.path.stat().st_size == 50
    assert store.for_request("ann", "ab" * 32, (b"k" * 16).hex()) is not None
    store.append(stored, 50, KEY[50:])
    assert store.matches(SHA256, stored)


@pytest.mark.parametrize(
    ("field", "value"), [("queue", 0), ("queue", 1.5), ("request_s", -1.0), ("key_cache_bytes", float("inf"))]
)
def test_limits_are_positive(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{field}: got {value}; allowed: a"):
        replace(LIMITS, **{field: value})
