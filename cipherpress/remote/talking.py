"""What a client says to a server, step by step. All of it may be said again: an interrupted upload goes on where it
ended, and a request gives the same answer every time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from cipherpress.remote.steps import Answer, Call, LostError, Pause, Steps
from cipherpress.service import paths
from compress.checks import is_whole
from compress.errors import BundleChangedError, ConfigError, FormatError, ServiceError, ServiceUnavailableError
from secure.bundle.batch_specs import BatchClientSpec
from secure.bundle.client_file import client_digest, load_client
from secure.bundle.client_parts import CLIENT_FILE
from secure.bundle.specs import ClientSpec

#: Bytes of a key that are sent at a time, and lost at most when a connection breaks.
PIECE_BYTES = 2**20
#: The largest client.json that is read, and the largest reply.
MOST_CLIENT_BYTES, MOST_REPLY_BYTES = 64 * 2**20, 2 * 2**30
#: Pauses between tries grow from the first to the second, in seconds.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 10.0
#: Statuses of a server that is busy, starts, stops, or is out of room: the same call may work later.
LATER = (429, 503, 507)

#: Called with the bytes of a key that the server has, and all its bytes.
UploadProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Remote:
    """A model of a server, as its client part describes it. most_images: of one request, as the server says."""

    name: str
    spec: ClientSpec | BatchClientSpec
    digest: str
    most_images: int


def tried(call: Call, tries: int) -> Steps[Answer]:
    """The answer to a call, which is made again while the server cannot be reached or is busy.

    Raises: ServiceUnavailableError.
    """
    pause, reason = FIRST_PAUSE_S, ""
    for attempt in range(tries):
        if attempt:
            yield Pause(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
        try:
            answer: Answer = yield call
        except LostError as error:
            reason = str(error)
            continue
        if answer.status not in LATER:
            return answer
        reason = str(_error(call, answer))
        stated = answer.headers.get("retry-after", "")
        pause = max(pause, min(float(stated), LONGEST_PAUSE_S)) if stated.isdecimal() else pause
    raise ServiceUnavailableError(f"{call.path}: no answer after {tries} tries ({reason}); try again later")


def find_model(name: str | None, tries: int) -> Steps[Remote]:
    """A model's client part, checked as any client.json is; without a name, of the only model.

    Raises: ConfigError where a name is needed; ServiceError; FormatError, InsecureParametersError.
    """
    if name is None:
        listed = _json((yield from _good(Call("GET", paths.MODELS), tries)))
        try:
            names = [str(model["name"]) for model in listed["models"]]
        except (KeyError, TypeError) as error:
            raise FormatError(f"{paths.MODELS}: no list of models came; is it a cipherpress server?") from error
        if len(names) != 1:
            raise ConfigError("model", None, f"one of {', '.join(names)}")
        name = names[0]
    metadata = _json((yield from _good(Call("GET", _of(paths.MODEL, name)), tries)))
    path = _of(paths.CLIENT_PART, name)
    part = yield from _good(Call("GET", path, most_bytes=MOST_CLIENT_BYTES), tries)
    with TemporaryDirectory() as folder:
        (Path(folder) / CLIENT_FILE).write_bytes(part.content)
        try:
            spec = load_client(folder)
        except FormatError as error:
            raise FormatError(f"{path}: {str(error).removeprefix(f'{folder}/')}") from error
    return Remote(name, spec, client_digest(spec), _most_images(metadata))


def check_pin(remote: Remote, wanted: str | None, whence: str) -> None:
    """Raises: BundleChangedError for another client part than the one that is wanted."""
    if wanted is not None and remote.digest != wanted:
        raise BundleChangedError(
            f"model '{remote.name}': the server's client part is {remote.digest[:12]}, {whence} says {wanted[:12]}; "
            "ask its owner whether the bundle was changed; if so, start with a new folder of keys"
        )


def upload_key(content: bytes, tries: int, progress: UploadProgress) -> Steps[None]:
    """Have the server hold an evaluation key; what it holds already is not sent.

    Raises: ServiceError.
    """
    path = paths.KEY.replace("{sha256}", hashlib.sha256(content).hexdigest())
    held = yield from tried(Call("HEAD", path), tries)
    if held.status not in (200, 404):
        raise _error(Call("HEAD", path), held)
    if held.headers.get(paths.COMPLETE.lower()) == "?1":
        progress(len(content), len(content))
        return
    offset, view, misses = _offset(held), memoryview(content), 0
    while True:
        headers = {paths.OFFSET: str(offset), paths.LENGTH: str(len(content)), "Content-Type": paths.BINARY}
        call = Call("PATCH", path, headers, view[offset : offset + PIECE_BYTES])
        answer = yield from tried(call, tries)
        if answer.status == 201:
            progress(len(content), len(content))
            return
        if answer.status == 409 and misses < tries:  # an earlier try of this piece may have arrived
            misses += 1
            if paths.OFFSET.lower() not in answer.headers:
                yield Pause(FIRST_PAUSE_S * misses)
                answer = yield from tried(Call("HEAD", path), tries)
        elif answer.status != 204:
            raise _error(call, answer)
        offset = min(_offset(answer), len(content))
        progress(offset, len(content))


def infer(remote: Remote, request: bytes, key: bytes, tries: int, progress: UploadProgress) -> Steps[bytes]:
    """The reply to a request. key: uploaded again where the server lost it; empty where it needs none.

    Raises: BundleChangedError; ServiceError.
    """
    path = _of(paths.INFER, remote.name)
    call = Call("POST", path, {"Content-Type": paths.BINARY}, request, MOST_REPLY_BYTES)
    for _ in range(tries):
        answer = yield from tried(call, tries)
        if answer.status == 200:
            return answer.content
        error = _error(call, answer)
        if error.kind == paths.KEY_MISSING and key:
            yield from upload_key(key, tries, progress)
            continue
        if error.kind == "KeyMismatchError":
            now = yield from find_model(remote.name, tries)
            check_pin(now, remote.digest, "this client")
        raise error
    raise ServiceUnavailableError(f"{path}: the server lost the evaluation key {tries} times; try again later")


def _of(path: str, name: str) -> str:
    return path.replace("{name}", quote(name, safe=""))


def _most_images(metadata: Any) -> int:
    """Raises: FormatError for metadata that do not say it."""
    try:
        stated = metadata["parameters"]["max_images"]
    except (KeyError, TypeError) as error:
        raise FormatError("server: its metadata lack 'max_images'; is it a cipherpress server?") from error
    if not is_whole(stated) or stated < 1:
        raise FormatError("server: 'max_images' in its metadata is no whole number from 1 on")
    return int(stated)


def _good(call: Call, tries: int) -> Steps[Answer]:
    answer = yield from tried(call, tries)
    if answer.status != 200:
        raise _error(call, answer)
    return answer


def _error(call: Call, answer: Answer) -> ServiceError:
    try:
        found = json.loads(answer.content)
        message, kind = str(found["error"]), str(found["type"])
    except (ValueError, KeyError, TypeError, RecursionError):
        message, kind = "no reason was given", ""
    text = f"{call.path}: the server answers {answer.status}: {message}"
    return ServiceError(text, status=answer.status, kind=kind)


def _json(answer: Answer) -> Any:
    try:
        return json.loads(answer.content)
    except (ValueError, RecursionError) as error:
        raise FormatError("server: its answer is no JSON; is it a cipherpress server?") from error


def _offset(answer: Answer) -> int:
    stated = answer.headers.get(paths.OFFSET.lower(), "0")
    return int(stated) if stated.isascii() and stated.isdecimal() and len(stated) <= 15 else 0
