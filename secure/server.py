"""The server: runs the plan on ciphertexts for the clients whose evaluation keys it has. Nothing here can hold a secret key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tenseal.sealapi as seal

from compress.errors import FormatError, KeyMismatchError, SecretKeyError
from secure.container import Container, ContainerKind, check_belongs, parse_for_server
from secure.keys import EvaluationKey, load_evaluation_key
from secure.seal_context import from_bytes, make_ring, to_bytes
from secure.specs import ServerSpec
from secure.tenseal_evaluator import CountingEvaluator, EvaluationKeys, TensealEvaluator, encode_constants, run_encrypted


class Server:
    """One bundle, any number of clients, told apart by key id."""

    def __init__(self, spec: ServerSpec) -> None:
        """Encodes every constant of the plan once.

        Raises: InsecureParametersError, BackendError.
        """
        self.spec = spec
        self._ring = make_ring(spec.plan.params)
        self._plaintexts = encode_constants(self._ring, spec.plan)
        self._evaluators: dict[bytes, TensealEvaluator] = {}

    def register(self, evaluation_key: EvaluationKey | bytes, name: str = "evaluation key") -> bytes:
        """Take a client's evaluation key; its key id.

        Raises: SecretKeyError, FormatError, KeyMismatchError, BackendError.
        """
        if isinstance(evaluation_key, bytes):
            evaluation_key = EvaluationKey.from_bytes(evaluation_key, name)
        if not isinstance(evaluation_key, EvaluationKey):
            raise SecretKeyError(
                f"{name}: a server takes evaluation keys only, not {type(evaluation_key).__name__}; give client.evaluation_key"
            )
        elements = self.spec.plan.key_manifest.galois_elements
        galois, relin = load_evaluation_key(evaluation_key, self.spec.bundle_id, elements, self._ring)
        self._evaluators[evaluation_key.key_id] = TensealEvaluator(
            self._ring, self._plaintexts, EvaluationKeys(galois, relin)
        )
        return evaluation_key.key_id

    def run(self, request: bytes, name: str = "request") -> bytes:
        """The reply to a request.

        Raises: SecretKeyError, FormatError, KeyMismatchError, BackendError.
        """
        key_id, ciphertexts = self.load_request(request, name)
        outputs = self.run_ciphertexts(key_id, ciphertexts)
        items = tuple(to_bytes(output) for output in outputs)
        return Container(ContainerKind.REPLY, self.spec.bundle_id, key_id, items).to_bytes()

    def load_request(self, request: bytes, name: str = "request") -> tuple[bytes, list[Any]]:
        """(key id, SEAL ciphertexts) of a request, everything validated.

        Raises: SecretKeyError, FormatError, KeyMismatchError, BackendError.
        """
        container = parse_for_server(request, ContainerKind.REQUEST, name)
        check_belongs(container, self.spec.bundle_id, name)
        if container.key_id not in self._evaluators:
            raise KeyMismatchError(f"{name}: no evaluation key {container.key_id.hex()[:8]} is registered; register it first")
        plan = self.spec.plan
        if len(container.items) != plan.inputs:
            raise FormatError(f"{name}: {len(container.items)} ciphertexts, the network takes {plan.inputs}")
        ciphertexts = [from_bytes(seal.Ciphertext(), self._ring, item) for item in container.items]
        for ciphertext in ciphertexts:
            if ciphertext.coeff_modulus_size() != plan.input_level or ciphertext.size() != 2:
                raise FormatError(
                    f"{name}: a ciphertext of level {ciphertext.coeff_modulus_size()} and {ciphertext.size()} parts, "
                    f"expected level {plan.input_level} and 2 parts"
                )
            ciphertext.scale = 1.0
        return container.key_id, ciphertexts

    def run_ciphertexts(self, key_id: bytes, ciphertexts: Sequence[Any]) -> list[Any]:
        """The plan on SEAL ciphertexts, without serialization: what `server_ms` means.

        Raises: BackendError.
        """
        return run_encrypted(self.spec.plan, self._evaluators[key_id], ciphertexts)

    def count_operations(self, request: bytes) -> dict[Any, int]:
        """Run a request and return what SEAL really did: operations by (kind, level read from the ciphertext)."""
        key_id, ciphertexts = self.load_request(request)
        counting = CountingEvaluator(self._evaluators[key_id])
        run_encrypted(self.spec.plan, counting, ciphertexts)
        return dict(counting.operations)
