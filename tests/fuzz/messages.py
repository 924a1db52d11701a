"""Keys and messages, mutated: fields of the container, items, and SEAL's bytes inside, with hashes computed again."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import zstandard

from secure.parties.client import Client
from secure.parties.container import HASH_BYTES, HEADER, Container, ContainerKind, parse
from secure.parties.keys import KEY_ID_BYTES, SecretKey, content_digest
from secure.parties.server import Server
from secure.seal.frame import HEADER as SEAL_HEADER
from secure.seal.frame import SEAL_MAGIC, ZSTD
from tests.fuzz.byte_mutations import mutated_bytes
from tests.fuzz.trial import Case
from tests.secure.key_items import sealed
from tests.secure.plans import small_bundle

#: The items of an evaluation key that its id is the hash of; the digest of client.json follows them.
KEY_ITEMS = 2
#: How an item of our own form begins, and the bytes before its seed.
OWN, OWN_HEAD_BYTES = b"CPS", 16


@cache
def _parties() -> tuple[Client, Server, bytes, bytes]:
    """A client, a server that knows it, a request and its reply."""
    bundle = small_bundle()
    client, server = Client(bundle.client), Server(bundle.server)
    server.register(client.evaluation_key)
    request = client.encrypt(np.full((4, 8), 0.5))
    return client, server, request, server.run(request)


def evaluation_keys(folder: Path) -> Case:
    """An evaluation key in SEAL's form that is offered to servers of both backends, and used where it is taken."""
    return _evaluation_keys(_parties()[0].evaluation_key.to_bytes())


def packed_keys(folder: Path) -> Case:
    """The same in our own form."""
    own = Client(small_bundle(own_keys=True).client).evaluation_key
    return _evaluation_keys(own.to_bytes())


def _evaluation_keys(content: bytes) -> Case:
    servers = [Server(small_bundle().server, backend=name, keys_bytes=10e6) for name in ("engine", "seal")]

    request = parse(_parties()[2], ContainerKind.REQUEST, "request")

    def use(changed: bytes, random: Random) -> Callable[[], object]:
        def act() -> None:
            server = random.choice(servers)
            key_id = server.register(changed)
            server.run(replace(request, key_id=key_id).to_bytes())  # an operation that finds no key reads past its end

        return act

    return container_case(content, ContainerKind.EVALUATION_KEY, use)


def secret_keys(folder: Path) -> Case:
    """A secret key that a client is made from; and no server takes it."""
    client, *_ = _parties()

    def use(changed: bytes, random: Random) -> Callable[[], object]:
        def act() -> None:
            again = Client(client.spec, SecretKey.from_bytes(changed))
            again.encrypt(np.full((4, 8), 0.5))

        return act

    return container_case(client.secret_key.to_bytes(), ContainerKind.SECRET_KEY, use)


def requests(folder: Path) -> Case:
    """A request that a server of either backend runs."""
    client, server, request, _ = _parties()
    servers = (server, Server(server.spec, backend="seal"))
    servers[1].register(client.evaluation_key)
    return container_case(
        request, ContainerKind.REQUEST, lambda changed, random: lambda: random.choice(servers).run(changed)
    )


def requests_by_seal(folder: Path) -> Case:
    """The same of a request whose ciphertexts have SEAL's form."""
    client, server, *_ = _parties()
    servers = (server, Server(server.spec, backend="seal"))
    servers[1].register(client.evaluation_key)
    request = Client(client.spec, client.secret_key, backend="seal").encrypt(np.full((4, 8), 0.5))
    return container_case(
        request, ContainerKind.REQUEST, lambda changed, random: lambda: random.choice(servers).run(changed)
    )


def replies(folder: Path) -> Case:
    """A reply that a client decrypts."""
    client, _, _, reply = _parties()
    return container_case(reply, ContainerKind.REPLY, lambda changed, random: lambda: client.decrypt(changed))


def replies_by_seal(folder: Path) -> Case:
    """The same of a reply whose ciphertexts have SEAL's form."""
    client, server, request, _ = _parties()
    by_seal = Server(server.spec, backend="seal")
    by_seal.register(client.evaluation_key)
    reply = by_seal.run(request)
    return container_case(reply, ContainerKind.REPLY, lambda changed, random: lambda: client.decrypt(changed))


def container_case(content: bytes, kind: ContainerKind, use: Callable[[bytes, Random], Callable[[], object]]) -> Case:
    container = parse(content, kind, "file")

    def case(random: Random) -> tuple[str, Callable[[], object]]:
        way = random.choice(("item", "item", "item", "container", "bytes"))
        if way == "bytes":
            changed, note = mutated_bytes(content, random)
        elif way == "container":
            changed, note = _container(container, random)
        else:
            changed, note = _items(container, random)
        if random.random() < 0.9 and len(changed) > HASH_BYTES:
            body = changed[:-HASH_BYTES]
            changed = body + hashlib.sha256(body).digest()
        return f"{way}: {note}", use(changed, random)

    return case


def _container(container: Container, random: Random) -> tuple[bytes, str]:
    """Other fields, items that are missing, repeated, empty or exchanged."""
    body = bytearray(container.to_bytes())
    change = random.choice(("number", "length", "kind", "id", "fewer", "more", "empty", "exchange", "padding"))
    items = list(container.items)
    if change == "number":
        struct.pack_into("<I", body, 12, random.choice((0, 2, 3, 4096, 4097, 2**32 - 1)))
    elif change == "length":
        struct.pack_into("<Q", body, HEADER.size, random.choice((0, 1, 2**34, 2**63, 2**64 - 1)))
    elif change == "kind":
        body[8] = random.randrange(8)
    elif change == "id":
        body[16 + random.randrange(48)] ^= 1
    elif change == "padding":
        body[9 + random.randrange(3)] = 7
    else:
        items = {
            "fewer": items[1:], "more": [*items, items[0]], "empty": [b"", *items[1:]], "exchange": items[::-1],
        }[change]  # fmt: skip
        return _packed(container, items), change
    return bytes(body), change


def _items(container: Container, random: Random) -> tuple[bytes, str]:
    """One item with other bytes inside its compression, or around it."""
    items = list(container.items)
    place = random.randrange(len(items))
    if items[place][: len(OWN)] == OWN and random.random() < 0.8:
        items[place], note = _own_form(items[place], random)
        return _packed(container, items), f"item {place}, {note}"
    head, packed = items[place][: SEAL_HEADER.size], items[place][SEAL_HEADER.size :]
    way = random.choice(("fields", "fields", "fields", "inside", "around", "bomb", "window"))
    if way == "around" or not packed:
        items[place], note = mutated_bytes(items[place], random)
    elif way == "bomb":
        items[place], note = _sealed_zeros(random.choice((10, 10**6, 10**8))), "zeros"
    elif way == "window":
        items[place], note = _with_window(packed, random), "window"
    else:
        body = bytearray(zstandard.ZstdDecompressor().decompressobj().decompress(packed) if head[5] == 2 else packed)
        if way == "fields":
            # SEAL's fields stand in the first hundred bytes, and again before every polynomial of a key
            offset = random.choice(
                (random.randrange(0, 120), random.randrange(0, len(body) - 8), 32, 40, 41, 49, 57, 65)
            )
            form, value = random.choice(
                (
                    ("<Q", random.choice((0, 1, 2, 3, 8, 4096, 2**32, 2**60, 2**64 - 1))),
                    ("<d", float("nan")),
                    ("<B", 0),
                    ("<B", 9),
                )
            )
            struct.pack_into(form, body, min(offset, len(body) - 8), value)
            note = f"{form} {value} at {offset}"
            changed: Any = bytes(body)
        else:
            changed, note = mutated_bytes(bytes(body), random)
        items[place] = sealed(changed)
    return _packed(container, items), f"item {place}, {way}, {note}"


@cache
def _sealed_zeros(count: int) -> bytes:
    """SEAL's header and so many zeros, made once: compressing 100 MB takes longer than most trials."""
    return sealed(bytes(count))


def _own_form(item: bytes, random: Random) -> tuple[bytes, str]:
    """An item of our own form with another number in its head, residues that may not be below their prime, or rows that
    are missing, repeated or moved."""
    body = bytearray(item)
    change = random.choice(("head", "seed", "residues", "residues", "cut", "extend", "repeat", "shift"))
    place = random.randrange(OWN_HEAD_BYTES, len(body) - 8)
    if change == "head":
        form = random.choice(("<B", "<I", "<Q"))
        offset = random.randrange(OWN_HEAD_BYTES)
        struct.pack_into(form, body, offset, random.choice((0, 1, 2, 3, 255)))
        place = offset
    elif change == "seed":
        body[OWN_HEAD_BYTES + random.randrange(32)] ^= 1 << random.randrange(8)
    elif change == "residues":
        body[place : place + 8] = random.choice((b"\xff" * 8, bytes(8), random.randbytes(8)))
    elif change == "cut":
        del body[place : place + random.choice((1, 8, 32, 1000, len(body)))]
    elif change == "extend":
        body[place:place] = random.randbytes(random.choice((1, 8, 32, 1000)))
    elif change == "repeat":
        body += body[place : place + random.choice((8, 4096))]
    else:
        body[OWN_HEAD_BYTES:] = body[place:] + body[OWN_HEAD_BYTES:place]
    return bytes(body), f"own form, {change} at {place} of {len(item)}"


def _with_window(packed: bytes, random: Random) -> bytes:
    """SEAL's header and a frame that asks its reader to hold another number of bytes."""
    body = bytearray(packed)
    if body[4] >> 5 & 1:  # a single segment states its content in the bytes that follow
        struct.pack_into("<I", body, 5, random.choice((0, 2**20, 2**26, 2**27, 2**32 - 1)))
    else:
        body[5] = random.randrange(256)
    return SEAL_HEADER.pack(SEAL_MAGIC, SEAL_HEADER.size, 4, 3, ZSTD, 0, SEAL_HEADER.size + len(body)) + bytes(body)


def _packed(container: Container, items: list[bytes]) -> bytes:
    """The container of these items; an evaluation key has the id that they give it."""
    key_id = container.key_id
    if container.kind is ContainerKind.EVALUATION_KEY:
        key_id = content_digest(container.bundle_id, tuple(items[:KEY_ITEMS]))[:KEY_ID_BYTES]
    return Container(container.kind, container.bundle_id, key_id, tuple(items)).to_bytes()
