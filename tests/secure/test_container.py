"""The container: its content is read back, and hostile bytes give a FormatError and no other error."""

import hashlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.errors import FormatError, KeyMismatchError, SecretKeyError
from secure.parties.container import (
    HASH_BYTES,
    HEADER,
    MAGIC,
    MAX_ITEMS,
    Container,
    ContainerKind,
    check_belongs,
    kind_of,
    parse,
    parse_for_server,
)

BUNDLE, KEY = "ab" * 32, b"k" * 16
ITEMS = (b"first", b"", b"third item")
VALID = Container(ContainerKind.REQUEST, BUNDLE, KEY, ITEMS).to_bytes()


def resealed(content):
    """The same bytes with a correct hash, as an attacker would send them."""
    return content[:-HASH_BYTES] + hashlib.sha256(content[:-HASH_BYTES]).digest()


@given(
    kind=st.sampled_from(ContainerKind),
    bundle=st.binary(min_size=32, max_size=32),
    key=st.binary(min_size=16, max_size=16),
    items=st.lists(st.binary(max_size=40), min_size=1, max_size=6),
)
def test_the_content_is_read_back(kind, bundle, key, items):
    container = Container(kind, bundle.hex(), key, tuple(items))
    content = container.to_bytes()
    assert kind_of(content) is kind
    assert parse(content, kind, "x.ct") == container


def test_the_bytes_are_those_of_the_specification():
    body = b"CIPHPRS2" + bytes([1, 0, 0, 0]) + struct.pack("<I", 3) + bytes.fromhex(BUNDLE) + KEY
    body += struct.pack("<3Q", 5, 0, 10) + b"first" + b"third item"
    assert VALID == body + hashlib.sha256(body).digest()


@given(st.binary(max_size=400))
def test_random_bytes_are_a_format_error(content):
    with pytest.raises(FormatError, match="^x.ct: "):
        parse(content, ContainerKind.REQUEST, "x.ct")


@given(st.integers(0, len(VALID) - 1))
def test_truncated_bytes_are_a_format_error(length):
    with pytest.raises(FormatError, match="^x.ct: "):
        parse(VALID[:length], ContainerKind.REQUEST, "x.ct")


@given(st.integers(0, len(VALID) - 1), st.integers(0, 7))
def test_one_flipped_bit_is_a_format_error(position, bit):
    altered = bytearray(VALID)
    altered[position] ^= 1 << bit
    with pytest.raises(FormatError, match="^x.ct: field '"):
        parse(bytes(altered), ContainerKind.REQUEST, "x.ct")


@settings(max_examples=200)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 2**64 - 1), min_size=3, max_size=3))
def test_sealed_bytes_with_other_counts_and_lengths_are_a_format_error(count, lengths):
    head = HEADER.pack(MAGIC, 1, b"\0\0\0", count, bytes.fromhex(BUNDLE), KEY)
    altered = resealed(head + struct.pack("<3Q", *lengths) + VALID[HEADER.size + 24 :])
    if count == 3 and sum(lengths) == sum(map(len, ITEMS)):
        return
    with pytest.raises(FormatError, match="^x.ct: field '(items|lengths)'"):
        parse(altered, ContainerKind.REQUEST, "x.ct")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x.ct: 0 bytes are too few for a cipherpress file"),
        (resealed(b"CIPHPRS3" + VALID[8:]), "field 'magic' is not CIPHPRS2"),
        (resealed(VALID[:8] + b"\x02" + VALID[9:]), "field 'kind' is reply, expected request; give the right file"),
        (resealed(VALID[:8] + b"\x63" + VALID[9:]), r"field 'kind' is unknown \(99\), expected request"),
        (resealed(VALID[:9] + b"\x01" + VALID[10:]), "field 'kind' is request"),
        (resealed(VALID[:12] + struct.pack("<I", 0) + VALID[16:]), f"field 'items' is 0, allowed are 1 to {MAX_ITEMS}"),
        (
            resealed(VALID[:12] + struct.pack("<I", 2**31) + VALID[16:]),
            f"field 'items' is 2147483648, allowed are 1 to {MAX_ITEMS}",
        ),
        (
            resealed(VALID[:12] + struct.pack("<I", 99) + VALID[16:]),
            "field 'lengths' is cut off; the file is truncated",
        ),
        (resealed(VALID[:64] + struct.pack("<Q", 2**63) + VALID[72:]), "field 'lengths' promises 92233720368547758"),
        (VALID[:-1] + bytes([VALID[-1] ^ 1]), "field 'sha256' does not match the content; the file is altered"),
        (VALID + b"tail", "field 'lengths' promises 15 bytes"),
    ],
)
def test_each_refusal_names_its_field(content, message):
    with pytest.raises(FormatError, match=message):
        parse(content, ContainerKind.REQUEST, "x.ct")


def test_a_server_refuses_a_secret_key_before_reading_on():
    header_only = Container(ContainerKind.SECRET_KEY, BUNDLE, KEY, (b"secret",)).to_bytes()[: HEADER.size]
    with pytest.raises(SecretKeyError, match="x.ct: this is a secret key; a server must never have one"):
        parse_for_server(header_only, ContainerKind.EVALUATION_KEY, "x.ct")
    with pytest.raises(FormatError, match="field 'kind' is request, expected evaluation key"):
        parse_for_server(VALID, ContainerKind.EVALUATION_KEY, "x.ct")


def test_another_bundle_is_named():
    with pytest.raises(KeyMismatchError, match="x.ct: it belongs to bundle abababababab, this is bundle cdcdcdcdcdcd"):
        check_belongs(parse(VALID, ContainerKind.REQUEST, "x.ct"), "cd" * 32, "x.ct")


def test_bytes_beyond_the_promised_lengths_are_refused_even_under_a_hash_of_their_own():
    body = Container(ContainerKind.REQUEST, "ab" * 32, b"k" * 16, (b"item",)).to_bytes()[:-32] + b"more"
    with pytest.raises(FormatError, match="x.ct: field 'lengths' promises 4 bytes; the file is truncated or altered"):
        parse(body + hashlib.sha256(body).digest(), ContainerKind.REQUEST, "x.ct")


def test_the_text_of_a_container_shows_none_of_its_items():
    shown = repr(Container(ContainerKind.SECRET_KEY, "ab" * 32, bytes(16), (b"the secret",)))
    assert "secret'" not in shown and "the secret" not in shown
    assert "SECRET_KEY" in shown
