"""One replica of a bundle on a Ray cluster: it keeps the bundle and the keys that it has seen, and answers requests.

A replica may run on another machine, so files reach it as bytes: the bundle when it starts, a key when it first needs
it. Ray keeps large values in its object store and moves them between machines; they never pass a proxy.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray import serve

from cipherpress.service.computing import answered
from cipherpress.service.messages import Message
from cipherpress.service.parties import Parties

#: Keys that Ray counts per replica when it chooses where a request goes. What is held is bounded by bytes.
ROUTED_KEYS = 256


class Replica:
    """What `ray.serve` runs. One request at a time computes."""

    def __init__(self, model: str, files: Mapping[str, bytes], threads: int, key_cache_bytes: int) -> None:
        """files: the bundle's, by their path in its folder.

        Raises: FormatError, InsecureParametersError, BackendError, ConfigError.
        """
        self._temporary = tempfile.TemporaryDirectory(prefix="cipherpress-replica-")
        self._folder = Path(self._temporary.name)
        bundle = self._folder / "bundle"
        for name, content in files.items():
            (bundle / name).parent.mkdir(parents=True, exist_ok=True)
            (bundle / name).write_bytes(content)
        self._parties = Parties({model: bundle}, threads, key_cache_bytes)
        self._computing = asyncio.Lock()

    def __del__(self) -> None:
        """Ray Serve calls this when it ends a replica."""
        self._temporary.cleanup()

    async def answer(self, fields: dict[str, Any], body: bytes, key: tuple[ray.ObjectRef] | None) -> Message:
        """The answer to `fields`, as a worker process of one machine gives it.

        key: where the evaluation key's bytes are, for work that needs one; wrapped, so that Ray fetches it only here
        and only when it is not held.
        """
        async with self._computing:
            if serve.get_multiplexed_model_id():
                await self.met(serve.get_multiplexed_model_id())
            if key is not None and not self._holds(fields):
                fields = {**fields, "key_file": str(await self._key_file(key))}
            try:
                return await asyncio.to_thread(self._answered, fields, body)
            finally:
                for name in ("key", "request", "reply"):
                    (self._folder / name).unlink(missing_ok=True)

    @serve.multiplexed(max_num_models_per_replica=ROUTED_KEYS)
    async def met(self, key_id: str) -> str:
        """Tells Ray that this replica has met a key, so that the client's next requests come here again."""
        return key_id

    def _holds(self, fields: Mapping[str, Any]) -> bool:
        """Whether work can do without the bytes of its key. A key that is to be checked is always read."""
        return "key_id" in fields and self._parties.keys.holds(fields["model"], bytes.fromhex(fields["key_id"]))

    async def _key_file(self, key: tuple[ray.ObjectRef]) -> Path:
        path = self._folder / "key"
        path.write_bytes(await key[0])
        return path

    def _answered(self, fields: dict[str, Any], body: bytes) -> Message:
        if fields["do"] != "run_batch":
            return answered(self._parties, fields, body)
        request, reply = self._folder / "request", self._folder / "reply"
        request.write_bytes(body)
        own = {"request_file": request, "request_bytes": len(body), "reply_file": reply}
        answer, _ = answered(self._parties, {**fields, **own}, b"")
        return answer, b"" if "error" in answer else reply.read_bytes()
