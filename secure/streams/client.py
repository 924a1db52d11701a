"""BatchClient: holds the secret key, encrypts blocks of images, decrypts blocks of answers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from math import prod
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray

from compress.checks import is_whole
from compress.errors import ConfigError, KeyMismatchError
from compress.parts import split
from secure.bundle.batch_specs import BatchClientSpec
from secure.bundle.client_file import client_digest
from secure.engine.tables import make_tables
from secure.parties.container import Buffer, Container, ContainerKind, check_belongs
from secure.parties.keys import SecretKey, check_client_digest, generate_secret_key
from secure.streams.decryption import BlockDecryptor
from secure.streams.encryption import BlockEncryptor
from secure.streams.frames import BATCH_ID_BYTES, Frame, FrameHead, in_order, reply_layout, request_layout
from secure.streams.images import as_batch, block_count, blocks
from secure.streams.keys import SecretRows, key_ring
from secure.streams.phases import planes

Array = NDArray[np.float64]


class BatchClient:
    """One client of one throughput bundle. Without a secret key it makes its own."""

    def __init__(self, spec: BatchClientSpec, secret_key: SecretKey | None = None, *, threads: int = 1) -> None:
        """threads: cores that encrypting a block may keep busy.

        Raises: ConfigError for a spec or key of another type, and for threads below 1; KeyMismatchError when the key
        belongs to another bundle or was made with another client.json; InsecureParametersError, FormatError,
        BackendError.
        """
        if not isinstance(spec, BatchClientSpec):
            raise ConfigError("spec", type(spec).__name__, "a BatchClientSpec; give bundle.client")
        if not isinstance(secret_key, SecretKey | None):
            allowed = "None, or a SecretKey; read a file's bytes with SecretKey.from_bytes"
            raise ConfigError("secret_key", type(secret_key).__name__, allowed)
        if not is_whole(threads) or threads < 1:
            raise ConfigError("threads", threads, "a whole number from 1 on")
        if secret_key is None:
            secret_key = generate_secret_key(spec, key_ring(spec.params))
        check_belongs(
            Container(ContainerKind.SECRET_KEY, secret_key.bundle_id, secret_key.key_id, ()),
            spec.bundle_id,
            "secret key",
        )
        check_client_digest(secret_key.client_digest, client_digest(spec), "secret key")
        self.spec, self.secret_key = spec, secret_key
        tables, secret = make_tables(spec.params), SecretRows(spec.params, secret_key)
        self._encryptor = BlockEncryptor(spec, secret, tables, threads)
        self._decryptor = BlockDecryptor(spec, secret, tables)
        self._requests = request_layout(spec.bundle_id, spec.params, spec.inputs, spec.upload_bits_dropped)
        self._replies = reply_layout(spec.bundle_id, spec.params, prod(spec.output_shape), spec.reply_parts)

    @property
    def evaluation_key(self) -> NoReturn:
        """There is none, since the server of a throughput bundle needs no key.

        Raises: KeyMismatchError, always.
        """
        raise KeyMismatchError(
            "evaluation key: a throughput bundle has none; its server needs no key: send the requests alone"
        )

    def encrypt_batch(self, images: Any, *, clip: bool = False) -> bytes:
        """The request for a batch (images, *input_shape) of any number of images.

        Of a network with several inputs, a tuple of their batches, or a mapping by name (`spec.interface`).
        clip: bring values outside the accepted range to its nearest end, instead of refusing them.
        Raises: InputShapeError; InputRangeError for values outside the accepted range without `clip`; BackendError.
        """
        return b"".join(self.encrypt_frames(images, clip=clip))

    def encrypt_frames(self, images: Any, *, clip: bool = False) -> Iterator[bytes]:
        """`encrypt_batch`, frame after frame, one per block of `spec.block_images` images.

        It reads a block of images at a time, so that a memory-mapped array need not fit into memory.
        """
        images = as_batch(self.spec, images)
        count, batch_id = block_count(self.spec, images), os.urandom(BATCH_ID_BYTES)
        packed = self._encryptor.buffers()
        items = tuple(rows.data.cast("B") for rows in packed)
        for number, block in enumerate(blocks(self.spec, images, clip=clip)):
            head = FrameHead(batch_id, number, count, len(block))
            seed = self._encryptor.encrypt(planes(self.spec, block, head), packed)
            yield self._requests.to_bytes(Frame(self.secret_key.key_id, head, seed, items))

    def decrypt_batch(self, reply: bytes, name: str = "reply") -> Any:
        """The outputs of all images in their order, float64 (images, *output_shape).

        Of a network with several outputs, a tuple of their batches. The values contain the encryption's noise, as
        those of `secure.parties.client.Client.decrypt` do.
        Raises: FormatError, KeyMismatchError, AnswerRangeError.
        """
        outputs = np.concatenate(list(self.decrypt_frames(self._replies.split(reply, name), name)))
        parts = self.spec.interface.output_parts
        return split(outputs, parts) if parts else outputs

    def decrypt_frames(self, frames: Iterable[Buffer], name: str = "reply") -> Iterator[Array]:
        """`decrypt_batch`, block after block; several outputs lie flat one after the other."""
        parsed = (self._replies.parse(frame, f"{name}, frame {number}") for number, frame in enumerate(frames))
        for number, frame in enumerate(in_order(parsed, name)):
            if frame.key_id != self.secret_key.key_id:
                raise KeyMismatchError(
                    f"{name}: it was made with key {frame.key_id.hex()[:8]}, this client's is "
                    f"{self.secret_key.key_id.hex()[:8]}; use the secret key that encrypted the request"
                )
            values = self._decryptor.decrypt(frame.items, frame.head, f"{name}, frame {number}")
            yield values.reshape(-1, *self.spec.output_shape)

    def read(self, file: BinaryIO, name: str = "reply") -> Iterator[bytes]:
        """The frames of a reply in an open file, one at a time, for `decrypt_frames`.

        Raises: FormatError, KeyMismatchError.
        """
        return self._replies.read(file, name)
