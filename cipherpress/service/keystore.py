"""Evaluation keys on disk, by tenant and content: complete ones, and uploads that are not finished.

    DATA/lock                            held by the server that uses the folder
    DATA/running_time                    see `clock`
    DATA/keys/TENANT/SHA256.key          a key that a worker has checked
    DATA/keys/TENANT/SHA256.LENGTH.part  the first bytes of a key of LENGTH bytes

TENANT is a hash of the tenant's name. A file's time of change is the running time at which it was last used. Everything
that is known of a key lies in its file, so there is no index that could disagree after a crash: a file takes its last
name when all of its bytes are on the disk.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cipherpress.service.clock import RunningTime
from cipherpress.service.settings import ServiceLimits
from compress.errors import ConfigError
from secure.bundle.client_parts import is_sha256
from secure.parties.container import HEADER

#: How often the time of last use is written, in seconds.
TOUCH_S = 60.0


class QuotaError(Exception):
    """A tenant has as many keys, or bytes of keys, as it may."""


class OffsetError(Exception):
    """Bytes of an upload that do not start where the file ends; attribute offset, where it does."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"the server holds the first {offset:,} bytes; go on from there")
        self.offset = offset


@dataclass
class Stored:
    """A complete key, or an unfinished upload. held_bytes: on disk. length: of the whole key. used: running time."""

    path: Path
    held_bytes: int
    length: int
    used: float
    bundle_id: str = ""
    key_id: str = ""

    @property
    def complete(self) -> bool:
        return self.path.suffix == ".key"


class KeyStore:
    """The keys of all tenants of one data folder. One server uses a folder at a time."""

    def __init__(self, folder: Path, limits: ServiceLimits) -> None:
        """Raises: ConfigError for a folder that another server uses; OSError."""
        self._folder, self._limits = folder / "keys", limits
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            allowed = "a folder that no other server uses; stop that server, or give this one a folder of its own"
            raise ConfigError("data-dir", str(folder), allowed) from error
        self.clock = RunningTime(folder / "running_time")
        self._tenants: dict[str, dict[str, Stored]] = {}
        for tenant in filter(Path.is_dir, self._folder.iterdir()):
            found = (self._found(path) for path in sorted(tenant.iterdir()))
            self._tenants[tenant.name] = {path.name[:64]: stored for path, stored in found if stored is not None}

    def close(self) -> None:
        """Let another server use the folder."""
        with suppress(OSError):
            self.clock.save()
        os.close(self._lock)

    def find(self, tenant: str, sha256: str) -> Stored | None:
        """What is stored of a tenant's key; None for a key that is unknown, or another tenant's."""
        return self._of(tenant).get(sha256)

    def all(self, tenant: str) -> dict[str, Stored]:
        """A tenant's keys and uploads by their hash."""
        return dict(self._of(tenant))

    def for_request(self, tenant: str, bundle_id: str, key_id: str) -> tuple[str, Path] | None:
        """(hash, file) of a tenant's complete key with this id, which counts as used now."""
        for sha256, stored in self._of(tenant).items():
            if stored.complete and (stored.bundle_id, stored.key_id) == (bundle_id, key_id):
                self._touch(stored)
                return sha256, stored.path
        return None

    def begin(self, tenant: str, sha256: str, length: int) -> Stored:
        """The upload of a key, new or gone on with.

        Raises: QuotaError; OffsetError for a key of another length; OSError.
        """
        known = self._of(tenant)
        if sha256 in known:
            if known[sha256].length != length:
                raise OffsetError(known[sha256].held_bytes)
            return known[sha256]
        if len(known) >= self._limits.tenant_keys:
            raise QuotaError(f"{len(known)} keys are stored, as many as allowed; delete one, or wait until one expires")
        held_bytes = sum(stored.length for stored in known.values())
        if held_bytes + length > self._limits.tenant_key_bytes:
            raise QuotaError(
                f"{held_bytes:,} bytes of keys are stored and this key has {length:,}; allowed are "
                f"{self._limits.tenant_key_bytes:,}; delete a key, or wait until one expires"
            )
        folder = self._folder / _tenant_folder(tenant)
        if not folder.is_dir():
            folder.mkdir(mode=0o700)
            _sync(self._folder)
        path = folder / f"{sha256}.{length}.part"
        path.touch(mode=0o600)
        stored = Stored(path, 0, length, self.clock.now())
        self._touch(stored, force=True)
        self._tenants.setdefault(folder.name, {})[sha256] = stored
        return stored

    def append(self, stored: Stored, offset: int, content: bytes) -> None:
        """Write the next bytes of an upload. Where that fails, the file ends where it did before.

        Raises: OffsetError; OSError.
        """
        if stored.complete or offset != stored.held_bytes or offset + len(content) > stored.length:
            raise OffsetError(stored.held_bytes)
        with open(stored.path, "r+b", buffering=0) as file:
            file.seek(offset)
            try:
                view = memoryview(content)
                while view:
                    view = view[file.write(view) :]
            except OSError:
                with suppress(OSError):
                    file.truncate(offset)
                raise
        stored.held_bytes += len(content)
        stored.used = self.clock.now()

    def matches(self, sha256: str, stored: Stored) -> bool:
        """Whether an upload is whole and has this hash; its bytes are on the disk afterwards.

        Raises: OSError.
        """
        with open(stored.path, "r+b") as file:
            os.fsync(file.fileno())
            return stored.held_bytes == stored.length and hashlib.file_digest(file, "sha256").hexdigest() == sha256

    def keep(self, sha256: str, stored: Stored) -> None:
        """Keep an upload as a key, from now on and after a crash.

        Raises: OSError.
        """
        with stored.path.open("rb") as file:
            start = file.read(HEADER.size)
        path = stored.path.with_name(f"{sha256}.key")
        os.replace(stored.path, path)
        stored.path = path
        stored.bundle_id, stored.key_id = _ids(start)
        self._touch(stored, force=True)
        _sync(path.parent)

    def discard(self, tenant: str, sha256: str) -> bool:
        """Remove a tenant's key or upload, and say whether there was one.

        Raises: OSError.
        """
        stored = self._of(tenant).pop(sha256, None)
        if stored is not None:
            stored.path.unlink(missing_ok=True)
        return stored is not None

    def sweep(self) -> int:
        """Remove what was not used for too long, and save the running time; how many keys and uploads that were.

        Raises: OSError.
        """
        self.clock.save()
        now, removed = self.clock.now(), 0
        for known in self._tenants.values():
            for sha256, stored in list(known.items()):
                unused_s = self._limits.key_unused_s if stored.complete else self._limits.upload_unused_s
                if now - stored.used > unused_s:
                    stored.path.unlink(missing_ok=True)
                    del known[sha256]
                    removed += 1
        return removed

    def totals(self) -> tuple[int, int]:
        """(complete keys, bytes on disk) of all tenants."""
        every = [stored for known in self._tenants.values() for stored in known.values()]
        return sum(stored.complete for stored in every), sum(stored.held_bytes for stored in every)

    def _of(self, tenant: str) -> dict[str, Stored]:
        return self._tenants.get(_tenant_folder(tenant), {})

    def _touch(self, stored: Stored, force: bool = False) -> None:
        now = self.clock.now()
        if force or now - stored.used >= TOUCH_S:
            with suppress(OSError):  # a disk that is full must not stop requests
                os.utime(stored.path, (now, now))
        stored.used = max(stored.used, now)

    def _found(self, path: Path) -> tuple[Path, Stored | None]:
        """What a file of an earlier run is; None for one that is none of ours."""
        sha256, *rest = path.name.split(".")
        status = path.stat()
        used = min(status.st_mtime, self.clock.now())
        if not is_sha256(sha256):
            return path, None
        if rest == ["key"] and status.st_size >= HEADER.size:
            with path.open("rb") as file:
                ids = _ids(file.read(HEADER.size))
            return path, Stored(path, status.st_size, status.st_size, used, *ids)
        if len(rest) == 2 and rest[0].isdecimal() and rest[1] == "part" and status.st_size <= int(rest[0]):
            return path, Stored(path, status.st_size, int(rest[0]), used)
        return path, None


def _tenant_folder(tenant: str) -> str:
    return hashlib.sha256(tenant.encode()).hexdigest()[:32]


def _sync(folder: Path) -> None:
    """Have the names in a folder on the disk.

    Raises: OSError.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _ids(start: bytes) -> tuple[str, str]:
    """(bundle id, key id) in hex of the first bytes of a container."""
    *_, bundle_id, key_id = HEADER.unpack(start)
    return bundle_id.hex(), key_id.hex()
