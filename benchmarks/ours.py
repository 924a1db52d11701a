"""This project on a compiled bundle, with separate client and server, by the public API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from secure.bundle.files import load_bundle
from secure.parties.client import Client
from secure.parties.server import Server


class Competitor:
    """The same four steps as with TenSEAL; `run` takes and returns ciphertexts in memory."""

    def __init__(self, bundle: Path, name: str) -> None:
        loaded = load_bundle(bundle)
        self.name = name
        self._client, self._server = Client(loaded.client), Server(loaded.server)
        self._key = self._client.evaluation_key.to_bytes()
        self._server.register(self._key)

    def key_bytes(self) -> int:
        return len(self._key)

    def encrypt(self, image: Any) -> tuple[bytes, bytes, list[Any]]:
        request = self._client.encrypt(image)
        return (request, *self._server.load_request(request))

    def run(self, request: tuple[bytes, bytes, list[Any]]) -> bytes | tuple[bytes, list[Any]]:
        _, key_id, ciphertexts = request
        return key_id, self._server.run_ciphertexts(key_id, ciphertexts)

    def decrypt(self, reply: tuple[bytes, list[Any]]) -> list[float]:
        return self._client.decrypt(self._server.pack_reply(*reply)).ravel().tolist()

    def size(self, ciphertext: Any) -> int:
        return len(ciphertext[0]) if len(ciphertext) == 3 else len(self._server.pack_reply(*ciphertext))
