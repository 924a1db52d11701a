"""Why a request is refused: a status, a type that programs act on, and a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse

from cipherpress.service.paths import BUSY, KEY_MISSING, QUOTA

#: The status where nobody listens any more; it is in the log alone.
CLIENT_GONE = 499


class RefusedError(Exception):
    """A request that is answered with an error. close: whether the rest of its body stays unread."""

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(message)
        self.status, self.kind = status, kind
        self.headers = {**(headers or {}), **({"Connection": "close"} if close else {})}

    def response(self) -> JSONResponse:
        """The answer, with a body as the Open Inference Protocol has it."""
        return JSONResponse({"error": str(self), "type": self.kind}, self.status, dict(self.headers))


class ClientGoneError(Exception):
    """The client closed its connection."""


def no_such(thing: str) -> RefusedError:
    """For what is not there, and what the tenant may not know of."""
    return RefusedError(404, "NotFoundError", f"{thing}: there is none here")


def key_missing(key_id: str) -> RefusedError:
    """For a request whose key this tenant has not uploaded, whoever else has."""
    return RefusedError(
        409,
        KEY_MISSING,
        f"request: no evaluation key {key_id[:8]} is registered, or it has expired; upload it and send the request "
        "again",
        close=True,
    )


def too_large(what: str, limit_bytes: int) -> RefusedError:
    return RefusedError(413, "TooLargeError", f"{what}: larger than the {limit_bytes:,} bytes allowed", close=True)


def busy(wait_s: int) -> RefusedError:
    return RefusedError(
        429,
        BUSY,
        "server: as many requests wait as may; send this one again later",
        headers={"Retry-After": str(wait_s)},
        close=True,
    )


def over_quota(error: Exception) -> RefusedError:
    return RefusedError(413, QUOTA, f"key: {error}", close=True)


def no_room(error: OSError) -> RefusedError:
    return RefusedError(
        507, "StorageError", f"server: it cannot store this now ({error.strerror}); try again later", close=True
    )
