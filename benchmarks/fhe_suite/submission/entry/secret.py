"""The secret key of a file: its residues, read without SEAL, which takes longer to load than they take to use."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compress.errors import FormatError, KeyMismatchError
from entry.modular import centred
from secure.bundle.batch_specs import BatchClientSpec
from secure.bundle.client_file import client_digest
from secure.parties.container import ContainerKind, check_belongs, parse
from secure.seal.saved import key_words


class Secret:
    """A secret key. id: what frames carry. rows (primes, N): its residues, centred, in SEAL's order."""

    __slots__ = ("id", "rows")

    id: bytes
    rows: NDArray[np.float64]

    def __init__(self, content: bytes, spec: BatchClientSpec, name: str = "secret key") -> None:
        """Raises: FormatError; KeyMismatchError for the key of another bundle or of another client.json."""
        params = spec.params
        container = parse(content, ContainerKind.SECRET_KEY, name)
        check_belongs(container, spec.bundle_id, name)
        if len(container.items) != 2 or container.items[1].hex() != client_digest(spec):
            raise KeyMismatchError(f"{name}: it was made with another client.json; make a new key")
        words = key_words(container.items[0], params.levels, params.poly_modulus_degree)
        self.id, self.rows = container.key_id, np.empty(words.shape)
        for row, residues, prime in zip(self.rows, words, params.data_primes, strict=True):
            if residues.max() >= prime:
                raise FormatError(f"{name}: a residue is not below its prime; the file is altered")
            row[:] = centred(residues, prime)
