"""Files that are read back are checked: kind, version, hash and size."""

from pathlib import Path

import pytest

from compress import json_file
from compress.artifact import json_bytes, read_hashed, read_json
from compress.errors import FormatError


def test_json_is_deterministic_and_checked(tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(json_bytes({"version": 1, "kind": "toy"}))
    assert json_bytes({"kind": "toy", "version": 1}) == path.read_bytes()
    assert read_json(path, kind="toy", version=1) == {"kind": "toy", "version": 1}
    for content, text in (
        (b"[]", "holds list where an object is expected"),
        (b"{", "not valid JSON .*truncated or altered"),
        (b"\xff\xfe\xfa", "not valid JSON"),
        (b'{"kind": "other"}', "field 'kind' is 'other', expected 'toy'"),
        (b'{"kind": "toy", "version": 2}', "field 'version' is 2, this program reads 1"),
    ):
        path.write_bytes(content)
        with pytest.raises(FormatError, match=f"x.json: .*{text}"):
            read_json(path, kind="toy", version=1)
    path.unlink()
    with pytest.raises(FormatError, match="x.json: file not found; is this the right folder"):
        read_json(path, kind="toy", version=1)


def test_a_huge_json_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(json_file, "MAX_JSON_BYTES", 10)
    (tmp_path / "x.json").write_bytes(b" " * 11)
    with pytest.raises(FormatError, match="11 bytes; such a file has at most 10"):
        read_json(tmp_path / "x.json", kind="toy", version=1)


def test_content_with_another_hash_is_refused(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert read_hashed(tmp_path / "x", digest) == b"abc"
    with pytest.raises(FormatError, match="x: its sha256 is not the one recorded beside it"):
        read_hashed(tmp_path / "x", digest[::-1])
    with pytest.raises(FormatError, match="y: file not found"):
        read_hashed(tmp_path / "y", digest)


def test_a_file_that_does_not_fit_into_memory_is_a_typed_error(tmp_path, monkeypatch):
    """Unpacking a sparse file of a terabyte takes no room on the disk."""
    path = tmp_path / "constants.safetensors"
    path.write_bytes(b"x")

    def too_large(self):
        raise MemoryError

    monkeypatch.setattr(Path, "read_bytes", too_large)
    with pytest.raises(FormatError, match="constants.safetensors: cannot be read .it does not fit into memory."):
        read_hashed(path, "")
