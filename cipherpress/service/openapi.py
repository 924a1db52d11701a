"""The description of the interface: as an OpenAPI document, and as a page without scripts."""

from __future__ import annotations

from html import escape
from typing import Any

from cipherpress.service import paths
from cipherpress.service.settings import ServiceLimits

Json = dict[str, Any]

_ERROR: Json = {
    "type": "object",
    "required": ["error", "type"],
    "properties": {
        "error": {"type": "string", "description": "A sentence: what is wrong, and what to do."},
        "type": {"type": "string", "description": "What programs act on."},
    },
}
_BINARY: Json = {paths.BINARY: {"schema": {"type": "string", "format": "binary"}}}
_OBJECT: Json = {"application/json": {"schema": {"type": "object"}}}
_NAME: Json = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "A model that /v2/models lists.",
    "schema": {"type": "string"},
}
_HASH: Json = {
    "name": "sha256",
    "in": "path",
    "required": True,
    "description": "The sha256 of the bytes of evaluation.key, in lower case.",
    "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
}
_UPLOAD_HEADERS: Json = {
    name: {"description": text, "schema": {"type": "string"}}
    for name, text in {
        paths.OFFSET: "Bytes that the server holds.",
        paths.LENGTH: "Bytes of the whole key.",
        paths.COMPLETE: "?1 for a key that is ready for use, else ?0.",
    }.items()
}
_MEANINGS = {
    400: "Something in the request is wrong; `error` names it.",
    401: "No token of this server was sent.",
    404: "There is none here, or it is another tenant's.",
    405: "Not a method of this path.",
    408: "The body arrived too slowly.",
    409: "Not in this state: the key is missing, or the upload goes on at another offset.",
    413: "Larger than allowed; nothing of it was read.",
    429: "As many requests wait as may; Retry-After says when to come back.",
    500: "A fault of the server.",
    503: "The server starts or stops.",
    504: "Not answered in time.",
    507: "The disk is full.",
}


def description(limits: ServiceLimits) -> Json:
    """The OpenAPI document."""
    from cipherpress import __version__

    return {
        "openapi": "3.1.0",
        "info": {
            "title": "cipherpress",
            "version": __version__,
            "description": "Encrypted inference. Paths and metadata follow the Open Inference Protocol, version 2; "
            "bodies are the containers of docs/wire-format.md.",
        },
        "paths": {**_about_paths(), **_model_paths(limits), **_key_paths()},
        "components": {
            "schemas": {"Error": _ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _about_paths() -> Json:
    text = {"text/plain": {"schema": {"type": "string"}}}
    return {
        paths.LIVE: {"get": _operation("Whether the server runs.", {200: _OBJECT})},
        paths.READY: {"get": _operation("Whether requests would be taken up.", {200: _OBJECT, 503: _OBJECT})},
        paths.SERVER: {"get": _operation("Name, version and extensions.", {200: _OBJECT}, 401)},
        paths.MODELS: {"get": _operation("The metadata of all models.", {200: _OBJECT}, 401)},
        paths.METRICS: {"get": _operation("Counts and times, for Prometheus.", {200: text}, 401)},
    }


def _model_paths(limits: ServiceLimits) -> Json:
    infer = _operation(
        "Run the model on an encrypted request; the answer is the encrypted reply.",
        {200: _BINARY}, 400, 401, 404, 408, 409, 413, 429, 500, 503, 504, 507,
    )  # fmt: skip
    infer["requestBody"] = {
        "required": True,
        "description": "A request of docs/wire-format.md; of a model for throughput its frames, at most "
        f"{limits.batch_blocks}. The metadata's `max_request_bytes` is the largest.",
        "content": _BINARY,
    }
    return {
        paths.MODEL: {"get": _operation("The metadata of a model.", {200: _OBJECT}, 401, 404), "parameters": [_NAME]},
        paths.MODEL_READY: {
            "get": _operation("Whether it would take requests.", {200: _OBJECT, 503: _OBJECT}, 401, 404),
            "parameters": [_NAME],
        },
        paths.CLIENT_PART: {
            "get": _operation("client.json, which a client makes its keys from.", {200: _OBJECT}, 401, 404),
            "parameters": [_NAME],
        },
        paths.INFER: {"post": infer, "parameters": [_NAME]},
    }


def _key_paths() -> Json:
    state = _operation("How much of a key is stored.", {200: _OBJECT}, 400, 401, 404, headers=_UPLOAD_HEADERS)
    upload = _operation(
        "The next bytes of an evaluation key. 201: it is whole, checked and ready; 204: send what is missing.",
        {201: None, 204: None}, 400, 401, 408, 409, 413, 429, 500, 503, 504, 507, headers=_UPLOAD_HEADERS,
    )  # fmt: skip
    upload["parameters"] = [
        {
            "name": name,
            "in": "header",
            "required": True,
            "description": text,
            "schema": {"type": "integer", "minimum": 0},
        }
        for name, text in ((paths.OFFSET, "Where these bytes belong."), (paths.LENGTH, "Bytes of the whole key."))
    ]
    upload["requestBody"] = {"required": True, "content": _BINARY}
    delete = _operation("Remove a key.", {204: None}, 400, 401, 404)
    return {
        paths.KEYS: {"get": _operation("The keys of this tenant.", {200: _OBJECT}, 401)},
        paths.KEY: {
            "get": state,
            "head": state,
            "patch": upload,
            "delete": delete,
            "parameters": [_HASH],
        },
    }


def _operation(summary: str, answers: dict[int, Json | None], *errors: int, headers: Json | None = None) -> Json:
    responses: Json = {}
    for status, content in answers.items():
        responses[str(status)] = {
            "description": "Done." if status < 300 else _MEANINGS[status],
            **({"content": content} if content else {}),
            **({"headers": headers} if headers else {}),
        }
    for status in errors:
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        responses.setdefault(str(status), {"description": _MEANINGS[status], "content": content})
    return {"summary": summary, "responses": responses}


def page(document: Json) -> str:
    """The document as HTML, with neither script nor style."""
    parts = [f"<!doctype html><html lang=en><meta charset=utf-8><title>{document['info']['title']}</title>"]
    parts.append(f"<h1>{document['info']['title']} {document['info']['version']}</h1>")
    parts.append(f"<p>{escape(document['info']['description'])} <a href='{paths.OPENAPI}'>OpenAPI document</a></p>")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method == "parameters":
                continue
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation['summary'])}</p>")
            answers = (
                f"<dt>{status}</dt><dd>{escape(one['description'])}</dd>"
                for status, one in operation["responses"].items()
            )
            parts.append(f"<dl>{''.join(answers)}</dl>")
    return "".join(parts)
