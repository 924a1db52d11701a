"""The registered keys of a server: at most so many bytes, and those that were used last.

One lock guards the table, and no work is done under it. A request takes its evaluator out of the table once and keeps
it to its end, so a key may be forgotten or replaced while requests under it still run.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from math import inf
from threading import Lock
from typing import Any

from compress.checks import is_number
from compress.errors import ConfigError, KeyMismatchError, KeyNotRegisteredError
from secure.engine.buffers import PIECE_BYTES
from secure.key_shape import KeyShape
from secure.plan import Plan
from secure.seal.sizes import keys_memory_bytes

#: Memory for registered keys unless the server is given another: hundreds of clients of a small network.
DEFAULT_KEYS_BYTES = 2 * 2**30
#: What a client's evaluator takes beside its keys, for each operation of the plan (measured: 92 to 183 bytes).
OPERATION_BYTES = 200
#: What any registration takes beside, also under a plan without keys (measured: 1,700 bytes in objects, up to 4,300 in
#: memory). Without it a table of empty registrations would grow to many times its bound.
BASE_BYTES = 4096


def registration_bytes(plan: Plan, *, under_seal: bool = False) -> int:
    """What one registered key takes in memory, about. under_seal: where SEAL runs the plan, with whole keys.

    That is its residues, eight bytes each, the addresses of a run, and what every registration takes. The engine cuts
    its arrays from pieces of PIECE_BYTES, so a key that is somewhat smaller takes a whole piece.
    """
    params, levels = plan.params, plan.key_manifest.levels
    if under_seal or not params.fits_engine:
        keys_bytes = keys_memory_bytes(params, plan.key_manifest.whole)
    else:
        keys_bytes = sum(_in_pieces(KeyShape(params, level).memory_bytes) for level in levels)
    return keys_bytes + OPERATION_BYTES * len(plan.ops) + BASE_BYTES


def _in_pieces(one_key: int) -> int:
    """Memory of one of many keys of this size, cut from pieces."""
    return max(one_key, PIECE_BYTES // max(1, PIECE_BYTES // one_key))


def most_registrations(keys_bytes: float | None, one_bytes: int) -> int:
    """How many registrations of this size fit.

    Raises: ConfigError when there is no room for one.
    """
    if keys_bytes is None:
        return max(1, DEFAULT_KEYS_BYTES // max(one_bytes, 1))
    if not is_number(keys_bytes) or not max(one_bytes, 1) <= keys_bytes < inf:
        raise ConfigError("keys_bytes", keys_bytes, f"at least {max(one_bytes, 1):,}, which one key of this plan takes")
    return int(keys_bytes // max(one_bytes, 1))


@dataclass(frozen=True)
class Registration:
    """One client's key, ready for use. digest: sha256 of its content."""

    digest: bytes
    evaluator: Any


class Registrations:
    """Registrations by key id. All methods may be called from any thread."""

    def __init__(self, most: int) -> None:
        """most: how many are kept, at least 1. The least recently used ones leave."""
        self._most = most
        self._held: OrderedDict[bytes, Registration] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        with self._lock:
            return len(self._held)

    def holds(self, key_id: bytes, digest: bytes) -> bool:
        """Whether this content is registered under this id; it counts as used.

        Raises: KeyMismatchError when other content is.
        """
        with self._lock:
            found = self._held.get(key_id)
            if found is None:
                return False
            if found.digest != digest:
                raise KeyMismatchError(
                    f"evaluation key: another key is registered under {key_id.hex()[:8]}; make new keys with keygen"
                )
            self._held.move_to_end(key_id)
            return True

    def add(self, key_id: bytes, registration: Registration) -> None:
        """Keep a registration; the least recently used ones leave to make room."""
        with self._lock:
            self._held[key_id] = registration
            self._held.move_to_end(key_id)
            while len(self._held) > self._most:
                self._held.popitem(last=False)

    def evaluator(self, key_id: bytes, name: str) -> Any:
        """The evaluator of a registered key, which counts as used.

        Raises: KeyNotRegisteredError.
        """
        with self._lock:
            found = self._held.get(key_id)
            if found is None:
                raise KeyNotRegisteredError(name, key_id)
            self._held.move_to_end(key_id)
            return found.evaluator

    def forget(self, key_id: bytes) -> None:
        """Remove a registration if it is there."""
        with self._lock:
            self._held.pop(key_id, None)
