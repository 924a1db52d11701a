"""What a server is told when it starts: bundles, workers, limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from compress.checks import is_number, is_whole
from compress.errors import ConfigError

MIB, GIB = 2**20, 2**30


@dataclass(frozen=True, kw_only=True)
class ServiceLimits:
    """What the service takes at most.

    queue, tenant_queue: requests that wait for a worker, of all tenants and of one. request_s: from the last byte of a
    request to its answer. idle_s: without a byte of a body, or until the head of a request is there. least_bytes_s:
    the slowest body, on average. batch_blocks: blocks of a batch (bundles for throughput). key_cache_bytes: evaluation
    keys in the memory of each worker. tenant_keys, tenant_key_bytes: keys of one tenant on disk, unfinished uploads
    included. key_unused_s: seconds of the server's running time after which a key that nobody used is deleted.
    upload_unused_s: the same of unfinished uploads. connections: open at a time. drain_s: for running requests, when
    the server stops.
    """

    queue: int = 64
    tenant_queue: int = 64
    request_s: float = 60.0
    idle_s: float = 15.0
    least_bytes_s: float = 10_000.0
    batch_blocks: int = 4
    key_cache_bytes: int = GIB
    tenant_keys: int = 64
    tenant_key_bytes: int = 8 * GIB
    key_unused_s: float = 30 * 86400.0
    upload_unused_s: float = 3600.0
    connections: int = 512
    drain_s: float = 30.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            whole = ServiceLimits.__dataclass_fields__[name].type == "int"
            if not is_number(value) or not 0 < value < inf or (whole and not is_whole(value)):
                raise ConfigError(name, value, "a whole number from 1 on" if whole else "a positive number")


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """A server's options.

    bundles: by the name of the model. data_dir: where keys are kept; None keeps them until the server stops. threads:
    cores that one request may keep busy.
    """

    bundles: Mapping[str, Path]
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    threads: int = 1
    data_dir: Path | None = None
    token_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    limits: ServiceLimits = field(default_factory=ServiceLimits)

    def __post_init__(self) -> None:
        if not self.bundles:
            raise ConfigError("bundles", 0, "at least one bundle")
        for name, value, most in (("workers", self.workers, 256), ("threads", self.threads, 256)):
            if not is_whole(value) or not 1 <= value <= most:
                raise ConfigError(name, value, f"1 to {most}")
        if not is_whole(self.port) or not 0 <= self.port <= 65535:
            raise ConfigError("port", self.port, "0 (any that is free) to 65535")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigError("tls", "one file", "both --tls-cert and --tls-key, or none")

    def for_workers(self) -> dict[str, Any]:
        """What the processes that compute need to know, as JSON values."""
        return {
            "bundles": {name: str(folder) for name, folder in self.bundles.items()},
            "threads": self.threads,
            "key_cache_bytes": self.limits.key_cache_bytes,
        }
