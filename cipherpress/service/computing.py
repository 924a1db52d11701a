"""The processes that compute: one that loads the bundles and forks workers, and the workers.

    python -m cipherpress.service.computing DESCRIPTOR

The first process reads its settings from the socket of that number, loads every bundle, and forks a worker for each
socket that it is sent. Workers share the memory of the bundles until they write to it. They never see a token or a
client's address. A worker ends when the server does, since its socket ends.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from cipherpress.service.messages import receive, send
from cipherpress.service.parties import KeyFileError, Parties, Reply
from cipherpress.service.warming import not_warmed, warm
from compress.errors import CipherpressError

#: What the error of a reply is about: the key's file, the client's request, or this program.
ABOUT_KEY, ABOUT_REQUEST, ABOUT_SERVER = "key", "request", "server"


def main(descriptor: int) -> None:
    """Load the bundles, then fork workers, until the server has gone."""
    control = socket.socket(fileno=descriptor)
    settings, _ = receive(control)
    parties: Parties | None = None
    try:
        new = not_warmed(map(Path, settings["bundles"].values()))
        if new:
            send(control, {"compiling": len(new)})
            warm(new)
        if settings["threads"] == 1:  # threads that help with a request would not live on in a forked process
            parties = _load(settings)
        send(control, {"loaded": parties is not None})
    except CipherpressError as error:
        send(control, {"error": type(error).__name__, "message": str(error)})
        return
    except OSError as error:
        send(control, {"error": "OSError", "message": f"{error.filename}: {error.strerror}"})
        return
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # workers that end leave nothing behind
    gc.freeze()  # a collection would write to shared memory
    while True:
        _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not descriptors:
            return
        if os.fork() == 0:
            control.close()
            _work(socket.socket(fileno=descriptors[0]), parties, settings)
        os.close(descriptors[0])


def _load(settings: dict[str, Any]) -> Parties:
    bundles = {name: Path(folder) for name, folder in settings["bundles"].items()}
    return Parties(bundles, settings["threads"], settings["key_cache_bytes"])


def _work(connection: socket.socket, parties: Parties | None, settings: dict[str, Any]) -> NoReturn:
    """A worker's life: one message in, one message out. It ends without the exit handlers of the process it is from."""
    try:
        parties = parties or _load(settings)
        send(connection, {"process": os.getpid()})
        while True:
            work, body = receive(connection)
            fields, reply = answered(parties, work, body)
            send(connection, fields, reply)
    except (EOFError, OSError):  # the server has gone
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def answered(parties: Parties, work: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
    """What a worker answers to one piece of work; errors are answers too."""
    try:
        reply = _done(parties, work, body)
    except KeyFileError as error:
        return _refused(error, ABOUT_KEY), b""
    except CipherpressError as error:
        return _refused(error, ABOUT_REQUEST), b""
    except Exception as error:  # a worker outlives what it cannot do
        traceback.print_exc()
        return _refused(error, ABOUT_SERVER), b""
    held = parties.keys.held_bytes
    return {"plan_ms": reply.plan_ms, "key_id": reply.key_id, "held_bytes": held}, reply.body


def _done(parties: Parties, work: dict[str, Any], body: bytes) -> Reply:
    if work["do"] == "run":
        return parties.run(work, body)
    if work["do"] == "run_batch":
        return parties.run_batch(work)
    assert work["do"] == "check_key", work["do"]
    return parties.check_key(work)


def _refused(error: Exception, about: str) -> dict[str, Any]:
    return {"error": type(error).__name__, "message": str(error), "about": about}


if __name__ == "__main__":
    main(int(sys.argv[1]))
