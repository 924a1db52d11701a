"""A client's evaluation keys as SEAL's objects: all at once for SEAL, or one after the other for the engine.

The engine keeps arrays of its own, so SEAL's objects of a whole set would take twice the memory for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tenseal.sealapi as seal

from secure.plan import KeyManifest
from secure.seal.context import RESIDUE_BYTES, Ring, check_ring, from_bytes
from secure.seal.evaluator import EvaluationKeys
from secure.seal.key_frames import RELIN_INDEX, galois_index, key_bytes, split_keys

RELIN_NAME, GALOIS_NAME = "evaluation key, relinearization", "evaluation key, rotations"
#: Reads a key's bytes without SEAL; None for bytes that it does not take.
Read = Callable[[bytes], Any]
#: The power of the secret key that a square's last part belongs to.
SQUARE_POWER = 2


def load_all(items: Sequence[bytes], manifest: KeyManifest, ring: Ring) -> EvaluationKeys:
    """SEAL's objects of both items (relinearization, rotations): exactly the keys of the manifest.

    Raises: FormatError; InsecureParametersError for a ring that no key may be used in.
    """
    check_ring(ring)
    relin, galois = seal.RelinKeys(), seal.GaloisKeys()
    one_bytes = key_bytes(ring)
    indices = _galois_indices(manifest)
    # the whole content is checked before SEAL reads any of it
    for item, places, name in ((items[0], _relin_indices(manifest), RELIN_NAME), (items[1], indices, GALOIS_NAME)):
        for _ in split_keys(item, ring, places, name) if places else ():
            pass
    if manifest.relinearize:
        from_bytes(relin, ring, items[0], RELIN_NAME, one_bytes)
    if indices:
        most_bytes = len(indices) * one_bytes + ring.params.poly_modulus_degree * RESIDUE_BYTES
        from_bytes(galois, ring, items[1], GALOIS_NAME, most_bytes)
    return EvaluationKeys(galois, relin)


def load_in_turn(items: Sequence[bytes], manifest: KeyManifest, ring: Ring, read: Read) -> EvaluationKeys:
    """The same keys for a reader that takes each once, in ascending order: `relin.key(2)`, `galois.key(element)`.

    Each is checked and loaded when it is taken, and the reader's last one stands for the whole item.
    read: what reads a key's bytes first; it returns None for bytes that SEAL has to judge.
    """
    check_ring(ring)
    power = KeysInTurn(items[0], ring, _relin_indices(manifest), lambda power: power - SQUARE_POWER, RELIN_NAME, read)
    element = KeysInTurn(items[1], ring, _galois_indices(manifest), galois_index, GALOIS_NAME, read)
    return EvaluationKeys(element, power)


class KeysInTurn:
    """The keys of one item; `key` gives the digits of each, in ascending order of their indices."""

    def __init__(
        self, item: bytes, ring: Ring, indices: Sequence[int], index_of: Callable[[int], int], name: str, read: Read
    ) -> None:
        self._ring, self._index_of, self._name, self._read = ring, index_of, name, read
        self._native: Any = None  # owns the memory of the digits that were given out last
        self._left = zip(indices, split_keys(item, ring, indices, name), strict=True)

    def key(self, which: int) -> Any:
        """The digits of the next key, which must be that of this power or Galois element.

        What `read` makes of its bytes, or else SEAL's digits, which are valid until the next key is taken.

        Raises: FormatError.
        """
        index, content = next(self._left)
        assert index == self._index_of(which), f"key {which} is taken out of turn"
        found = self._read(content)
        if found is not None:
            return found
        self._native = from_bytes(seal.RelinKeys(), self._ring, content, self._name, key_bytes(self._ring))
        return self._native.key(SQUARE_POWER)


def _relin_indices(manifest: KeyManifest) -> tuple[int, ...]:
    return (RELIN_INDEX,) if manifest.relinearize else ()


def _galois_indices(manifest: KeyManifest) -> tuple[int, ...]:
    return tuple(sorted(galois_index(element) for element in manifest.galois_elements))
