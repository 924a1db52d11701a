"""Requests and replies of batches, mutated: their frames, the fields of each, and its bytes, with hashes computed
again."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path
from random import Random

import numpy as np

from secure.parties.container import HASH_BYTES, HEADER
from secure.streams.client import BatchClient
from secure.streams.frames import FrameLayout
from secure.streams.server import BatchServer
from tests.fuzz.byte_mutations import mutated_bytes
from tests.fuzz.trial import Case
from tests.secure.batches_by_hand import ONE_PRIME, bundle_of, squares

BLOCKS = 3
WHOLE_NUMBERS = (0, 1, 2, 3, 5, 1024, 1025, 2**31, 2**32 - 1)
LENGTHS = (0, 1, 31, 32, 33, 2**34, 2**63, 2**64 - 1)


@cache
def _parties() -> tuple[BatchClient, BatchServer, bytes, bytes]:
    """A client, its server, a request of three blocks and its reply."""
    bundle = bundle_of(squares(2, 2.0**13, 1), (2,), 2.0**13, params=ONE_PRIME)
    client, server = BatchClient(bundle.client), BatchServer(bundle.server)
    request = client.encrypt_batch(np.full(((BLOCKS - 1) * 1024 + 1, 2), 0.5))
    return client, server, request, server.run_batch(request)


def requests(folder: Path) -> Case:
    """A request that a server runs, from bytes and from a file."""
    _, server, request, _ = _parties()

    def use(changed: bytes, from_file: bool) -> object:
        return list(server.run_frames(server.read(BytesIO(changed)))) if from_file else server.run_batch(changed)

    return frames_case(request, server._requests, use)


def replies(folder: Path) -> Case:
    """A reply that a client decrypts, from bytes and from a file."""
    client, *_, reply = _parties()

    def use(changed: bytes, from_file: bool) -> object:
        return (
            list(client.decrypt_frames(client.read(BytesIO(changed)))) if from_file else client.decrypt_batch(changed)
        )

    return frames_case(reply, client._replies, use)


def frames_case(content: bytes, layout: FrameLayout, use: Callable[[bytes, bool], object]) -> Case:
    frames = [bytes(frame) for frame in layout.split(content, "batch")]

    def case(random: Random) -> tuple[str, Callable[[], object]]:
        way = random.choice(("frames", "field", "field", "field", "bytes"))
        if way == "bytes":
            changed, note = mutated_bytes(content, random)
        elif way == "frames":
            changed, note = _frames(frames, random)
        else:
            changed, note = _field(frames, layout, random)
        from_file = random.random() < 0.5
        return f"{way}: {note}", lambda: use(changed, from_file)

    return case


def _frames(frames: list[bytes], random: Random) -> tuple[bytes, str]:
    """Frames that are missing, repeated, exchanged, or cut."""
    found, place = list(frames), random.randrange(len(frames))
    change = random.choice(("drop", "repeat", "exchange", "cut", "cut", "more"))
    if change == "drop":
        del found[place]
    elif change == "repeat":
        found.insert(place, found[place])
    elif change == "exchange":
        found[place], found[place - 1] = found[place - 1], found[place]
    elif change == "cut":
        found[place] = found[place][: random.choice((0, 1, 63, 64, 100, random.randrange(len(found[place]))))]
    else:
        found.append(random.randbytes(random.choice((1, 63, 64, 96, 1000))))
    return b"".join(found), f"{change} {place}"


def _field(frames: list[bytes], layout: FrameLayout, random: Random) -> tuple[bytes, str]:
    """One number of a frame's header, lengths or first item, or residues of its end; mostly with the right hash."""
    found, place = list(frames), random.randrange(len(frames))
    body, items = bytearray(found[place]), len(layout.lengths)
    first = HEADER.size + 8 * items
    form, offset, value = random.choice(
        (
            ("<B", random.randrange(12), random.randrange(256)),
            ("<I", 12, random.choice(WHOLE_NUMBERS)),
            ("<Q", random.randrange(16, 56), random.randrange(2**64)),
            ("<Q", HEADER.size + 8 * random.randrange(items), random.choice(LENGTHS)),
            ("<Q", first + random.randrange(8), random.randrange(2**64)),
            ("<I", first + 16 + 4 * random.randrange(4), random.choice(WHOLE_NUMBERS)),
            ("<Q", len(body) - HASH_BYTES - 8 * random.randrange(1, 100), 2**64 - 1),
        )
    )
    struct.pack_into(form, body, offset, value)
    if random.random() < 0.9:
        body[-HASH_BYTES:] = hashlib.sha256(body[:-HASH_BYTES]).digest()
    found[place] = bytes(body)
    return b"".join(found), f"{form} {value} at {offset} of frame {place}"
