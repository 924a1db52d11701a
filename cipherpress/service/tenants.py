"""Who may use a server: tenants by their bearer tokens.

A token file has a line `NAME TOKEN` for each tenant, or `NAME sha256:HEX` with the hash of the token. `#` starts a
comment. Tokens are compared by their hashes in constant time, with every tenant's.
"""

from __future__ import annotations

import hashlib
from hmac import compare_digest
from pathlib import Path

from compress.errors import ConfigError
from secure.bundle.client_parts import is_sha256

#: The tenant of everybody, where a server has no token file.
ANYBODY = "anybody"
#: The tenant that may read the server's metrics, and nothing else.
METRICS_TENANT = "metrics"
#: Shorter tokens could be guessed.
LEAST_TOKEN_LETTERS = 20
HASHED = "sha256:"


class Tenants:
    """The tenants of a server."""

    def __init__(self, hashes: dict[str, str]) -> None:
        """hashes: sha256 of each tenant's token, in hex. None of them lets everybody in, as one tenant."""
        self._hashes = hashes

    @property
    def open(self) -> bool:
        """Whether no token is asked for."""
        return not self._hashes

    def named(self, authorization: str | None) -> str | None:
        """The tenant of an Authorization header; None where it names no tenant."""
        if self.open:
            return ANYBODY
        scheme, _, token = (authorization or "").partition(" ")
        found, offered = None, hashlib.sha256(token.strip().encode()).hexdigest()
        for name, wanted in self._hashes.items():  # all of them, so that the time tells nothing
            if compare_digest(offered, wanted):
                found = name
        return found if scheme.lower() == "bearer" else None


def read_tenants(file: Path | None) -> Tenants:
    """The tenants of a token file; without one, everybody.

    Raises: ConfigError naming the line; OSError.
    """
    if file is None:
        return Tenants({})
    hashes: dict[str, str] = {}
    for number, line in enumerate(file.read_text().splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        where = f"{file}, line {number}"
        if len(words) != 2:
            raise ConfigError(where, f"{len(words)} words", "NAME TOKEN, or NAME sha256:HEX")
        name, token = words
        hashed = token.removeprefix(HASHED)
        if token.startswith(HASHED) and not is_sha256(hashed):
            raise ConfigError(where, "sha256:...", "64 hex digits after sha256:")
        if not token.startswith(HASHED):
            if len(token) < LEAST_TOKEN_LETTERS:
                allowed = f"{LEAST_TOKEN_LETTERS} or more, drawn at random"
                raise ConfigError(where, f"a token of {len(token)} letters", allowed)
            hashed = hashlib.sha256(token.encode()).hexdigest()
        if name in hashes or hashed in hashes.values():
            raise ConfigError(where, name, "a name and a token that no other line has")
        hashes[name] = hashed
    if not hashes:
        raise ConfigError("token-file", str(file), "a file with one tenant or more")
    return Tenants(hashes)
