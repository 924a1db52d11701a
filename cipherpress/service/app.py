"""The application: every route, what errors become, and the headers that every answer has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cipherpress.service import paths
from cipherpress.service.inference import Inference
from cipherpress.service.key_routes import KeyRoutes
from cipherpress.service.logs import log
from cipherpress.service.openapi import description, page
from cipherpress.service.queueing import Queue
from cipherpress.service.refusals import CLIENT_GONE, ClientGoneError, RefusedError
from cipherpress.service.service import Service
from cipherpress.service.tenants import METRICS_TENANT

#: The web page's files, where it is installed.
PAGE_FOLDER = Path(__file__).parent / "page"
#: What a browser may do with anything from here: run what comes from here, WebAssembly and workers included.
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; "
        "img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_ENCODED_HEADERS = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]

Endpoint = Callable[[Request], Awaitable[Response]]


def make_app(service: Service) -> ASGIApp:
    """The application of a service. Whoever runs it also starts and stops the service."""
    keys, inference, about = KeyRoutes(service), Inference(service), _About(service)
    routes: list[BaseRoute] = [
        Route(paths.INFER, inference.infer, methods=["POST"]),  # first, since routes are compared in this order
        Route(paths.LIVE, about.live),
        Route(paths.READY, about.ready),
        Route(paths.SERVER, about.server),
        Route(paths.MODELS, about.models),
        Route(paths.MODEL, about.model),
        Route(paths.MODEL_READY, about.model_ready),
        Route(paths.CLIENT_PART, about.client_part),
        Route(paths.KEYS, keys.list_keys),
        Route(paths.KEY, keys.state, methods=["GET", "HEAD"]),
        Route(paths.KEY, keys.upload, methods=["PATCH"]),
        Route(paths.KEY, keys.delete, methods=["DELETE"]),
        Route(paths.METRICS, about.metrics),
        Route(paths.OPENAPI, about.openapi),
        Route(paths.DOCS, about.docs),
    ]
    if PAGE_FOLDER.is_dir():
        routes.append(Mount(paths.PAGE, StaticFiles(directory=PAGE_FOLDER, html=True)))
    handlers = {RefusedError: _refused, ClientGoneError: _gone, HTTPException: _unknown, Exception: _failed}
    app = Starlette(routes=routes, exception_handlers=handlers)  # type: ignore[arg-type]
    return _Around(app, service)


class _About:
    """The routes that say what there is."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._description = description(service.limits)

    async def live(self, _: Request) -> Response:
        """Whether the server runs."""
        return JSONResponse({"live": True})

    async def ready(self, _: Request) -> Response:
        """Whether requests would be taken up."""
        ready = self._service.engine.ready
        return JSONResponse({"ready": ready}, 200 if ready else 503)

    async def server(self, request: Request) -> Response:
        """The server's name, version and extensions."""
        from cipherpress import __version__

        self._service.tenant(request)
        extensions = ["binary_tensor_data", "cipherpress_keys"]
        return JSONResponse({"name": "cipherpress", "version": __version__, "extensions": extensions})

    async def models(self, request: Request) -> Response:
        """The metadata of all models."""
        self._service.tenant(request)
        return JSONResponse({"models": [offer.metadata() for offer in self._service.offers.values()]})

    async def model(self, request: Request) -> Response:
        """The metadata of one model."""
        self._service.tenant(request)
        return JSONResponse(self._service.offer(request).metadata())

    async def model_ready(self, request: Request) -> Response:
        """Whether requests for a model would be taken up."""
        self._service.tenant(request)
        ready, name = self._service.engine.ready, self._service.offer(request).name
        return JSONResponse({"name": name, "ready": ready}, 200 if ready else 503)

    async def client_part(self, request: Request) -> Response:
        """A model's client.json, byte for byte."""
        self._service.tenant(request)
        offer = self._service.offer(request)
        return Response(offer.client_part, media_type="application/json", headers={"ETag": f'"{offer.digest}"'})

    async def metrics(self, request: Request) -> Response:
        """Counts and times, for Prometheus. Where tenants have tokens, the tenant named `metrics` may read them."""
        service = self._service
        if not service.tenants.open and service.tenants.named(request.headers.get("authorization")) != METRICS_TENANT:
            message = f"header 'Authorization': the token of the tenant '{METRICS_TENANT}' is asked for"
            raise RefusedError(401, "TokenError", message, headers={"WWW-Authenticate": "Bearer"})
        metrics = service.metrics
        keys, key_bytes = service.store.totals()
        metrics.keys.set(keys)
        metrics.key_bytes.set(key_bytes)
        if isinstance(service.engine, Queue):
            metrics.waiting.set(service.engine.waiting)
            metrics.workers.set(len(service.engine.workers))
        return Response(metrics.text(), media_type=metrics.content_type)

    async def openapi(self, _: Request) -> Response:
        """This interface, as OpenAPI."""
        return JSONResponse(self._description)

    async def docs(self, _: Request) -> Response:
        """This interface, for people."""
        return HTMLResponse(page(self._description))


class _Around:
    """What happens around every answer: headers for browsers, and the count of answers."""

    def __init__(self, app: Starlette, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name for name, _ in message["headers"]}
                more = [(name, value) for name, value in _ENCODED_HEADERS if name not in there]
                message["headers"] = [*message["headers"], *more]
                route = getattr(scope.get("endpoint"), "__name__", "other")
                self._service.metrics.answered(route, message["status"])
            await send(message)

        await self._app(scope, receive, answer)


async def _refused(request: Request, error: RefusedError) -> Response:
    log("refused", path=request.url.path, status=error.status, reason=error.kind)
    return error.response()


async def _gone(request: Request, _: ClientGoneError) -> Response:
    log("client gone", path=request.url.path, status=CLIENT_GONE)
    return Response(status_code=CLIENT_GONE)


async def _unknown(_: Request, error: HTTPException) -> Response:
    kind = "NotFoundError" if error.status_code == 404 else "HttpError"
    return RefusedError(error.status_code, kind, f"path: {error.detail}", headers=error.headers).response()


async def _failed(_: Request, __: Exception) -> Response:
    return RefusedError(500, "InternalError", "server: an internal error; its log says more").response()
