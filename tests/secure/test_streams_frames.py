"""Frames of a batch: sizes come from the bundle alone, and frames that are damaged, missing or foreign are named."""

import hashlib
import io
import struct

import pytest

from compress.errors import FormatError, KeyMismatchError, SecretKeyError
from secure.parties.container import HASH_BYTES, HEADER, Container, ContainerKind, parse
from secure.streams.frames import Frame, FrameHead, answer_to, frame_head, in_order, reply_layout, request_layout
from tests.secure.batches_by_hand import BUNDLE_ID, ONE_PRIME, SEVERAL_PRIMES

KEY_ID, BATCH = b"k" * 16, b"b" * 16
REQUESTS = request_layout(BUNDLE_ID, SEVERAL_PRIMES, 2, 0)
REPLIES = reply_layout(BUNDLE_ID, ONE_PRIME, 3, 5)


def frame(block=0, blocks=3, images=7, layout=REQUESTS, batch=BATCH, key_id=KEY_ID):
    items = tuple(bytes([block + which]) * size for which, size in enumerate(layout.item_bytes))
    return Frame(key_id, FrameHead(batch, block, blocks, images), b"s" * layout.seed_bytes, items)


def content(*frames, layout=REQUESTS):
    return b"".join(layout.to_bytes(one) for one in frames)


def reread(frames, layout=REQUESTS):
    return list(in_order((layout.parse(one, f"x, frame {number}") for number, one in enumerate(frames)), "x"))


def sealed(body):
    """A frame's bytes with the hash that they should have."""
    return bytes(body[:-HASH_BYTES]) + hashlib.sha256(body[:-HASH_BYTES]).digest()


BATCH_OF_3 = [frame(number) for number in range(3)]
VALID = content(*BATCH_OF_3)


def test_sizes_follow_from_the_bundle():
    assert REQUESTS.item_bytes == tuple(2 * 4096 * bits // 8 for bits in (40, 31, 33))
    assert REQUESTS.lengths[:2] == (32, 32)
    assert REPLIES.item_bytes == (3 * 5 * 2048 * 41 // 8,)
    assert REPLIES.lengths[:2] == (32, 0)
    assert request_layout(BUNDLE_ID, ONE_PRIME, 3, 9).item_bytes == (3 * 2048 * 32 // 8,)
    for layout in (REQUESTS, REPLIES):
        assert len(content(frame(layout=layout), layout=layout)) == layout.frame_bytes
        assert layout.frame_bytes % 8 == 0
        container = parse(content(frame(layout=layout), layout=layout), layout.kind, "x")
        assert all(len(item) == size for item, size in zip(container.items, layout.lengths, strict=True))


def test_frames_are_read_back_from_bytes_and_from_a_file():
    assert reread(REQUESTS.split(VALID, "x")) == BATCH_OF_3
    assert reread(REQUESTS.read(io.BytesIO(VALID), "x")) == BATCH_OF_3
    assert [frame_head(one) for one in REQUESTS.split(VALID, "x")] == [one.head for one in BATCH_OF_3]
    unknown = [frame(number, blocks=0) for number in range(2)]
    assert reread(REQUESTS.split(content(*unknown), "x")) == unknown


def test_an_answer_keeps_the_place_of_its_request():
    answer = answer_to(BATCH_OF_3[1], [bytes(size) for size in REPLIES.item_bytes])
    found = REPLIES.parse(content(answer, layout=REPLIES), "reply")
    assert (found.head, found.key_id, found.seed) == (BATCH_OF_3[1].head, KEY_ID, b"")


@pytest.mark.parametrize(
    "frames, message",
    [
        ([], "x: it holds no frame"),
        ([frame(1), frame(2)], "x, frame 0: field 'block' is 1, expected 0; frames before it are missing"),
        ([frame(0), frame(2)], "x, frame 1: field 'block' is 2, expected 1; frames before it are missing"),
        ([frame(0), frame(0)], "x, frame 1: field 'block' is 0, expected 1; it is repeated or out of order"),
        ([frame(0), frame(1), frame(0)], "x, frame 2: field 'block' is 0, expected 2; it is repeated"),
        ([frame(0), frame(1)], "x: 2 of 3 frames; the last ones are missing"),
        ([*BATCH_OF_3, frame(3)], "x, frame 3: field 'blocks' is 3; it does not fit the other frames"),
        ([frame(0), frame(1, blocks=4)], "x, frame 1: field 'blocks' is 4; it does not fit"),
        ([frame(0), frame(1, blocks=0)], "x, frame 1: field 'blocks' is 0; it does not fit"),
        ([frame(0), frame(1, batch=b"c" * 16)], "x, frame 1: it belongs to batch 63636363, those before it to 6262"),
        ([frame(0, images=0)], "x, frame 0: field 'images' is 0, a block holds 1 to 2048"),
        ([frame(0, images=2049)], "x, frame 0: field 'images' is 2049, a block holds 1 to 2048"),
    ],
)  # fmt: skip
def test_frames_that_do_not_make_a_batch_are_named(frames, message):
    with pytest.raises(FormatError) as caught:
        reread(REQUESTS.split(content(*frames), "x"))
    assert str(caught.value).startswith(message)


def test_a_frame_under_another_key_is_refused():
    with pytest.raises(KeyMismatchError, match=r"x, frame 1: it was made with key 6f6f6f6f, those before it with 6b6b"):
        reread(REQUESTS.split(content(frame(0), frame(1, key_id=b"o" * 16)), "x"))


class Watched(io.BytesIO):
    """A file that remembers how much was asked of it at once."""

    def __init__(self, body):
        super().__init__(body)
        self.asked = []

    def read(self, size=-1):
        self.asked.append(size)
        return super().read(size)


def changed(offset, value, form="<Q"):
    body = bytearray(VALID[: REQUESTS.frame_bytes])
    struct.pack_into(form, body, offset, value)
    return sealed(body)


LENGTHS = HEADER.size
HOSTILE = [
    (changed(12, 2**32 - 1, "<I"), FormatError, "field 'items' is 4294967295"),
    (changed(12, 4, "<I"), FormatError, "field 'items' is 4, a frame of this bundle has 5"),
    (changed(LENGTHS, 2**64 - 1), FormatError, "item 0 has 18446744073709551615 bytes, in this bundle it has 32"),
    (changed(LENGTHS + 8, 0), FormatError, "item 1 has 0 bytes, in this bundle it has 32"),
    (changed(LENGTHS + 16, 2**34), FormatError, "item 2 has 17179869184 bytes, in this bundle it has 40960"),
    (changed(16, 0), KeyMismatchError, "it belongs to bundle 0000"),
    (changed(0, 0), FormatError, "field 'magic'"),
    (changed(8, ContainerKind.BATCH_REPLY, "<B"), FormatError, "field 'kind' is batch reply, expected batch request"),
    (changed(8, ContainerKind.REQUEST, "<B"), FormatError, "field 'kind' is request, expected batch request"),
    (changed(8, ContainerKind.SECRET_KEY, "<B"), SecretKeyError, "this is a secret key; a server must never have one"),
    (changed(9, 1, "<B"), FormatError, "field 'kind'"),
    (VALID[:63], FormatError, "63 bytes are too few for a frame"),
    (VALID[:80], FormatError, "field 'lengths' is cut off"),
]


@pytest.mark.parametrize("body, error, message", HOSTILE)
def test_a_wrong_start_is_refused_before_anything_of_the_stated_size_is_read(body, error, message):
    file = Watched(body)
    with pytest.raises(error, match=message):
        list(REQUESTS.read(file, "x"))
    assert file.asked == [HEADER.size + 8 * len(REQUESTS.lengths)]
    with pytest.raises(error, match=message):
        list(REQUESTS.split(body, "x"))
    with pytest.raises(error, match=message):
        REQUESTS.parse(body, "x")


def test_a_frame_that_ends_early_is_refused():
    for cut in (1, 100, REQUESTS.frame_bytes - 200):
        for frames in (REQUESTS.read(io.BytesIO(VALID[:-cut]), "x"), REQUESTS.split(VALID[:-cut], "x")):
            with pytest.raises(FormatError, match=f"x, frame 2: it ends after {REQUESTS.frame_bytes - cut} of"):
                list(frames)


@pytest.mark.parametrize("offset", [20, 50, HEADER.size + 41, HEADER.size + 60, HEADER.size + 90, 4000, -40, -1])
def test_a_changed_byte_is_found_by_the_hash(offset):
    body = bytearray(VALID[: REQUESTS.frame_bytes])
    body[offset] ^= 1
    with pytest.raises((FormatError, KeyMismatchError), match="sha256|bundle"):
        REQUESTS.parse(bytes(body), "x")


def test_padding_of_the_head_is_zero():
    start = HEADER.size + 8 * len(REQUESTS.lengths)
    with pytest.raises(FormatError, match="field 'padding' is 9, expected 0"):
        REQUESTS.parse(changed(start + 28, 9, "<I"), "x")
    assert REQUESTS.parse(changed(start + 24, 9, "<I"), "x").head.images == 9


def test_reading_takes_one_frame_at_a_time():
    many = [frame(number, blocks=0) for number in range(5)]
    file = Watched(content(*many))
    for number, one in enumerate(REQUESTS.read(file, "x")):
        assert file.tell() == (number + 1) * REQUESTS.frame_bytes == (number + 1) * len(one)
    assert max(file.asked) < REQUESTS.frame_bytes


def test_other_containers_are_no_frames():
    other = Container(ContainerKind.BATCH_REQUEST, BUNDLE_ID, KEY_ID, (b"one",)).to_bytes()
    with pytest.raises(FormatError, match="field 'items' is 1, a frame of this bundle has 5"):
        REQUESTS.parse(other, "x")
    with pytest.raises(FormatError, match="field 'kind' is batch request, expected batch reply"):
        REPLIES.parse(VALID, "x")
    assert REQUESTS.parse(sealed(VALID[: REQUESTS.frame_bytes]), "x") == BATCH_OF_3[0]
