"""The keys of one bundle in a folder: made there at first use, and bound to the bundle that they were made for.

secret.key, evaluation.key  as `cipherpress keygen` writes them
pinned.json                 the digest of the client.json that was seen first
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compress.artifact import json_bytes, write_file
from compress.errors import ConfigError, FormatError, OverwriteError
from compress.json_file import read_object
from secure.bundle.batch_specs import BatchClientSpec
from secure.bundle.specs import ClientSpec
from secure.parties.client import Client
from secure.parties.keys import EVALUATION_FILE, SECRET_FILE, SecretKey, write_keys
from secure.streams.client import BatchClient

PIN_FILE, PIN_KIND, PIN_VERSION = "pinned.json", "cipherpress-pin", 1
PRIVATE = 0o600


@dataclass(frozen=True)
class Keys:
    """A client with its keys. evaluation_key: the bytes for the server; empty where it needs none."""

    party: Client | BatchClient
    evaluation_key: bytes


def pinned_digest(folder: Path) -> str | None:
    """The digest of the client.json that the folder's keys belong to; None for a folder without.

    Raises: FormatError, OSError.
    """
    if (folder / PIN_FILE).exists():
        pin = read_object(folder / PIN_FILE)
        digest = pin.get("client_digest")
        if (pin.get("kind"), pin.get("version")) != (PIN_KIND, PIN_VERSION) or not isinstance(digest, str):
            raise FormatError(f"{folder / PIN_FILE}: it is no pin of this version; give another folder")
        return digest
    if (folder / SECRET_FILE).exists():
        return _secret_key(folder).client_digest
    return None


def pin(folder: Path, digest: str) -> None:
    """Bind a folder to a bundle, for ever.

    Raises: OSError.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (folder / PIN_FILE).exists():
        content = json_bytes({"kind": PIN_KIND, "version": PIN_VERSION, "client_digest": digest})
        write_file(folder / PIN_FILE, content, force=True)


def make_keys(spec: ClientSpec | BatchClientSpec, max_key_bytes: float) -> Keys:
    """New keys that are in memory alone.

    Raises: KeyBytesError, and as the parties do.
    """
    if isinstance(spec, BatchClientSpec):
        return Keys(BatchClient(spec), b"")
    client = Client(spec, max_key_bytes=max_key_bytes)
    return Keys(client, client.evaluation_key.to_bytes())


def load_or_make_keys(spec: ClientSpec | BatchClientSpec, folder: Path, max_key_bytes: float) -> Keys:
    """The folder's keys; new ones where it has none.

    Raises: ConfigError for a secret key without its evaluation key; KeyMismatchError, KeyBytesError, FormatError;
    OSError.
    """
    if not (folder / SECRET_FILE).exists():
        made = make_keys(spec, max_key_bytes)
        try:
            if isinstance(made.party, Client):
                write_keys(folder, made.party.secret_key, made.party.evaluation_key)
            else:
                write_file(folder / SECRET_FILE, made.party.secret_key.to_bytes(), mode=PRIVATE)
            return made
        except OverwriteError:  # another program made keys here meanwhile
            pass
    secret = _secret_key(folder)
    if isinstance(spec, BatchClientSpec):
        return Keys(BatchClient(spec, secret), b"")
    if not (folder / EVALUATION_FILE).exists():
        allowed = f"a folder with {EVALUATION_FILE} beside {SECRET_FILE}, or one without either"
        raise ConfigError("keys", str(folder), allowed)
    return Keys(Client(spec, secret), (folder / EVALUATION_FILE).read_bytes())


def _secret_key(folder: Path) -> SecretKey:
    return SecretKey.from_bytes((folder / SECRET_FILE).read_bytes(), str(folder / SECRET_FILE))
