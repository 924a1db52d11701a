"""Mutated messages as the service takes them: the first bytes as its routes read them, the rest as its workers do.

Nothing is mocked but the network. An answer that is about the server itself is a fault.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np

from cipherpress.service.computing import ABOUT_SERVER, answered
from cipherpress.service.inference import _key_id
from cipherpress.service.key_routes import KeyRoutes
from cipherpress.service.offers import read_offers
from cipherpress.service.parties import Parties
from cipherpress.service.refusals import RefusedError
from compress import errors
from secure.bundle.files import save_bundle
from secure.parties.client import Client
from secure.parties.container import HEADER, ContainerKind
from secure.streams.client import BatchClient
from secure.streams.server import BatchServer
from tests.fuzz.batches import frames_case
from tests.fuzz.messages import container_case
from tests.fuzz.trial import Case
from tests.secure.plans import small_bundle
from tests.secure.small_batches import small_batch_bundle

#: Keys of the workers here: more than one fits, and mutated ones push each other out.
CACHE_BYTES = 10_000_000


class _Service:
    """What routes know of a server of one bundle, and its worker, in this process."""

    def __init__(self, bundle: Any, folder: Path) -> None:
        save_bundle(bundle, folder / "bundle", force=True)
        self.folder, bundles = folder, {"model": folder / "bundle"}
        self.offers = read_offers(bundles, 4)
        self.offer = self.offers["model"]
        self._parties = Parties(bundles, 1, CACHE_BYTES)
        self.routes = KeyRoutes(SimpleNamespace(offer_of=self._offer_of))  # type: ignore[arg-type]

    def _offer_of(self, bundle_id: str) -> Any:
        return next((one for one in self.offers.values() if one.spec.bundle_id == bundle_id), None)

    def work(self, fields: dict[str, Any], body: bytes = b"") -> None:
        """Raises: what the worker's answer names."""
        answer, _ = answered(self._parties, {"model": "model", **fields}, body)
        if "error" in answer:
            assert answer["about"] != ABOUT_SERVER, answer
            raise _named(answer["error"], answer["message"])


def _named(name: str, message: str) -> Exception:
    """The typed error that a refusal names; an AssertionError for a name that is none."""
    known = getattr(errors, name, None)
    if isinstance(known, type) and issubclass(known, errors.CipherpressError):
        made: Exception = known.__new__(known)
        made.args = (message,)
        return made
    return errors.FormatError(message) if name == "KeyFileError" else AssertionError(f"{name}: {message}")


def _route(read: Callable[[], object]) -> Any:
    """What a route reads of the first bytes.

    Raises: the typed error that its refusal names.
    """
    try:
        return read()
    except RefusedError as error:
        assert error.status == 400, error
        raise _named(error.kind, str(error)) from error


def served_requests(folder: Path) -> Case:
    """A request that the service is sent."""
    bundle = small_bundle()
    service, client = _Service(bundle, folder), Client(bundle.client)
    key = folder / "evaluation.key"
    key.write_bytes(client.evaluation_key.to_bytes())

    def use(changed: bytes, random: Random) -> Callable[[], object]:
        def act() -> None:
            key_id = _route(lambda: _key_id(changed[: HEADER.size], service.offer))
            if bytes.fromhex(key_id) != client.secret_key.key_id:
                raise errors.KeyNotRegisteredError("request", bytes.fromhex(key_id))
            service.work({"do": "run", "key_id": key_id, "key_file": str(key)}, changed)

        return act

    return container_case(client.encrypt(np.full((4, 8), 0.5)), ContainerKind.REQUEST, use)


def served_keys(folder: Path) -> Case:
    """An evaluation key that is uploaded."""
    bundle = small_bundle(own_keys=True)
    service, path = _Service(bundle, folder), folder / "uploaded"

    def use(changed: bytes, random: Random) -> Callable[[], object]:
        def act() -> None:
            _route(lambda: service.routes._offer(changed[: HEADER.size]))
            path.write_bytes(changed)
            service.work({"do": "check_key", "key_file": str(path)})

        return act

    return container_case(Client(bundle.client).evaluation_key.to_bytes(), ContainerKind.EVALUATION_KEY, use)


def served_batches(folder: Path) -> Case:
    """A batch that the service is sent."""
    bundle = small_batch_bundle()
    service, client, server = _Service(bundle, folder), BatchClient(bundle.client), BatchServer(bundle.server)
    request = client.encrypt_batch(np.full((bundle.client.params.poly_modulus_degree // 2 + 1, 2, 3), 0.5))
    arrived, reply = folder / "request", folder / "reply"

    def use(changed: bytes, _: bool) -> None:
        _route(lambda: _key_id(changed[: HEADER.size], service.offer))
        arrived.write_bytes(changed)
        files = {"request_file": str(arrived), "request_bytes": len(changed), "reply_file": str(reply)}
        service.work({"do": "run_batch", **files})

    return frames_case(request, server._requests, use)
