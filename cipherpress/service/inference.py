"""Encrypted inference: one request, or a batch, in; the reply out."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cipherpress.service.bodies import Body, when_gone
from cipherpress.service.connections import READ_AHEAD_BYTES
from cipherpress.service.logs import log
from cipherpress.service.messages import Message
from cipherpress.service.offers import Offer
from cipherpress.service.paths import BINARY, JSON_LENGTH, TIMING
from cipherpress.service.queueing import Work
from cipherpress.service.refusals import ClientGoneError, RefusedError, busy, key_missing, no_room
from cipherpress.service.service import RETRY_S, Service, refused
from compress.errors import CipherpressError
from secure.parties.container import HEADER, Container, ContainerKind, check_belongs, parse_header, refuse_secret_key

PIECE_BYTES = 2**20


class Inference:
    """The route that runs models."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def infer(self, request: Request) -> Response:
        """The reply to a binary request.

        Checked in this order, each before more is read: the tenant, the model, the stated length, room in the queue,
        the first bytes (never a secret key), the evaluation key; then the body.
        """
        started, service = perf_counter(), self._service
        tenant, offer = service.tenant(request), service.offer(request)
        if request.headers.get(JSON_LENGTH, "0") != "0":
            message = f"header '{JSON_LENGTH}': bodies are binary as a whole here; leave it out, or send 0"
            raise RefusedError(400, "FormatError", message, close=True)
        body = Body(request, offer.most_request_bytes, "request", service.limits)
        if service.engine.full:
            raise busy(RETRY_S)
        key_id = _key_id(await body.start(HEADER.size), offer)
        if offer.batches:
            response, answer = await self._batch(request, body, offer, tenant)
        else:
            response, answer = await self._single(request, body, offer, tenant, key_id)
        plan_ms = answer[0]["plan_ms"]
        response.headers[TIMING], response.headers[JSON_LENGTH] = f"plan;dur={plan_ms:.2f}", "0"
        reply_bytes, taken_s = int(response.headers["content-length"]), perf_counter() - started
        metrics = service.metrics.of_model(offer.name)
        metrics.request_s.observe(taken_s)
        metrics.plan_s.observe(plan_ms / 1e3)
        metrics.request_bytes.inc(body.read_bytes)
        metrics.reply_bytes.inc(reply_bytes)
        sizes = {"request_bytes": body.read_bytes, "reply_bytes": reply_bytes}
        times = {"plan_ms": round(plan_ms, 2), "ms": round(1e3 * taken_s, 2)}
        log("infer", tenant=tenant, model=offer.name, **sizes, **times)
        return response

    async def _single(
        self, request: Request, body: Body, offer: Offer, tenant: str, key_id: str
    ) -> tuple[Response, Message]:
        store = self._service.store
        found = store.for_request(tenant, offer.spec.bundle_id, key_id)
        if found is None:
            raise key_missing(key_id)
        sha256, file = found
        fields = {"do": "run", "model": offer.name, "key_id": key_id, "key_file": str(file)}
        work = Work(fields, key=(offer.name, key_id), tenant=tenant)
        if body.most_bytes > READ_AHEAD_BYTES:
            answer = await self._from_file(request, body, work)
        else:
            answer = await self._unless_gone(request, replace(work, body=await body.whole()))
        if answer[0].get("about") == "key":  # damaged on the disk: the client has it, and sends it again
            log("key dropped", level=30, tenant=tenant, model=offer.name, reason=answer[0]["message"])
            store.discard(tenant, sha256)
            raise key_missing(key_id)
        _check(answer)
        return Response(answer[1], media_type=BINARY), answer

    async def _batch(self, request: Request, body: Body, offer: Offer, tenant: str) -> tuple[Response, Message]:
        with self._service.spool.fresh() as reply:
            fields = {"do": "run_batch", "model": offer.name, "reply_file": str(reply)}
            answer = await self._from_file(request, body, Work(fields, tenant=tenant))
            _check(answer)
            return FileReply(reply, self._service.limits.idle_s), answer  # what is open is read to its end

    async def _from_file(self, request: Request, body: Body, work: Work) -> Message:
        """The answer to work on a body that is too large for memory. The file is kept once a worker has answered.

        Raises: ClientGoneError; RefusedError.
        """
        try:
            with self._service.spool.room(body.most_bytes) as room:
                file = {"request_file": str(room.path), "request_bytes": await body.into(room)}
                return await self._unless_gone(request, replace(work, fields={**work.fields, **file}))
        except OSError as error:
            raise no_room(error) from error

    async def _unless_gone(self, request: Request, work: Work) -> Message:
        """The answer, unless the client leaves first; then nothing is worked for it any more.

        Raises: ClientGoneError; RefusedError.
        """
        task, answer = asyncio.current_task(), asyncio.ensure_future(self._service.answered(work))
        end_watch = when_gone(request, answer.cancel)
        try:
            return await answer
        except asyncio.CancelledError as error:
            if task is not None and task.cancelling():
                raise
            raise ClientGoneError from error
        finally:
            end_watch()


class FileReply(Response):
    """The content of a file that may lose its name at once. A client that does not read it is left."""

    def __init__(self, path: Path, patience_s: float) -> None:
        self._file, self._patience_s = path.open("rb"), patience_s
        super().__init__(media_type=BINARY)
        self.headers["content-length"] = str(os.fstat(self._file.fileno()).st_size)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._file as file:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            more = True
            while more:
                piece = file.read(PIECE_BYTES)  # of a file that was just written, so it is in memory
                more = len(piece) == PIECE_BYTES
                async with asyncio.timeout(self._patience_s):
                    await send({"type": "http.response.body", "body": piece, "more_body": more})


def _key_id(start: bytes, offer: Offer) -> str:
    """The key id that the first bytes of a request state.

    Raises: RefusedError for bytes that are no request of this model; a secret key is refused here.
    """
    kind = ContainerKind.BATCH_REQUEST if offer.batches else ContainerKind.REQUEST
    if len(start) < HEADER.size:
        raise RefusedError(400, "FormatError", f"request: {len(start)} bytes are too few for a cipherpress file")
    try:
        refuse_secret_key(start, "request")
        _, bundle_id, key_id = parse_header(start, kind, "request")
        check_belongs(Container(kind, bundle_id, key_id, ()), offer.spec.bundle_id, "request")
    except CipherpressError as error:
        raise RefusedError(400, type(error).__name__, str(error), close=True) from error
    return key_id.hex()


def _check(answer: Message) -> None:
    fields: dict[str, Any] = answer[0]
    if "error" in fields:
        raise refused(fields)
