"""Files and folders are written whole or not at all, and force replaces only artifacts of cipherpress."""

import ast
import errno
import os
import stat
from pathlib import Path

import pytest
from arch.rooms import INSTALLED, ROOT, python_files

from compress import artifact, json_file
from compress.artifact import (
    check_output_folder,
    json_bytes,
    write_file,
    write_files,
    write_folder,
    write_stream,
)
from compress.artifact_kinds import KINDS, folder_kind, foreign_entry
from compress.errors import ConfigError, OverwriteError

DIGEST = "0a" * 32
MODEL = {"model.json": json_bytes({"kind": "network", "version": 1, "tensors_sha256": DIGEST})}
BUNDLE = {
    "client.json": json_bytes({"kind": "cipherpress-client", "version": 2, "bundle_id": DIGEST}),
    "server/plan.json": b"[]",
}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def disk_full(monkeypatch: pytest.MonkeyPatch, after_bytes: int) -> None:
    """Make every file that the writer opens refuse more than so many bytes."""
    real_open, real_fdopen = Path.open, os.fdopen

    class Full:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, content):
            self.file.write(content[:after_bytes])
            self.file.flush()
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(artifact.os, "fdopen", lambda *given: Full(real_fdopen(*given)))
    monkeypatch.setattr(
        Path,
        "open",
        lambda path, mode="r", *rest, **more: (
            Full(real_open(path, mode, *rest, **more)) if "w" in mode else real_open(path, mode, *rest, **more)
        ),
    )


# -- files


def test_a_file_appears_with_its_mode_and_needs_force_to_be_replaced(tmp_path):
    write_file(tmp_path / "new" / "x", b"1", mode=0o600)
    path = tmp_path / "new" / "x"
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"1", 0o600)
    with pytest.raises(OverwriteError, match="x exists; choose another output or pass --force to replace it") as found:
        write_file(path, b"2")
    assert found.value.path == str(path)
    assert path.read_bytes() == b"1"
    write_file(path, b"2", force=True)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"2", 0o644)


def test_a_folder_is_never_replaced_by_a_file(tmp_path):
    (tmp_path / "keys").mkdir()
    with pytest.raises(ConfigError, match="output: got '.*keys'; allowed: a file; this is a folder"):
        write_file(tmp_path / "keys", b"1", force=True)
    with pytest.raises(ConfigError, match="allowed: a file; this is a folder"):
        write_files(tmp_path, {"x": (b"1", 0o644), "keys": (b"2", 0o644)}, force=True)
    assert os.listdir(tmp_path) == ["keys"]


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_else(tmp_path, monkeypatch):
    with pytest.raises(TypeError, match="a bytes-like object is required, not 'str'"):
        write_file(tmp_path / "x", "text, not bytes")
    assert os.listdir(tmp_path) == []
    write_file(tmp_path / "x", b"older")
    disk_full(monkeypatch, 2)
    with pytest.raises(OSError, match="No space left"):
        write_file(tmp_path / "x", b"newer", force=True)
    with pytest.raises(OSError, match="No space left"):
        write_files(tmp_path, {"x": (b"newer", 0o644), "y": (b"newer", 0o644)}, force=True)
    assert contents(tmp_path) == {"x": b"older"}


def test_a_stream_is_written_part_after_part_or_not_at_all(tmp_path):
    made = []

    def parts(count):
        for number in range(count):
            made.append(number)
            assert not (tmp_path / "x").exists()
            yield bytes([number]) * 3
        if count == 2:
            raise ValueError("no third part")

    with pytest.raises(ValueError, match="no third part"):
        write_stream(tmp_path / "x", parts(2))
    assert os.listdir(tmp_path) == []
    assert write_stream(tmp_path / "x", parts(3)) == 9
    assert contents(tmp_path) == {"x": b"\0\0\0\1\1\1\2\2\2"}
    with pytest.raises(OverwriteError, match="x exists"):
        write_stream(tmp_path / "x", parts(5))
    assert made == [0, 1, 0, 1, 2]


def test_files_that_belong_together_are_replaced_together(tmp_path):
    write_files(tmp_path, {"x": (b"1", 0o644), "y": (b"1", 0o600)})
    (tmp_path / "other").write_bytes(b"dear")
    with pytest.raises(OverwriteError, match="y exists"):
        write_files(tmp_path, {"z": (b"2", 0o644), "y": (b"2", 0o644)})
    write_files(tmp_path, {"x": (b"2", 0o644), "y": (b"2", 0o600)}, force=True)
    assert contents(tmp_path) == {"x": b"2", "y": b"2", "other": b"dear"}


# -- folders


def test_a_folder_is_written_whole_or_not_at_all(tmp_path):
    write_folder(tmp_path / "a" / "b", BUNDLE)
    assert contents(tmp_path / "a" / "b") == BUNDLE
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o755


def test_existing_outputs_need_force_and_are_replaced_whole(tmp_path):
    write_folder(tmp_path / "m", BUNDLE)
    with pytest.raises(OverwriteError, match="m exists; choose another output or pass --force"):
        write_folder(tmp_path / "m", MODEL)
    assert contents(tmp_path / "m") == BUNDLE
    write_folder(tmp_path / "m", MODEL, force=True)
    assert contents(tmp_path / "m") == MODEL
    assert os.listdir(tmp_path) == ["m"]


def test_an_empty_folder_may_be_used(tmp_path):
    (tmp_path / "m").mkdir()
    with pytest.raises(OverwriteError, match="m exists"):
        write_folder(tmp_path / "m", MODEL)
    write_folder(tmp_path / "m", MODEL, force=True)
    assert contents(tmp_path / "m") == MODEL


def test_the_folder_behind_a_link_is_replaced_and_the_link_stays(tmp_path):
    write_folder(tmp_path / "m", BUNDLE)
    (tmp_path / "link").symlink_to(tmp_path / "m")
    write_folder(tmp_path / "link", MODEL, force=True)
    assert (tmp_path / "link").is_symlink()
    assert contents(tmp_path / "m") == MODEL
    assert sorted(os.listdir(tmp_path)) == ["link", "m"]


FOREIGN = {
    "photos": ({"cat.jpg": b"cat"}, "cat.jpg"),
    "a model.json of another program": ({"model.json": b'{"kind": "network", "layers": []}'}, "model.json"),
    "a model.json that is no JSON": ({"model.json": b"model"}, "model.json"),
    "a model.json of another kind": (
        {"model.json": json_bytes({"kind": "gpt", "version": 1, "tensors_sha256": DIGEST})},
        "model.json",
    ),
    "a report.json": ({"report.json": b"{}"}, "report.json"),
    "a server": ({"server/plan.json": b"{}"}, "server"),
    "a client.json of another program": ({"client.json": b'{"kind": "oauth", "version": 1}'}, "client.json"),
    "keys": ({"secret.key": b"dear", "evaluation.key": b""}, "evaluation.key"),
    "an artifact and keys": ({**MODEL, "secret.key": b"dear"}, "secret.key"),
    "a network and a report": ({**MODEL, "report.json": b"{}"}, "report.json"),
    "a bundle with a file in a folder of it": ({**BUNDLE, "server/notes.txt": b"dear"}, "server/notes.txt"),
    "a bundle with a folder": ({**BUNDLE, "server/old/x": b"dear"}, "server/old"),
    "a bundle with a network": ({**BUNDLE, **MODEL}, "client.json"),
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("new", [MODEL, BUNDLE], ids=["network", "bundle"])
def test_force_never_touches_what_is_not_an_artifact(tmp_path, name, new):
    files, foreign = FOREIGN[name]
    folder = tmp_path / "m"
    for file, content in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)
    text = (
        f"output: got '.*m'; allowed: a new folder, an empty folder or an earlier artifact of cipherpress; "
        f"this folder also holds '{foreign}'; choose another"
    )
    with pytest.raises(ConfigError, match=text):
        write_folder(folder, new, force=True)
    with pytest.raises(ConfigError, match=text):
        check_output_folder(folder, force=True)
    assert contents(folder) == files
    assert os.listdir(tmp_path) == ["m"]


def test_force_replaces_no_file_and_follows_no_link_inside_a_folder(tmp_path):
    (tmp_path / "thesis.txt").write_bytes(b"dear")
    with pytest.raises(ConfigError, match="this is a file; choose another"):
        write_folder(tmp_path / "thesis.txt", MODEL, force=True)
    write_folder(tmp_path / "m", MODEL)
    (tmp_path / "m" / "model.safetensors").symlink_to(tmp_path / "thesis.txt")
    with pytest.raises(ConfigError, match="also holds 'model.safetensors'"):
        write_folder(tmp_path / "m", MODEL, force=True)
    assert (tmp_path / "thesis.txt").read_bytes() == b"dear"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_an_artifact_is_known_by_what_its_file_says(tmp_path, kind):
    record = {"kind": kind.kind, "version": 1, kind.digest_field: DIGEST}
    write_folder(tmp_path / "m", {name: b"" for name in kind.files} | {kind.identity: json_bytes(record)})
    assert folder_kind(tmp_path / "m") is kind
    assert foreign_entry(tmp_path / "m") is None
    for field, value in (("kind", "other"), ("version", "1"), (kind.digest_field, DIGEST[1:]), (kind.digest_field, 5)):
        (tmp_path / "m" / kind.identity).write_bytes(json_bytes({**record, field: value}))
        assert folder_kind(tmp_path / "m") is None
        assert foreign_entry(tmp_path / "m") == sorted({name.split("/")[0] for name in kind.files})[0]


def test_a_huge_identity_file_is_not_read(tmp_path, monkeypatch):
    write_folder(tmp_path / "m", MODEL)
    monkeypatch.setattr(json_file, "MAX_JSON_BYTES", 10)
    assert folder_kind(tmp_path / "m") is None


def test_a_full_disk_leaves_the_old_folder_and_nothing_else(tmp_path, monkeypatch):
    write_folder(tmp_path / "m", BUNDLE)
    disk_full(monkeypatch, 3)
    with pytest.raises(OSError, match="No space left"):
        write_folder(tmp_path / "m", MODEL, force=True)
    with pytest.raises(OSError, match="No space left"):
        write_folder(tmp_path / "new", MODEL)
    assert contents(tmp_path / "m") == BUNDLE
    assert os.listdir(tmp_path) == ["m"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_refused_move_brings_the_old_folder_back(tmp_path, monkeypatch, error):
    write_folder(tmp_path / "m", BUNDLE)
    real = os.replace

    def refuse(source, target):
        if str(target).endswith("/m") and not str(source).endswith(".old"):
            raise error("disk")
        real(source, target)

    monkeypatch.setattr(artifact.os, "replace", refuse)
    with pytest.raises(error, match="disk"):
        write_folder(tmp_path / "m", MODEL, force=True)
    assert contents(tmp_path / "m") == BUNDLE
    assert os.listdir(tmp_path) == ["m"]


# -- the only writer

#: Other code of the installed packages that writes files, each with the reason why its file is not an artifact.
OTHER_WRITERS = {
    "secure/seal/context.py": "SEAL reads and writes through the path of a memory file",
    "cipherpress/commands/shipped.py": "a folder that lasts as long as the server; its bundle is saved as any other",
    "cipherpress/remote/talking.py": "a client part from the server, read by the loader of files and removed",
    "cipherpress/service/keystore.py": "uploads that grow piece by piece, and get their last name when complete",
    "cipherpress/service/parties.py": "replies of batches, frame by frame, into the same folder",
    "cipherpress/service/replica.py": "a replica's own copies of what reached it as bytes",
    "cipherpress/service/spool.py": "bodies of batches, below the data folder, gone when the server starts or stops",
    "cipherpress/service/service.py": "a data folder that lasts as long as the server, where none was given",
}
WRITING_MODULES = {"tempfile", "shutil"}


def test_no_other_code_of_the_installed_packages_writes_files():
    found = set()
    for path in python_files(*INSTALLED, "cli.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if _writes(node):
                found.add(path.relative_to(ROOT).as_posix())
    assert found - {"compress/artifact.py"} == OTHER_WRITERS.keys()


def _writes(node: ast.AST) -> bool:
    """Whether a node is an import or a call that can write a file; savefig into a buffer does not count."""
    if isinstance(node, ast.Import):
        return any(alias.name in WRITING_MODULES for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.module in WRITING_MODULES or any(alias.name == "save_file" for alias in node.names)
    if not isinstance(node, ast.Call):
        return False
    modes = [value.value for value in (*node.args[1:2], *(k.value for k in node.keywords if k.arg == "mode"))
             if isinstance(value, ast.Constant) and isinstance(value.value, str)]  # fmt: skip
    if isinstance(node.func, ast.Name):
        return node.func.id == "open" and any(set(mode) & set("wax+") for mode in modes)
    if not isinstance(node.func, ast.Attribute):
        return False
    owner, name = node.func.value, node.func.attr
    of_os = isinstance(owner, ast.Name) and owner.id == "os"
    if name in {"replace", "rename", "link", "symlink"}:
        return of_os
    if name == "savefig":
        return not (node.args and isinstance(node.args[0], ast.Name) and node.args[0].id in {"buffer", "picture"})
    if name == "open":
        return any(set(mode) & set("wax+") for mode in [*modes, *_first_text(node)])
    return name in {"write_bytes", "write_text", "save_file", "tofile", "savez"}


def _first_text(node: ast.Call) -> list[str]:
    first = node.args[0] if node.args else None
    return [first.value] if isinstance(first, ast.Constant) and isinstance(first.value, str) else []


@pytest.mark.parametrize(
    "code",
    [
        "import tempfile",
        "from shutil import move",
        "path.write_bytes(b'')",
        "path.write_text('')",
        "open(path, 'wb')",
        "path.open('a')",
        "path.open(mode='x')",
        "os.replace(a, b)",
        "figure.savefig(path)",
        "from safetensors.torch import save_file",
    ],
)
def test_the_search_for_writers_finds_every_way_to_write(code):
    assert any(_writes(node) for node in ast.walk(ast.parse(code)))
