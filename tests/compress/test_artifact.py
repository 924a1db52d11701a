"""Folders appear whole or not at all, and force deletes artifacts only."""

import os

import pytest

from compress import artifact
from compress.artifact import json_bytes, read_hashed, read_json, write_folder
from compress.errors import ConfigError, FormatError, OverwriteError

FILES = {"model.json": b"{}", "server/plan.json": b"[]"}


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_all_files_or_nothing(tmp_path):
    write_folder(tmp_path / "a" / "b", FILES)
    assert names(tmp_path) == ["a/b/model.json", "a/b/server/plan.json"]


def test_existing_outputs_need_force(tmp_path):
    write_folder(tmp_path / "m", FILES)
    with pytest.raises(OverwriteError, match="m exists; choose another output or pass --force"):
        write_folder(tmp_path / "m", {"model.json": b"new"})
    assert (tmp_path / "m" / "model.json").read_bytes() == b"{}"
    write_folder(tmp_path / "m", {"model.json": b"new"}, force=True)
    assert names(tmp_path) == ["m/model.json"]


def test_force_never_deletes_what_is_not_an_artifact(tmp_path):
    write_folder(tmp_path / "m", FILES)
    (tmp_path / "m" / "secret.key").write_bytes(b"dear")
    with pytest.raises(ConfigError, match="allowed: a new folder or an earlier artifact; this one holds 'secret.key'"):
        write_folder(tmp_path / "m", FILES, force=True)
    (tmp_path / "thesis.txt").write_bytes(b"dear")
    with pytest.raises(ConfigError, match="an earlier artifact; this is a file"):
        write_folder(tmp_path / "thesis.txt", FILES, force=True)
    assert names(tmp_path) == ["m/model.json", "m/secret.key", "m/server/plan.json", "thesis.txt"]


def test_a_refusing_disk_leaves_the_old_folder_and_nothing_else(tmp_path, monkeypatch):
    write_folder(tmp_path / "m", FILES)
    real = os.replace

    def refuse(source, target):
        if str(target).endswith("/m") and not str(source).endswith(".old"):
            raise OSError("disk")
        real(source, target)

    monkeypatch.setattr(artifact.os, "replace", refuse)
    with pytest.raises(OSError, match="disk"):
        write_folder(tmp_path / "m", {"model.json": b"new"}, force=True)
    assert names(tmp_path) == ["m/model.json", "m/server/plan.json"]
    assert os.listdir(tmp_path) == ["m"]


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
    monkeypatch.setattr(artifact, "MAX_JSON_BYTES", 10)
    (tmp_path / "x.json").write_bytes(b" " * 11)
    with pytest.raises(FormatError, match="11 bytes; such a file has at most 10"):
        read_json(tmp_path / "x.json", kind="toy", version=1)


def test_hashes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert read_hashed(tmp_path / "x", digest) == b"abc"
    with pytest.raises(FormatError, match="x: its sha256 is not the one recorded beside it"):
        read_hashed(tmp_path / "x", digest[::-1])
    with pytest.raises(FormatError, match="y: file not found"):
        read_hashed(tmp_path / "y", digest)
