"""RemoteClient and AsyncRemoteClient: predictions by a server that never sees the inputs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from cipherpress.remote.key_folder import Keys, load_or_make_keys, make_keys, pin, pinned_digest
from cipherpress.remote.steps import Compute, Steps, perform, perform_async
from cipherpress.remote.talking import Remote, UploadProgress, check_pin, find_model, infer, upload_key
from compress.checks import is_whole
from compress.errors import ConfigError
from compress.parts import join, split
from secure.bundle.batch_specs import BatchClientSpec
from secure.bundle.interface import Interface
from secure.bundle.specs import ClientSpec
from secure.parties.batches import batch_size
from secure.parties.client import DEFAULT_MAX_KEY_BYTES, Client
from secure.streams.client import BatchClient

DEFAULT_TRIES, DEFAULT_TIMEOUT_S = 6, 60.0


class _Talker:
    """What both clients have: settings, the model once it is known, and its steps."""

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        keys: str | Path | None = None,
        client_digest: str | None = None,
        token: str | None = None,
        ca_file: str | Path | None = None,
        tries: int = DEFAULT_TRIES,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        max_key_bytes: float = DEFAULT_MAX_KEY_BYTES,
        progress: UploadProgress = lambda held_bytes, key_bytes: None,
    ) -> None:
        """Nothing is sent before the first use.

        model: its name; None for the only one of the server. keys: a folder for the keys, which are made there at
        first use; None keeps them in memory. client_digest: of the client.json that you trust (`inspect` prints it);
        without it, what is seen first is pinned in the folder of keys, or for the life of this client. token: sent as
        a bearer token. ca_file: certificates (PEM) to trust in place of the usual ones. tries: of each call.
        max_key_bytes: as for `Client`. progress: called while the evaluation key is uploaded.

        Raises: ConfigError.
        """
        try:
            well_formed = httpx.URL(url).scheme in ("http", "https") and bool(httpx.URL(url).host)
        except httpx.InvalidURL:
            well_formed = False
        if not well_formed:
            raise ConfigError("url", url, "http:// or https://, a host, and a port where needed")
        if not is_whole(tries) or tries < 1:
            raise ConfigError("tries", tries, "a whole number from 1 on")
        self._model, self._digest, self._tries = model, client_digest, tries
        self._folder = None if keys is None else Path(keys)
        self._max_key_bytes, self._progress = max_key_bytes, progress
        self._known: tuple[Remote, Keys] | None = None
        authorization = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._http_options: dict[str, Any] = {
            "base_url": url,
            "timeout": httpx.Timeout(timeout_s, connect=min(timeout_s, 10.0)),
            "headers": {"Accept-Encoding": "identity", **authorization},
            "follow_redirects": False,
            **({} if ca_file is None else {"verify": _trusted(ca_file)}),
        }

    @property
    def spec(self) -> ClientSpec | BatchClientSpec:
        """The model's client part.

        Raises: ConfigError before `connect`, or the first prediction.
        """
        if self._known is None:
            raise ConfigError("client", "not connected", "a client that was connected; call connect() first")
        return self._known[0].spec

    def _connected(self) -> Steps[tuple[Remote, Keys]]:
        if self._known is None:
            remote = yield from find_model(self._model, self._tries)
            check_pin(remote, self._digest, "client_digest")
            if self._folder is not None:
                check_pin(remote, pinned_digest(self._folder), str(self._folder))
            keys: Keys = yield Compute(lambda: self._keys(remote))
            if keys.evaluation_key:
                yield from upload_key(keys.evaluation_key, self._tries, self._progress)
            self._known = remote, keys
        return self._known

    def _keys(self, remote: Remote) -> Keys:
        if self._folder is None:
            return make_keys(remote.spec, self._max_key_bytes)
        pin(self._folder, remote.digest)
        return load_or_make_keys(remote.spec, self._folder, self._max_key_bytes)

    def _outputs(self, values: Any, clip: bool) -> Steps[NDArray[np.float64]]:
        """The outputs of one input or of a batch; several outputs of a network lie flat one after the other."""
        _, keys = yield from self._connected()
        given = _joined(keys.party.spec.interface, values)
        one = batch_size(given, keys.party.spec.input_shape) is None
        rows = np.asarray(given)[None] if one else np.asarray(given)
        outputs: NDArray[np.float64]
        if isinstance(keys.party, BatchClient):
            outputs = yield from self._batch(keys.party, rows, clip)
        else:
            outputs = yield from self._rows(keys.party, rows, clip)
        return outputs[0] if one else outputs

    def _rows(self, party: Client, rows: NDArray[Any], clip: bool) -> Steps[NDArray[np.float64]]:
        replies = []
        for row in rows:
            request = yield Compute(partial(party.encrypt, row, clip=clip))
            replies.append((yield from self._sent(request)))
        outputs: NDArray[np.float64] = yield Compute(partial(party.outputs, replies))
        return outputs

    def _batch(self, party: BatchClient, rows: NDArray[Any], clip: bool) -> Steps[NDArray[np.float64]]:
        remote, _ = yield from self._connected()
        outputs: list[NDArray[np.float64]] = []
        for start in range(0, max(len(rows), 1), remote.most_images):  # a batch of no images is refused by encrypt
            some = rows[start : start + remote.most_images]
            request = yield Compute(partial(party.encrypt_batch, some, clip=clip))
            reply = yield from self._sent(request)
            outputs += yield Compute(partial(_decrypted, party, reply))
        return np.concatenate(outputs)

    def _split(self, outputs: NDArray[np.float64]) -> Any:
        parts = self.spec.interface.output_parts
        return split(outputs, parts) if parts else outputs

    def _sent(self, request: bytes) -> Steps[bytes]:
        remote, keys = yield from self._connected()
        return (yield from infer(remote, request, keys.evaluation_key, self._tries, self._progress))


class RemoteClient(_Talker):
    """A client of a server over HTTP. It makes its own keys; what leaves it is encrypted. One thread at a time."""

    _open: httpx.Client | None = None

    def connect(self) -> RemoteClient:
        """Fetch the client part, check it, make or load the keys, and upload the evaluation key; itself.

        Raises: ServiceUnavailableError, ServiceError; BundleChangedError; FormatError, InsecureParametersError,
        KeyBytesError, KeyMismatchError; OSError of the folder of keys.
        """
        try:
            perform(self._connected(), self._http)
        except BaseException:
            self.close()
            raise
        return self

    def predict(self, values: Any, *, clip: bool = False) -> Any:
        """The outputs of one input, float64 in the network's output shape, or of each row of a batch.

        values and clip: as `Client.encrypt` takes them; of a bundle for throughput as `BatchClient.encrypt_batch`.
        What was decrypted contains the encryption's noise: see `cp.release` before you show it to others.
        Raises: as `connect`; InputShapeError, InputRangeError.
        """
        return self._split(self.outputs(values, clip=clip))

    def outputs(self, values: Any, *, clip: bool = False) -> NDArray[np.float64]:
        """`predict` as one array, in which several outputs of a network lie flat one after the other."""
        return perform(self._outputs(values, clip), self._http)

    def send(self, request: bytes) -> bytes:
        """The server's reply to a request that this client's keys made.

        Raises: as `connect`.
        """
        return perform(self._sent(request), self._http)

    def close(self) -> None:
        """Close all connections. They are opened again where they are needed."""
        if self._open is not None:
            self._open.close()
            self._open = None

    @property
    def _http(self) -> httpx.Client:
        if self._open is None:
            self._open = httpx.Client(**self._http_options)
        return self._open

    def __enter__(self) -> RemoteClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncRemoteClient(_Talker):
    """`RemoteClient` for programs on asyncio. Encryption and decryption run in threads."""

    _open: httpx.AsyncClient | None = None

    async def connect(self) -> AsyncRemoteClient:
        """As `RemoteClient.connect`."""
        try:
            await perform_async(self._connected(), self._http)
        except BaseException:
            await self.close()
            raise
        return self

    async def predict(self, values: Any, *, clip: bool = False) -> Any:
        """As `RemoteClient.predict`."""
        return self._split(await self.outputs(values, clip=clip))

    async def outputs(self, values: Any, *, clip: bool = False) -> NDArray[np.float64]:
        """As `RemoteClient.outputs`."""
        return await perform_async(self._outputs(values, clip), self._http)

    async def send(self, request: bytes) -> bytes:
        """As `RemoteClient.send`."""
        return await perform_async(self._sent(request), self._http)

    async def close(self) -> None:
        """Close all connections. They are opened again where they are needed."""
        if self._open is not None:
            await self._open.aclose()
            self._open = None

    @property
    def _http(self) -> httpx.AsyncClient:
        if self._open is None:
            self._open = httpx.AsyncClient(**self._http_options)
        return self._open

    async def __aenter__(self) -> AsyncRemoteClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _decrypted(party: BatchClient, reply: bytes) -> list[NDArray[np.float64]]:
    """The outputs of a batch, block after block."""
    return list(party.decrypt_frames(party.read(BytesIO(reply))))


def _joined(interface: Interface, values: Any) -> Any:
    """Inputs as the network takes them: several parts joined, images as the features of a front end.

    Raises: InputShapeError naming the part that does not fit.
    """
    if interface.input_parts and isinstance(values, tuple | Mapping):
        return join(values, interface.input_parts)
    return interface.features(values)


def _trusted(ca_file: str | Path) -> Any:
    """Raises: ConfigError for a file without certificates."""
    import ssl

    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError("ca_file", str(ca_file), f"a file of certificates in PEM ({error})") from error
