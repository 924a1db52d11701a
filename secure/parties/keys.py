"""Keys: a secret key that hides its content, and the evaluation key that a server may have. Two types, two files."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hmac import compare_digest
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
import tenseal.sealapi as seal
from numpy.typing import NDArray

from compress.artifact import FILE_MODE, PRIVATE_FILE_MODE, write_files
from compress.errors import FormatError, InsecureParametersError, KeyMismatchError
from secure.bundle.batch_specs import BatchClientSpec
from secure.bundle.client_file import client_digest
from secure.bundle.specs import ClientSpec
from secure.file_bytes import FileBytes, Readable, open_bytes
from secure.parties.container import (
    HASH_BYTES,
    KEY_ID_BYTES,
    Container,
    ContainerKind,
    add_hash,
    check_belongs,
    parse,
    parse_for_server,
    parse_places,
    refuse_secret_key,
)
from secure.plan import KeyManifest
from secure.seal.context import RESIDUE_BYTES, Ring, check_ring, from_bytes, native_errors, to_bytes
from secure.seal.evaluator import EvaluationKeys, encode

#: Items of one kind: bytes, or parts of a file.
Item = TypeVar("Item", bytes, FileBytes)

SECRET_FILE, EVALUATION_FILE = "secret.key", "evaluation.key"


class SecretKey:
    """A client's secret key for one bundle. Only `to_bytes` and `native` hand out its content.

    It is no dataclass and has no `__dict__`, so that `dataclasses.asdict`, `vars`, `repr`, `copy` and `pickle` show
    nothing of it. It cannot be changed. client_digest: of the client.json that it was made with
    (`secure.bundle.client_file.client_digest`); empty for a key that was made without one.
    """

    __slots__ = ("_content", "bundle_id", "client_digest", "key_id")

    bundle_id: str
    key_id: bytes
    client_digest: str
    _content: Callable[[], bytes]

    def __init__(self, bundle_id: str, key_id: bytes, content: bytes, client_digest: str = "") -> None:
        object.__setattr__(self, "bundle_id", bundle_id)
        object.__setattr__(self, "key_id", key_id)
        object.__setattr__(self, "client_digest", client_digest)
        # a closure, and not the bytes: whatever prints all attributes prints a function
        object.__setattr__(self, "_content", lambda: content)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a secret key cannot be changed: {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a secret key cannot be changed: {name}")

    def __repr__(self) -> str:
        return f"SecretKey(key {self.key_id.hex()[:8]} of bundle {self.bundle_id[:12]}, content hidden)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretKey) and compare_digest(self.to_bytes(), other.to_bytes())

    def __hash__(self) -> int:
        return hash((self.bundle_id, self.key_id))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret key cannot be pickled or copied; save it with write_keys")

    def __getstate__(self) -> NoReturn:
        self.__reduce__()

    def to_bytes(self) -> bytes:
        """The container for secret.key. Whoever has it can read every ciphertext."""
        items = (self._content(), bytes.fromhex(self.client_digest))
        return Container(ContainerKind.SECRET_KEY, self.bundle_id, self.key_id, items).to_bytes()

    @staticmethod
    def from_bytes(content: bytes, name: str = "secret key") -> SecretKey:
        """Raises: FormatError."""
        container = parse(content, ContainerKind.SECRET_KEY, name)
        (key,), digest = _split(container.items, 1, name)
        return SecretKey(container.bundle_id, container.key_id, key, digest)

    def native(self, ring: Ring) -> Any:
        """SEAL's object.

        Raises: InsecureParametersError, FormatError.
        """
        check_ring(ring)
        size_bytes = len(ring.params.seal_primes) * ring.params.poly_modulus_degree * RESIDUE_BYTES
        return from_bytes(seal.SecretKey(), ring, self._content(), "secret key", size_bytes)


class SecretCipher:
    """SEAL's encryptor and decryptor under one secret key. Only a client has one."""

    def __init__(self, ring: Ring, key: SecretKey) -> None:
        """Raises: FormatError when the key's bytes are of other parameters."""
        native = key.native(ring)
        self._ring = ring
        self._encoder = seal.CKKSEncoder(ring.context)
        self._encryptor = seal.Encryptor(ring.context, native)
        self._decryptor = seal.Decryptor(ring.context, native)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret key cannot be pickled or copied; save it with write_keys")

    def encrypt(self, slots: NDArray[Any], level: int, scale: float) -> bytes:
        """SEAL's bytes of a symmetric encryption. Its random half is a seed, so they are half as many as a ciphertext
        has.

        Raises: BackendError.
        """
        with native_errors("encrypt"):
            return to_bytes(self._encryptor.encrypt_symmetric(encode(self._ring, self._encoder, slots, level, scale)))

    def decrypt(self, ciphertext: Any, scale: float) -> NDArray[np.float64]:
        """The real parts of the slots.

        Raises: BackendError.
        """
        plain = seal.Plaintext()
        with native_errors("decrypt"):
            self._decryptor.decrypt(ciphertext, plain)
            plain.scale = 1.0  # SEAL refuses scales near the modulus; our scale is divided out after decoding
            return np.asarray(self._encoder.decode_double(plain), dtype=np.float64) / scale


@dataclass(frozen=True)
class EvaluationKey:
    """What a server gets: relinearization and Galois keys, exactly those of the bundle's manifest.

    items: bytes, or parts of a file that is open. client_digest: of the client.json that the keys were made with; empty
    for keys that were made without one.
    """

    bundle_id: str
    key_id: bytes
    items: tuple[bytes | FileBytes, ...] = field(repr=False)
    client_digest: str = ""

    def to_bytes(self) -> bytes:
        """The container for evaluation.key."""
        items = (*map(bytes, self.items), bytes.fromhex(self.client_digest))
        return Container(ContainerKind.EVALUATION_KEY, self.bundle_id, self.key_id, items).to_bytes()

    @staticmethod
    def from_bytes(content: bytes, name: str = "evaluation key") -> EvaluationKey:
        """Raises: SecretKeyError for a secret key, FormatError."""
        container = parse_for_server(content, ContainerKind.EVALUATION_KEY, name)
        keys, digest = _split(container.items, 2, name)
        return EvaluationKey(container.bundle_id, container.key_id, keys, digest)

    @staticmethod
    @contextmanager
    def opened(file: Path, name: str = "evaluation key") -> Iterator[EvaluationKey]:
        """The key of a file, whose items are read when they are asked for, until the end of the context.

        Raises: OSError; SecretKeyError, FormatError, as `from_bytes`; FormatError at the end, for a file that was
        written to meanwhile.
        """
        if not file.is_file():  # a pipe, whose bytes come once
            yield EvaluationKey.from_bytes(file.read_bytes(), name)
            return
        with open_bytes(file, name) as content:
            refuse_secret_key(content, name)
            bundle_id, key_id, places = parse_places(content, ContainerKind.EVALUATION_KEY, name)
            keys, digest = _split([content.part(place) for place in places], 2, name)
            yield EvaluationKey(bundle_id, key_id, keys, digest)


def _split(items: Sequence[Item], keys: int, name: str) -> tuple[tuple[Item, ...], str]:
    """The keys of a container's items, and the client's digest (hex), which is the last one.

    Raises: FormatError.
    """
    if len(items) != keys + 1 or len(items[-1]) not in (0, HASH_BYTES):
        raise FormatError(f"{name}: field 'items' is not {keys} and a sha256; the file is altered, make new keys")
    return tuple(items[:-1]), bytes(items[-1]).hex()


def content_digest(bundle_id: str, items: Sequence[Readable]) -> bytes:
    """sha256 over all that an evaluation key holds: its bundle, and the length and bytes of every item."""
    digest = hashlib.sha256(b"cipherpress evaluation key" + bytes.fromhex(bundle_id))
    for item in items:
        digest.update(len(item).to_bytes(8, "little"))
        add_hash(digest, item, len(item))
    return digest.digest()


def generate_keys(spec: ClientSpec, ring: Ring) -> tuple[SecretKey, EvaluationKey]:
    """Fresh keys for a bundle: the secret key, and the evaluation keys that its plan uses. They are packed and cut to
    the levels that the bundle states (`secure.switching`), or SEAL's seeded whole keys where it states none.

    Their key id is the start of the evaluation key's digest; it is drawn where the plan uses no evaluation key.
    Raises: InsecureParametersError, BackendError.
    """
    check_ring(ring)
    if ring.params != spec.params:
        raise InsecureParametersError("coeff_modulus: the ring's is not the bundle's; make the ring of its parameters")
    with native_errors("make keys"):
        generator = seal.KeyGenerator(ring.context)
        content = to_bytes(generator.secret_key())
        items = _own_items(spec, content) if spec.keys.levels else _seal_items(spec.keys, generator)
    key_id = content_digest(spec.bundle_id, items)[:KEY_ID_BYTES] if any(items) else secrets.token_bytes(KEY_ID_BYTES)
    made_with = client_digest(spec)
    secret = SecretKey(spec.bundle_id, key_id, content, made_with)
    return secret, EvaluationKey(spec.bundle_id, key_id, items, made_with)


def _own_items(spec: ClientSpec, content: bytes) -> tuple[bytes, bytes]:
    """Item 0 relinearizes, item 1 rotates; an empty item stands for a kind that the plan does not use.

    content: SEAL's bytes of the secret key.
    """
    from secure.switching.making import KeyMaker  # loads a compiler, which SEAL's keys do not need

    maker = KeyMaker(spec.params, content)
    try:
        galois = maker.galois_item(spec.keys.galois_elements, spec.keys.galois_levels)
        return maker.relin_item(spec.keys.relin_level), galois
    finally:
        maker.wipe()


def _seal_items(keys: KeyManifest, generator: Any) -> tuple[bytes, bytes]:
    """The same items as SEAL makes them."""
    relin = to_bytes(generator.create_relin_keys()) if keys.relinearize else b""
    elements = list(keys.galois_elements)
    return relin, to_bytes(generator.create_galois_keys(elements)) if elements else b""


def generate_secret_key(spec: BatchClientSpec, ring: Ring) -> SecretKey:
    """A fresh secret key for a bundle whose server needs no key, with an id that is drawn. ring: that of the key.

    Raises: InsecureParametersError, BackendError.
    """
    check_ring(ring)
    with native_errors("make keys"):
        native = seal.KeyGenerator(ring.context).secret_key()
    return SecretKey(spec.bundle_id, secrets.token_bytes(KEY_ID_BYTES), to_bytes(native), client_digest(spec))


def check_client_digest(found: str, wanted: str, name: str) -> None:
    """Raises: KeyMismatchError for keys that were made with another client.json."""
    if found != wanted:
        raise KeyMismatchError(
            f"{name}: it was made with client.json {found[:12] or '(unknown)'}, this bundle's is {wanted[:12]}; one of "
            "the two files is altered; take client.json from a source that you trust, and make new keys with keygen"
        )


def check_evaluation_key(key: EvaluationKey, bundle_id: str, manifest: KeyManifest, client: str | None = None) -> bytes:
    """The digest of a key for this bundle that has the id of its content and the items that the plan uses.

    client: the digest of the bundle's client.json, which the key must have been made with; None does not ask.
    Raises: KeyMismatchError for the key of another bundle or another client.json; FormatError.
    """
    check_belongs(Container(ContainerKind.EVALUATION_KEY, key.bundle_id, key.key_id, ()), bundle_id, "evaluation key")
    if client is not None:
        check_client_digest(key.client_digest, client, "evaluation key")
    if (
        len(key.items) != 2
        or bool(key.items[0]) != manifest.relinearize
        or bool(key.items[1]) != bool(manifest.galois_elements)
    ):
        raise FormatError(
            "evaluation key: it lacks a key the bundle uses, or has one it does not use; make new keys with keygen"
        )
    digest = content_digest(key.bundle_id, key.items)
    if any(key.items) and digest[:KEY_ID_BYTES] != key.key_id:
        raise FormatError(
            "evaluation key: field 'key id' is not the hash of its content; the file is altered, or of an older "
            "version; make new keys with keygen"
        )
    return digest


def load_evaluation_key(key: EvaluationKey, bundle_id: str, manifest: KeyManifest, ring: Ring) -> EvaluationKeys:
    """SEAL's objects of a client's key: exactly those of the manifest and no more, since each takes memory.

    Raises: KeyMismatchError for the key of another bundle; FormatError.
    """
    from secure.switching.loading import load_for_seal  # loads a compiler, which a client does not need

    check_evaluation_key(key, bundle_id, manifest)
    return load_for_seal(key.items, manifest, ring)


def write_keys(folder: Path, secret: SecretKey, evaluation: EvaluationKey, *, force: bool = False) -> None:
    """folder/secret.key (mode 0600) and folder/evaluation.key: both of them, or neither.

    Raises: OverwriteError when either exists and force is False; OSError with older keys as they were.
    """
    files = {
        SECRET_FILE: (secret.to_bytes(), PRIVATE_FILE_MODE),
        EVALUATION_FILE: (evaluation.to_bytes(), FILE_MODE),
    }
    write_files(Path(folder), files, force=force)
