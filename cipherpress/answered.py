"""One encrypted input with both parties in this process, and how long each of them took."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from compress.dataset import Progress

if TYPE_CHECKING:
    from secure.bundle.specs import Bundle


@dataclass(frozen=True)
class Answered:
    """The decrypted outputs. server_ms: of the plan. client_ms: of encryption and decryption. key_bytes: what the
    server was sent before."""

    outputs: NDArray[np.float64]
    server_ms: float
    client_ms: float
    key_bytes: int


def answered(
    bundle: Bundle,
    inputs: NDArray[np.float64],
    steps: tuple[tuple[str, float], tuple[str, float]],
    *,
    threads: int,
    progress: Progress,
) -> Answered:
    """The answer to an input under fresh keys, which are made before anything is timed.

    steps: what `progress` is told before encryption and before the plan runs. threads: of the server.
    Raises: InputShapeError, InputRangeError, ConfigError, BackendError.
    """
    from secure.parties.client import Client
    from secure.parties.server import Server

    client, server = Client(bundle.client), Server(bundle.server, threads=threads)
    server.register(client.evaluation_key)
    progress(*steps[0])
    started = perf_counter()
    request = client.encrypt(inputs)
    client_ms = (perf_counter() - started) * 1e3
    key_id, ciphertexts = server.load_request(request)
    progress(*steps[1])
    started = perf_counter()
    answers = server.run_ciphertexts(key_id, ciphertexts)
    server_ms = (perf_counter() - started) * 1e3
    reply = server.pack_reply(key_id, answers)
    started = perf_counter()
    outputs = client.outputs(reply)
    client_ms += (perf_counter() - started) * 1e3
    return Answered(outputs, server_ms, client_ms, sum(map(len, client.evaluation_key.items)))
