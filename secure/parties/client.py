"""The client: holds the secret key, encrypts inputs, decrypts answers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compress.checks import is_number
from compress.errors import ConfigError, FormatError, KeyBytesError, KeyMismatchError
from compress.parts import join, split
from secure.bundle.client_file import client_digest
from secure.bundle.specs import ClientSpec
from secure.layout.packing import folded, input_vectors
from secure.parties.backends import BackendName, choose_backend
from secure.parties.batches import batch_rows, single
from secure.parties.container import Container, ContainerKind, check_belongs, parse
from secure.parties.keys import EvaluationKey, SecretCipher, SecretKey, check_client_digest, generate_keys
from secure.parties.native_form import native_ciphertext
from secure.parties.ranges import Clipped, checked_input, clipped_input
from secure.seal.context import make_ring
from secure.seal.sizes import keys_memory_bytes

if TYPE_CHECKING:
    from secure.parties.encryptor import Encryptor

#: One input, or the inputs of a network with several, in order or by name.
Input = NDArray[Any] | tuple[Any, ...] | Mapping[str, Any]

logger = logging.getLogger(__name__)

#: The most memory that a client's keys take unless it allows more.
DEFAULT_MAX_KEY_BYTES = 2 * 2**30


class Client:
    """One client of one bundle. Without a secret key it makes its own keys."""

    def __init__(
        self,
        spec: ClientSpec,
        secret_key: SecretKey | None = None,
        *,
        max_key_bytes: float = DEFAULT_MAX_KEY_BYTES,
        backend: str | None = None,
    ) -> None:
        """max_key_bytes: the most memory that new keys may take. The spec says which keys, and it may come from others.
        backend: what encrypts: "engine", our own encryptor, or "seal". None takes the engine, or SEAL where the primes
        are too large for it. The engine is faster from the second request on; its first one loads compiled kernels.

        Raises: ConfigError for a spec or key of another type; KeyBytesError before any key is made; KeyMismatchError
        when the key belongs to another bundle or was made with another client.json; FormatError, BackendError."""
        if not isinstance(spec, ClientSpec):
            raise ConfigError("spec", type(spec).__name__, "a ClientSpec; give bundle.client, or load_client(folder)")
        if not isinstance(secret_key, SecretKey | None):
            allowed = "None, or a SecretKey; read a file's bytes with SecretKey.from_bytes"
            raise ConfigError("secret_key", type(secret_key).__name__, allowed)
        if secret_key is None:
            _check_key_bytes(spec, max_key_bytes)
        self.spec = spec
        self._ring = make_ring(spec.params)
        self._evaluation_key: EvaluationKey | None = None
        if secret_key is None:
            secret_key, self._evaluation_key = generate_keys(spec, self._ring)
        check_belongs(
            Container(ContainerKind.SECRET_KEY, secret_key.bundle_id, secret_key.key_id, ()),
            spec.bundle_id,
            "secret key",
        )
        check_client_digest(secret_key.client_digest, client_digest(spec), "secret key")
        self.secret_key = secret_key
        self._backend = backend if backend == BackendName.SEAL else choose_backend(backend, spec.params)
        self._cipher = SecretCipher(self._ring, secret_key)

    @cached_property
    def evaluation_key(self) -> EvaluationKey:
        """The key that the server needs. Only a client that made its own keys has it.

        Raises: KeyMismatchError for a client that was given its secret key.
        """
        if self._evaluation_key is None:
            raise KeyMismatchError(
                "evaluation key: this client was given its secret key; use the evaluation.key made with it"
            )
        return self._evaluation_key

    def encrypt(self, image: Input, *, clip: bool = False) -> bytes:
        """A request for one input of the network's shape, symmetrically encrypted and seeded.

        Of a network with several inputs, a tuple of them in their order, or a mapping by name (`spec.interface`).
        A batch of one, of shape (1, *input_shape), is that one input. `encrypt_many` takes larger batches.
        clip: bring values outside the accepted range to its nearest end, and say so in a log line (`clip` tells which).
        Raises: InputShapeError; InputRangeError for values outside the accepted range without `clip`; BackendError.
        """
        given = single(self.joined(image), self.spec.input_shape)
        values = self._clipped(given) if clip else checked_input(self.spec, given)
        slots = input_vectors(values.ravel(), self.spec.input_slots)
        items = self._encrypted(slots)
        return Container(ContainerKind.REQUEST, self.spec.bundle_id, self.secret_key.key_id, items).to_bytes()

    def joined(self, values: Any) -> Any:
        """One flat input, or a batch, of a network with several inputs; features of images for a network with a front
        end. Anything else stays as it is.

        Raises: InputShapeError naming the part that does not fit.
        """
        parts = self.spec.interface.input_parts
        if isinstance(values, np.ndarray) or not (parts and isinstance(values, tuple | Mapping)):
            return self.spec.interface.features(values)
        return join(values, parts)

    def encrypt_many(self, images: Input | Sequence[NDArray[Any]], *, clip: bool = False) -> list[bytes]:
        """A request for each row of a batch (inputs, *input_shape), in its order. `decrypt` takes the list of replies.

        Of a network with several inputs, a tuple of their batches, or a mapping.

        Raises: InputShapeError for what is no batch; InputRangeError; BackendError.
        """
        return [self.encrypt(row, clip=clip) for row in batch_rows(self.joined(images), self.spec.input_shape)]

    def clip(self, image: NDArray[Any]) -> Clipped:
        """The input within the accepted range, with the features that were outside.

        Raises: InputShapeError.
        """
        return clipped_input(self.spec, self.joined(image))

    def _clipped(self, image: NDArray[Any]) -> NDArray[np.float64]:
        clipped = self.clip(image)
        if clipped.features:
            logger.warning("input: %s", clipped.said)
        return clipped.values

    def _encrypted(self, slots: NDArray[Any]) -> tuple[bytes, ...]:
        """SEAL's bytes of one ciphertext per row of slots, by our own encryptor where the primes allow it."""
        if self._backend == BackendName.ENGINE:
            return self._encryptor.encrypt(slots, self.spec.input_scale)
        return tuple(self._cipher.encrypt(row, self.spec.input_level, self.spec.input_scale) for row in slots)

    @cached_property
    def _encryptor(self) -> Encryptor:
        from secure.parties.encryptor import Encryptor  # loads a compiler, which keys and answers do not need

        return Encryptor(self._ring, self.secret_key, self.spec.input_level)

    def decrypt(self, reply: bytes | Sequence[bytes], name: str = "reply") -> Any:
        """The outputs, float64, in the network's output shape; of a list of replies (replies, *output_shape).

        Of a network with several outputs, a tuple of arrays in the shapes of `spec.interface.output_parts`.
        One reply answers one input, so it never has the axis of a batch, also where the input was a batch of one.
        The values contain the encryption's noise. Pass them through `release` or `release_class`
        (`secure.parties.release`) before anybody else sees them.
        Raises: FormatError, KeyMismatchError, BackendError.
        """
        outputs, parts = self.outputs(reply, name), self.spec.interface.output_parts
        return split(outputs, parts) if parts else outputs

    def outputs(self, reply: bytes | Sequence[bytes], name: str = "reply") -> NDArray[np.float64]:
        """The same as one array, in which several outputs lie flat one after the other."""
        if not isinstance(reply, bytes):
            return self._decrypt_all(reply, name)
        container = parse(reply, ContainerKind.REPLY, name)
        check_belongs(container, self.spec.bundle_id, name)
        if container.key_id != self.secret_key.key_id:
            raise KeyMismatchError(
                f"{name}: it was encrypted under another key; decrypt with the key that made the request"
            )
        if len(container.items) != len(self.spec.output_scales):
            raise FormatError(
                f"{name}: {len(container.items)} ciphertexts, the network answers with {len(self.spec.output_scales)}"
            )
        rows = []
        for item, level, scale in zip(container.items, self.spec.output_levels, self.spec.output_scales, strict=True):
            native = native_ciphertext(self._ring, item, level, name, seeded=False)
            rows.append(self._cipher.decrypt(native, scale))
        values = folded(np.asarray(rows), self.spec.output_folds)[
            self.spec.output_slots[:, 0], self.spec.output_slots[:, 1]
        ]
        return values.reshape(self.spec.output_shape)

    def _decrypt_all(self, replies: Sequence[bytes], name: str) -> NDArray[np.float64]:
        outputs = [self.outputs(reply, f"{name} {number}") for number, reply in enumerate(replies)]
        return np.array(outputs).reshape(-1, *self.spec.output_shape)


def _check_key_bytes(spec: ClientSpec, max_bytes: float) -> None:
    """Raises: KeyBytesError, ConfigError."""
    if not is_number(max_bytes) or not max_bytes > 0:
        raise ConfigError("max_key_bytes", max_bytes, "a positive number of bytes")
    rotations = len(spec.keys.galois_elements)
    asked = f"{rotations} rotation keys{' and a relinearization key' * spec.keys.relinearize}"
    needed = keys_memory_bytes(spec.params, spec.keys)
    if needed > max_bytes:
        raise KeyBytesError(
            f"keys: this bundle asks for {asked} at N={spec.params.poly_modulus_degree}, which take "
            f"{needed / 1e9:,.2f} GB while they are made; allowed are {max_bytes / 1e9:,.2f} GB; if you trust where "
            f"client.json comes from, allow {needed:,} bytes with max_key_bytes= or --max-key-bytes",
            needed_bytes=needed,
            max_bytes=max_bytes,
        )
