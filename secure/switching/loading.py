"""A client's evaluation keys for a backend. Each item holds keys of our own, or SEAL's where SEAL has such keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from compress.errors import FormatError
from secure.file_bytes import Readable
from secure.key_shape import is_packed
from secure.plan import KeyManifest
from secure.seal.context import Ring, check_ring
from secure.seal.evaluation_keys import GALOIS_NAME, RELIN_NAME, load_all, load_in_turn
from secure.seal.evaluator import EvaluationKeys
from secure.seeded.keys import key_reader
from secure.switching.reading import read_keys
from secure.switching.seal_form import galois_item, relin_item


class PackedInTurn:
    """The keys of a packed item; `key` gives the residues of each, in ascending order of the Galois elements."""

    def __init__(self, keys: Iterator[Any]) -> None:
        self._keys = keys

    def key(self, which: int) -> Any:
        """The residues of the next key, which must be the one that is asked for.

        Raises: FormatError.
        """
        return next(self._keys)


def load_for_engine(items: Sequence[Readable], manifest: KeyManifest, ring: Ring) -> EvaluationKeys:
    """The keys of both items (relinearization, rotations) for a reader that takes each once: `relin.key(2)`,
    `galois.key(element)` in ascending order.

    manifest: of the plan, with levels. Packed items are checked in size at once; each key when it is taken.
    Raises: FormatError, also when a key is taken; InsecureParametersError.
    """
    check_ring(ring)
    _check_form(items, ring)
    whole = load_in_turn([b"" if is_packed(item) else bytes(item) for item in items], manifest, ring, key_reader(ring))
    relin_levels = (manifest.relin_level,) * manifest.relinearize
    return EvaluationKeys(
        _packed(items[1], manifest.galois_levels, ring, GALOIS_NAME) or whole.galois,
        _packed(items[0], relin_levels, ring, RELIN_NAME) or whole.relin,
    )


def _packed(item: Readable, levels: Sequence[int], ring: Ring, name: str) -> PackedInTurn | None:
    return PackedInTurn(read_keys(ring.params, levels, item, name)) if is_packed(item) else None


def load_for_seal(items: Sequence[Readable], manifest: KeyManifest, ring: Ring) -> EvaluationKeys:
    """SEAL's objects of both items: exactly the keys of the manifest.

    Raises: as `load_for_engine`.
    """
    check_ring(ring)
    _check_form(items, ring)
    relin, galois = map(bytes, items)
    if is_packed(relin):
        relin = relin_item(ring, manifest, relin)
    if is_packed(galois):
        galois = galois_item(ring, manifest, galois)
    return load_all((relin, galois), manifest, ring)


def _check_form(items: Sequence[Readable], ring: Ring) -> None:
    """Raises: FormatError for SEAL's keys where key switches are hybrid."""
    if ring.params.is_hybrid and not all(is_packed(item) for item in items if item):
        raise FormatError(
            "evaluation key: it has SEAL's form, which has no key for this bundle's hybrid key switches; make new keys "
            "with keygen"
        )
