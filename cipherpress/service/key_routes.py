"""Evaluation keys over the network: uploaded in pieces that go on where they ended, listed, deleted. A tenant's own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cipherpress.service.bodies import Body
from cipherpress.service.keystore import OffsetError, QuotaError, Stored
from cipherpress.service.logs import log
from cipherpress.service.offers import Offer
from cipherpress.service.paths import COMPLETE, LENGTH, OFFSET, WRONG_OFFSET
from cipherpress.service.queueing import Work
from cipherpress.service.refusals import RefusedError, no_room, no_such, over_quota, too_large
from cipherpress.service.service import RETRY_S, Service, refused
from compress.errors import CipherpressError
from secure.bundle.client_parts import is_sha256
from secure.parties.container import HASH_BYTES, HEADER, ContainerKind, parse_header, refuse_secret_key

#: Bytes that are written at a time, and the most that are lost when a connection breaks.
WRITE_BYTES = 2**20


class KeyRoutes:
    """The routes below /v2/keys. What another tenant has is answered as what nobody has."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def list_keys(self, request: Request) -> Response:
        """The tenant's own keys and unfinished uploads."""
        keys = self._service.store.all(self._service.tenant(request))
        return JSONResponse({"keys": [_described(sha256, stored) for sha256, stored in keys.items()]})

    async def state(self, request: Request) -> Response:
        """How much of a key is stored (GET, HEAD)."""
        tenant, sha256 = self._service.tenant(request), _hash(request)
        stored = self._service.store.find(tenant, sha256)
        if stored is None:
            raise no_such("key")
        return JSONResponse(_described(sha256, stored), headers=_headers(stored))

    async def delete(self, request: Request) -> Response:
        """Remove a key or an unfinished upload."""
        tenant, sha256 = self._service.tenant(request), _hash(request)
        if not self._service.store.discard(tenant, sha256):
            raise no_such("key")
        log("key deleted", tenant=tenant, key=sha256[:12])
        return Response(status_code=204)

    async def upload(self, request: Request) -> Response:
        """The next bytes of a key, from the offset that the request states (PATCH).

        With its last byte the key is checked, against its hash and by a worker, and then kept or refused as a whole.
        """
        service = self._service
        tenant, sha256 = service.tenant(request), _hash(request)
        offset, length = _number(request, OFFSET), _number(request, LENGTH)
        most_bytes = max(offer.most_key_bytes for offer in service.offers.values())
        if length > most_bytes:
            raise too_large("key", most_bytes)
        body = Body(request, max(length - offset, 0), "key", service.limits)
        with self._alone(tenant, sha256):
            stored = service.store.find(tenant, sha256)
            if stored is not None and stored.complete:
                return Response(status_code=201, headers=_headers(stored))
            try:
                stored = await self._written(body, tenant, sha256, offset, length)
                if stored.held_bytes < stored.length:
                    return Response(status_code=204, headers=_headers(stored))
                await self._checked(tenant, sha256, stored)
            except OffsetError as error:
                headers = {OFFSET: str(error.offset)}
                raise RefusedError(409, WRONG_OFFSET, f"key: {error}", headers=headers, close=True) from error
            except QuotaError as error:
                raise over_quota(error) from error
            except OSError as error:
                log("key not stored", level=40, tenant=tenant, reason=error.strerror)
                raise no_room(error) from error
        log("key stored", tenant=tenant, key=sha256[:12], key_bytes=stored.length)
        return Response(status_code=201, headers=_headers(stored))

    @contextmanager
    def _alone(self, tenant: str, sha256: str) -> Iterator[None]:
        """One upload of a key at a time.

        Raises: RefusedError for another one.
        """
        uploading = self._service.uploading
        if (tenant, sha256) in uploading:
            message = "key: another connection uploads it just now; ask for its offset in a moment"
            raise RefusedError(409, "UploadingError", message, headers={"Retry-After": str(RETRY_S)}, close=True)
        uploading.add((tenant, sha256))
        try:
            yield
        finally:
            uploading.discard((tenant, sha256))

    async def _written(self, body: Body, tenant: str, sha256: str, offset: int, length: int) -> Stored:
        """The upload with this body's bytes. What arrived before a connection broke stays."""
        store = self._service.store
        known = store.find(tenant, sha256)
        if offset != (0 if known is None else known.held_bytes):
            raise OffsetError(0 if known is None else known.held_bytes)
        if offset == 0:
            self._offer(await body.start(HEADER.size))  # before a byte is stored
        stored = store.begin(tenant, sha256, length)
        waiting = bytearray()
        try:
            async for piece in body.pieces():
                waiting += piece
                if len(waiting) >= WRITE_BYTES:
                    await asyncio.to_thread(store.append, stored, stored.held_bytes, bytes(waiting))
                    waiting.clear()
        finally:
            if waiting:
                store.append(stored, stored.held_bytes, bytes(waiting))
        return stored

    async def _checked(self, tenant: str, sha256: str, stored: Stored) -> None:
        """Keep a key whose bytes are all there, or forget it.

        Raises: RefusedError for a key that is damaged, or not what its bundle needs; OSError.
        """
        store = self._service.store
        if not await asyncio.to_thread(store.matches, sha256, stored):
            store.discard(tenant, sha256)
            raise RefusedError(400, "FormatError", "key: its bytes do not have the hash in the path; upload it again")
        with stored.path.open("rb") as file:
            offer = self._offer(file.read(HEADER.size))
        answer, _ = await self._service.answered(
            Work({"do": "check_key", "model": offer.name, "key_file": str(stored.path)}, tenant=tenant)
        )
        if "error" in answer:
            if answer["about"] != "server":
                store.discard(tenant, sha256)
            raise refused(answer)
        await asyncio.to_thread(store.keep, sha256, stored)

    def _offer(self, start: bytes) -> Offer:
        """The model that a key is for, by its first bytes.

        Raises: RefusedError for bytes that are no evaluation key of a model here; a secret key is refused here.
        """
        if len(start) < HEADER.size:
            message = f"key: the first piece has {len(start)} bytes; {HEADER.size} or more say what it is"
            raise RefusedError(400, "FormatError", message)
        try:
            refuse_secret_key(start, "key")
            _, bundle_id, _ = parse_header(start, ContainerKind.EVALUATION_KEY, "key")
        except CipherpressError as error:
            raise RefusedError(400, type(error).__name__, str(error), close=True) from error
        offer = self._service.offer_of(bundle_id)
        if offer is None or offer.batches:
            message = f"key: it is for bundle {bundle_id[:12]}, of which this server takes no keys"
            raise RefusedError(400, "KeyMismatchError", message, close=True)
        return offer


def _hash(request: Request) -> str:
    sha256: str = request.path_params["sha256"]
    if not is_sha256(sha256):
        raise RefusedError(400, "FormatError", "path: a key is named by its sha256, 64 hex digits in lower case")
    return sha256


def _number(request: Request, header: str) -> int:
    stated = request.headers.get(header, "")
    if not (stated.isascii() and stated.isdecimal() and len(stated) <= 15):
        raise RefusedError(400, "FormatError", f"header '{header}': {stated[:20]!r} is no number of bytes", close=True)
    number = int(stated)
    least = HEADER.size + HASH_BYTES if header == LENGTH else 0
    if number < least:
        raise RefusedError(400, "FormatError", f"header '{header}': {number} bytes are too few for a key", close=True)
    return number


def _headers(stored: Stored) -> dict[str, str]:
    return {
        OFFSET: str(stored.held_bytes),
        LENGTH: str(stored.length),
        COMPLETE: "?1" if stored.complete else "?0",
        "Cache-Control": "no-store",
    }


def _described(sha256: str, stored: Stored) -> dict[str, str | int | bool]:
    return {"sha256": sha256, "bytes": stored.length, "held_bytes": stored.held_bytes, "complete": stored.complete}
