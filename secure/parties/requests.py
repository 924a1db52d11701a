"""What a client sends as values of a server's backend, after all checks: a request's ciphertexts, and its keys. And
what it gets back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from secure.ciphertext_shape import is_packed
from secure.file_bytes import Readable
from secure.parties.backends import Backend, BackendName
from secure.parties.native_form import native_ciphertext
from secure.plan import KeyManifest, Plan
from secure.seal.context import Ring
from secure.seal.evaluator import EvaluationKeys

#: From SEAL's bytes and the name of the message to a value of the backend. Raises FormatError.
Reader = Callable[[bytes, str], Any]
#: From a value of the backend to an item of a reply.
Writer = Callable[[Any], bytes]
#: From the items of an evaluation key to what a backend takes. Raises FormatError, at once or when a key is taken.
Loader = Callable[[Sequence[Readable], KeyManifest, Ring], EvaluationKeys]


def request_reader(ring: Ring, plan: Plan, name: BackendName, backend: Backend) -> Reader:
    """What reads the ciphertexts of requests for a plan.

    For the engine, bytes as a client sends them become arrays at once. SEAL reads all other bytes, and refuses what is
    not a ciphertext of the plan's level.
    """
    params, level = plan.params, plan.input_level

    def by_seal(content: bytes, message: str) -> Any:
        return backend.load(native_ciphertext(ring, content, level, message, seeded=True))

    if name is BackendName.SEAL:
        return by_seal
    from secure.engine.evaluator import Residues
    from secure.engine.tables import engine_order
    from secure.parties.packed import read_request
    from secure.seeded.reading import read_seeded

    order = engine_order(params.poly_modulus_degree)

    def direct(content: bytes, message: str) -> Any:
        if is_packed(content):
            return Residues(read_request(params, order, content, level, message))
        rows = read_seeded(ring, order, content, level, message)
        return by_seal(content, message) if rows is None else Residues(rows)

    return direct


def reply_writer(ring: Ring, name: BackendName, backend: Backend) -> Writer:
    """What writes the ciphertexts of replies: SEAL's bytes under SEAL, strings of bits under the engine."""
    if name is BackendName.SEAL:
        return backend.save
    from secure.engine.tables import engine_order
    from secure.parties.packed import write_reply

    params = ring.params
    places = np.argsort(engine_order(params.poly_modulus_degree))
    return lambda value: write_reply(params, places, value.rows)


def key_loader(name: BackendName) -> Loader:
    """What loads evaluation keys: all as SEAL's objects, or for the engine one after the other, as arrays."""
    from secure.switching.loading import load_for_engine, load_for_seal

    return load_for_seal if name is BackendName.SEAL else load_for_engine
