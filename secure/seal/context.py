"""SEAL through tenseal.sealapi: contexts from Params, objects to bytes and back, SEAL's exceptions as ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import tenseal.sealapi as seal

from compress.errors import BackendError, FormatError, InsecureParametersError
from secure.params import Params, check_security
from secure.seal.frame import check_frame

RESIDUE_BYTES = 8
#: The most parts of a ciphertext: a product that was not relinearized has three.
MAX_PARTS = 3

#: The Python exceptions that TenSEAL turns SEAL's exceptions into.
NATIVE_ERRORS = (RuntimeError, ValueError, IndexError, MemoryError)


@dataclass(frozen=True)
class Ring:
    """A SEAL context and the parms_id of every level (index 0 is unused)."""

    params: Params
    context: Any
    parms_ids: tuple[Any, ...]


def make_ring(params: Params) -> Ring:
    """A context for parameters that pass our security table and SEAL's. It has one special prime at most.

    Raises: InsecureParametersError, BackendError.
    """
    check_security(params)
    if params.special_prime is None and params.levels > 1:
        raise BackendError(
            f"special_prime: none beside {params.levels} data primes; SEAL keeps the last of several primes for "
            "key switching; give the parameters a special prime"
        )
    native = seal.EncryptionParameters(seal.SCHEME_TYPE.CKKS)
    native.set_poly_modulus_degree(params.poly_modulus_degree)
    native.set_coeff_modulus([seal.Modulus(prime) for prime in params.seal_primes])
    context = seal.SEALContext(native, True, seal.SEC_LEVEL_TYPE.TC128)
    if not context.parameters_set():
        raise InsecureParametersError(
            f"coeff_modulus: SEAL refuses the parameters: {context.parameters_error_message()}"
        )
    if params.special_prime is not None and not context.using_keyswitching():
        raise BackendError("SEAL set up no key switching for these parameters; they need a key-switching prime")
    ids: list[Any] = [None] * (params.levels + 1)
    data = context.first_context_data()
    while data is not None:
        ids[len(data.parms().coeff_modulus())] = data.parms_id()
        data = data.next_context_data()
    ring = Ring(params, context, tuple(ids))
    check_ring(ring)
    return ring


def check_ring(ring: Ring) -> None:
    """Refuse a context that is not the one of its parameters, or whose modulus is too large.

    Whatever makes or takes a key calls this, so that no key is ever used in another ring than `make_ring` gives.
    Raises: InsecureParametersError.
    """
    check_security(ring.params)
    native = ring.context.key_context_data().parms()
    held = (native.poly_modulus_degree(), *(modulus.value() for modulus in native.coeff_modulus()))
    if held != (ring.params.poly_modulus_degree, *ring.params.seal_primes):
        raise InsecureParametersError("coeff_modulus: SEAL's context has other moduli than the parameters state")


def to_bytes(native: Any) -> bytes:
    """The bytes that SEAL saves for an object, seeded for serializable objects. Nothing is written to the disk."""
    with _memory_file() as path:
        with native_errors("save"):
            native.save(path)
        with open(path, "rb") as file:
            return file.read()


def from_bytes(native: Any, ring: Ring, content: bytes, name: str, max_bytes: int) -> Any:
    """Load a SEAL object of at most about `max_bytes` after decompression; SEAL validates it against the context.

    Raises: FormatError naming `name`, for bytes of another object, of other parameters, or altered.
    """
    check_frame(content, name, max_bytes)
    with _memory_file() as path:
        with open(path, "wb") as file:
            file.write(content)
        try:
            native.load(ring.context, path)
        except NATIVE_ERRORS as error:
            raise FormatError(f"{name}: SEAL cannot read it ({error}); it is altered or of other parameters") from error
    return native


def load_ciphertext(ring: Ring, content: bytes, level: int, parts: int, name: str) -> Any:
    """A ciphertext with this level and this many parts that is not transparent. Its SEAL scale is set to 1.

    Raises: FormatError naming what is wrong.
    """
    residues = MAX_PARTS * ring.params.levels * ring.params.poly_modulus_degree
    ciphertext = from_bytes(seal.Ciphertext(), ring, content, name, residues * RESIDUE_BYTES)
    # SEAL has checked the ring degree and every residue by now; it accepts any level, part count and form
    if ciphertext.coeff_modulus_size() != level or list(ciphertext.parms_id()) != list(ring.parms_ids[level]):
        raise FormatError(f"{name}: a ciphertext of level {ciphertext.coeff_modulus_size()}, expected {level}")
    if ciphertext.size() != parts:
        raise FormatError(f"{name}: a ciphertext of {ciphertext.size()} parts, expected {parts}")
    if not ciphertext.is_ntt_form():
        raise FormatError(f"{name}: a ciphertext in coefficient form, expected NTT form")
    if ciphertext.is_transparent():
        raise FormatError(f"{name}: a ciphertext that hides nothing; encrypt the input with the client")
    ciphertext.scale = 1.0
    return ciphertext


@contextmanager
def _memory_file() -> Iterator[str]:
    descriptor = os.memfd_create("cipherpress")
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


@contextmanager
def native_errors(operation: str, layer: str | None = None) -> Iterator[None]:
    """Turns SEAL's exceptions into BackendErrors that name operation and layer."""
    try:
        yield
    except NATIVE_ERRORS as error:
        raise BackendError(f"SEAL refused to {operation}: {error}", layer) from error
