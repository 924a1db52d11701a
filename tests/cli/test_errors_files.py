"""A command ends with one line that names the file when a file is missing, damaged or of another kind."""

from pathlib import Path

import pytest

from tests.cli.failing import fails
from tests.small_road import Road


@pytest.mark.parametrize("damage", ["truncated", "altered", "empty"])
@pytest.mark.parametrize("file", ["plain/model.safetensors", "small/model.safetensors", "friendly/model.safetensors"])
def test_damaged_models_are_refused(road: Road, tmp_path: Path, file: str, damage: str) -> None:
    folder = _copy(road, file.split("/")[0], tmp_path)
    _damage(folder / "model.safetensors", damage)
    command = ("compile",) if file.startswith("friendly") else ("convert", "--model", road.factory)
    line = fails(tmp_path, *command, folder, "--data", road.data, "-o", tmp_path / "out")
    assert "model.safetensors" in line


@pytest.mark.parametrize("damage", ["truncated", "altered", "empty"])
@pytest.mark.parametrize("file", ["client.json", "server/plan.json", "server/constants.safetensors"])
def test_damaged_bundles_are_refused(road: Road, tmp_path: Path, file: str, damage: str) -> None:
    folder = _copy(road, "bundle", tmp_path)
    _damage(folder / file, damage)
    assert Path(file).name in fails(tmp_path, "inspect", folder)


@pytest.mark.parametrize("damage", ["truncated", "altered", "empty", "another"])
@pytest.mark.parametrize("command", ["run", "decrypt", "inspect"])
def test_damaged_ciphertexts_are_refused(road: Road, tmp_path: Path, command: str, damage: str) -> None:
    source = tmp_path / "damaged.ct"
    source.write_bytes(Path(road.path("y.ct" if command == "decrypt" else "x.ct")).read_bytes())
    _damage(source, damage)
    if command == "inspect":
        line = fails(tmp_path, "inspect", source)
    else:
        key = road.path("keys/evaluation.key" if command == "run" else "keys/secret.key")
        line = fails(tmp_path, command, road.path("bundle"), "--key", key, "--input", source, "-o", tmp_path / "out")
    assert "damaged.ct" in line


@pytest.mark.parametrize("damage", ["truncated", "altered", "empty", "another"])
@pytest.mark.parametrize(("command", "name"), [("run", "evaluation.key"), ("encrypt", "secret.key")])
def test_damaged_keys_are_refused(road: Road, tmp_path: Path, command: str, name: str, damage: str) -> None:
    key = tmp_path / name
    key.write_bytes(Path(road.path(f"keys/{name}")).read_bytes())
    _damage(key, damage)
    source = road.path("x.ct" if command == "run" else "x.npy")
    line = fails(tmp_path, command, road.path("bundle"), "--key", key, "--input", source, "-o", tmp_path / "out")
    assert name in line


def _copy(road: Road, name: str, folder: Path) -> Path:
    for path in Path(road.path(name)).rglob("*"):
        if path.is_file():
            target = folder / name / path.relative_to(road.path(name))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return folder / name


def _damage(path: Path, damage: str) -> None:
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        content = content[: len(content) * 2 // 3]
    elif damage == "altered":
        content[len(content) // 2] ^= 1
    elif damage == "empty":
        content = bytearray()
    else:
        content = bytearray(b"\x93NUMPY something else entirely")
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("missing", "arguments"),
    [
        ("no-bundle", ("keygen", "{tmp}/no-bundle", "-o", "{tmp}/out")),
        (
            "no-bundle",
            (
                "run",
                "{tmp}/no-bundle",
                "--key",
                "{road}/keys/evaluation.key",
                "--input",
                "{road}/x.ct",
                "-o",
                "{tmp}/y",
            ),
        ),
        ("no-bundle", ("infer", "{tmp}/no-bundle", "--data", "{road}/data.npz")),
        ("no.key", ("encrypt", "{road}/bundle", "--key", "{tmp}/no.key", "--input", "{road}/x.npy", "-o", "{tmp}/out")),
        ("no.key", ("run", "{road}/bundle", "--key", "{tmp}/no.key", "--input", "{road}/x.ct", "-o", "{tmp}/out")),
        ("no.key", ("decrypt", "{road}/bundle", "--key", "{tmp}/no.key", "--input", "{road}/y.ct")),
        (
            "no.npy",
            ("encrypt", "{road}/bundle", "--key", "{road}/keys/secret.key", "--input", "{tmp}/no.npy", "-o", "{tmp}/o"),
        ),
        (
            "no.png",
            ("encrypt", "{road}/bundle", "--key", "{road}/keys/secret.key", "--input", "{tmp}/no.png", "-o", "{tmp}/o"),
        ),
        (
            "no.ct",
            ("run", "{road}/bundle", "--key", "{road}/keys/evaluation.key", "--input", "{tmp}/no.ct", "-o", "{tmp}/o"),
        ),
        ("no.ct", ("decrypt", "{road}/bundle", "--key", "{road}/keys/secret.key", "--input", "{tmp}/no.ct")),
        ("no.npz", ("compile", "{road}/friendly", "--data", "{tmp}/no.npz", "-o", "{tmp}/out")),
        ("no-data", ("compile", "{road}/friendly", "--data", "{tmp}/no-data", "-o", "{tmp}/out")),
        ("no.pt", ("compress", "mlp", "--data", "{road}/data.npz", "--weights", "{tmp}/no.pt", "-o", "{tmp}/out")),
        ("nothing", ("inspect", "{tmp}/nothing")),
        ("nothing", ("estimate", "{tmp}/nothing")),
        ("own.py", ("infer", "{road}/own.py", "--data", "{road}/data.npz")),
        ("keys", ("run", "{road}/bundle", "--key", "{road}/keys", "--input", "{road}/x.ct", "-o", "{tmp}/out")),
    ],
)
def test_missing_files_are_named(road: Road, tmp_path: Path, missing: str, arguments: tuple[str, ...]) -> None:
    assert missing in fails(tmp_path, *(part.format(tmp=tmp_path, road=road.folder) for part in arguments))
