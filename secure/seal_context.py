"""SEAL through tenseal.sealapi: contexts from Params, objects to bytes and back, native exceptions to ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import tenseal.sealapi as seal

from compress.errors import BackendError, InsecureParametersError
from secure.params import Params, check_security


@dataclass(frozen=True)
class Ring:
    """A SEAL context and the parms_id of every level (index 0 is unused)."""

    params: Params
    context: Any
    parms_ids: tuple[Any, ...]


def make_ring(params: Params) -> Ring:
    """A context whose parameters passed our table and SEAL's.

    Raises: InsecureParametersError, BackendError.
    """
    check_security(params)
    native = seal.EncryptionParameters(seal.SCHEME_TYPE.CKKS)
    native.set_poly_modulus_degree(params.poly_modulus_degree)
    native.set_coeff_modulus([seal.Modulus(prime) for prime in params.all_primes])
    context = seal.SEALContext(native, True, seal.SEC_LEVEL_TYPE.TC128)
    if not context.parameters_set():
        raise InsecureParametersError(f"coeff_modulus: SEAL refuses the parameters: {context.parameters_error_message()}")
    if params.special_prime is not None and not context.using_keyswitching():
        raise BackendError("SEAL set up no key switching for these parameters; they need a key-switching prime")
    ids: list[Any] = [None] * (params.levels + 1)
    data = context.first_context_data()
    while data is not None:
        ids[len(data.parms().coeff_modulus())] = data.parms_id()
        data = data.next_context_data()
    return Ring(params, context, tuple(ids))


def to_bytes(native: Any) -> bytes:
    """What SEAL saves for an object (seeded where the object is serializable), without touching the disk."""
    with _memory_file() as path:
        with native_errors("save"):
            native.save(path)
        with open(path, "rb") as file:
            return file.read()


def from_bytes(native: Any, ring: Ring, content: bytes) -> Any:
    """Load a SEAL object, validated by SEAL against the context.

    Raises: BackendError.
    """
    with _memory_file() as path:
        with open(path, "wb") as file:
            file.write(content)
        with native_errors("load"):
            native.load(ring.context, path)
    return native


@contextmanager
def _memory_file() -> Iterator[str]:
    descriptor = os.memfd_create("cipherpress")
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


@contextmanager
def native_errors(operation: str, layer: str | None = None) -> Iterator[None]:
    """SEAL's exceptions as BackendError with the operation and layer."""
    try:
        yield
    except (RuntimeError, ValueError, IndexError, MemoryError) as error:
        place = f"layer '{layer}': " if layer is not None else ""
        raise BackendError(f"{place}SEAL refused to {operation}: {error}") from error


