"""The client: holds the secret key, encrypts inputs, decrypts answers."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import ConfigError, FormatError, InputShapeError, KeyMismatchError
from secure.bundle.specs import ClientSpec
from secure.layout.packing import input_vectors
from secure.parties.container import Container, ContainerKind, check_belongs, parse
from secure.parties.keys import EvaluationKey, SecretCipher, SecretKey, generate_keys
from secure.seal.context import load_ciphertext, make_ring

#: How far an input may lie outside the calibrated range, as a share of the range. Inputs beyond that are refused.
RANGE_MARGIN = 0.25


class Client:
    """One client of one bundle. Without a secret key it makes its own keys."""

    def __init__(self, spec: ClientSpec, secret_key: SecretKey | None = None) -> None:
        """Raises: ConfigError for a spec or key of another type; KeyMismatchError when the key belongs to another
        bundle; FormatError, BackendError."""
        if not isinstance(spec, ClientSpec):
            raise ConfigError("spec", type(spec).__name__, "a ClientSpec; give bundle.client, or load_client(folder)")
        if not isinstance(secret_key, SecretKey | None):
            allowed = "None, or a SecretKey; read a file's bytes with SecretKey.from_bytes"
            raise ConfigError("secret_key", type(secret_key).__name__, allowed)
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
        self.secret_key = secret_key
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

    def encrypt(self, image: NDArray[Any]) -> bytes:
        """A request for one input of the network's shape, symmetrically encrypted and seeded.

        Raises: InputShapeError, BackendError.
        """
        slots = input_vectors(self._checked(image).ravel(), self.spec.input_slots)
        items = tuple(self._cipher.encrypt(row, self.spec.input_level, self.spec.input_scale) for row in slots)
        return Container(ContainerKind.REQUEST, self.spec.bundle_id, self.secret_key.key_id, items).to_bytes()

    def decrypt(self, reply: bytes, name: str = "reply") -> NDArray[np.float64]:
        """The outputs, float64, in the network's output shape.

        The values contain the encryption's noise. Pass them through `secure.parties.release` before anybody else sees
        them.
        Raises: FormatError, KeyMismatchError, BackendError.
        """
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
            rows.append(self._cipher.decrypt(load_ciphertext(self._ring, item, level, 2, name), scale))
        values = np.asarray(rows)[self.spec.output_slots[:, 0], self.spec.output_slots[:, 1]]
        return values.reshape(self.spec.output_shape)

    def _checked(self, image: NDArray[Any]) -> NDArray[np.float64]:
        try:
            values = np.asarray(image, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputShapeError(f"input: not an array of numbers ({error})") from error
        if values.shape != self.spec.input_shape:
            raise InputShapeError(
                f"input: shape {values.shape}; the network takes {self.spec.input_shape}; reshape or crop the input"
            )
        if not np.isfinite(values).all():
            raise InputShapeError("input: it holds values that are not finite; clean it first")
        low, high = self.spec.input_low, self.spec.input_high
        margin = RANGE_MARGIN * (high - low)
        if values.min() < low - margin or values.max() > high + margin:
            raise InputShapeError(
                f"input: values from {values.min():g} to {values.max():g}; the bundle was calibrated on "
                f"{low:g} to {high:g} and would overflow; scale the input as the training data was "
                "(uint8 images are divided by 255)"
            )
        return values
