"""What is wrong ends with status 1, one line on stderr that starts with `error:`, and nothing written."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

import cipherpress as cp
from tests.small_road import ROOT, Road, call, call_json, process

BROKEN_MODELS = '''"""Networks that have no encrypted form."""

import torch
from torch import nn


def recurrent() -> nn.Module:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.out = nn.LSTM(8, 8, batch_first=True), nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.lstm(x.flatten(1, 2))[0][:, -1])

    return Last()


def normalized() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LayerNorm(64), nn.Linear(64, 4))


def deep() -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten(), nn.Linear(64, 8)]
    for _ in range(60):
        layers += [nn.ReLU(), nn.Linear(8, 8)]
    return nn.Sequential(*layers, nn.Linear(8, 4))


def broken() -> nn.Module:
    raise RuntimeError("this file\\nis not finished")


def number() -> int:
    return 3
'''


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder with size and time of change."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if "__pycache__" not in path.parts
    }


def fails(folder: Path, *arguments: str | Path) -> str:
    """The one line of a command that has to fail with status 1 and leave `folder` as it was."""
    before = listing(folder)
    for extra in ((), ("--json",)):
        result = call(*arguments, *extra)
        assert result.exit_code == 1, (result.exit_code, result.stdout, result.stderr, result.exception)
        assert result.stdout == ""
        lines = result.stderr.splitlines()
        assert len(lines) == 1, result.stderr
        assert lines[0].startswith("error: ")
        assert "Traceback" not in lines[0]
    assert listing(folder) == before
    return lines[0]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    path = tmp_path / "broken_models.py"
    path.write_text(BROKEN_MODELS)
    return path


# -- models


@pytest.mark.parametrize(("factory", "named"), [("recurrent", "lstm"), ("normalized", "LayerNorm")])
def test_unsupported_layer(road: Road, models: Path, factory: str, named: str) -> None:
    line = fails(models.parent, "convert", f"{models}:{factory}", "--data", road.data, "-o", models.parent / "out")
    assert named.lower() in line.lower()


def test_too_deep_a_network(road: Road, models: Path) -> None:
    arguments = ("--data", road.data, "--epochs", 0, "-o", models.parent / "deep")
    converted = call("convert", f"{models}:deep", *arguments)
    if converted.exit_code == 0:
        line = fails(models.parent, "compile", models.parent / "deep", "--data", road.data, "-o", models.parent / "out")
    else:
        line = fails(models.parent, "convert", f"{models}:deep", *arguments)
    assert "layer '" in line


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("no-such-network", "mlp"),
        ("missing/folder", "no such folder"),
        ("missing.py:net", "not found"),
        ("{models}:absent", "absent"),
        ("{models}:broken", "this file is not finished"),
        ("{models}:number", "must return an nn.Module"),
    ],
)
def test_model_that_is_none(road: Road, models: Path, spec: str, said: str) -> None:
    model = spec.format(models=models)
    line = fails(models.parent, "compress", model, "--data", road.data, "-o", models.parent / "out")
    assert said in line


@pytest.mark.parametrize("command", ["compile", "estimate"])
def test_model_that_is_not_converted(road: Road, tmp_path: Path, command: str) -> None:
    output = ("--data", road.data, "-o", tmp_path / "out") if command == "compile" else ()
    if command == "compile":
        assert "factory" in fails(tmp_path, command, road.path("small"), *output)
    else:
        assert "factory" in fails(tmp_path, command, road.path("small"))


def test_model_that_is_converted_already(road: Road, tmp_path: Path) -> None:
    for name in ("friendly", "bundle"):
        line = fails(tmp_path, "compress", road.path(name), "--data", road.data, "-o", tmp_path / "out")
        assert "converted already" in line


def test_pickled_weights_are_refused(road: Road, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"1.weight": Payload()}, tmp_path / "state.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Payload()))
    for name in ("state.pt", "plain.pt"):
        weights = ("--weights", tmp_path / name)
        line = fails(tmp_path, "compress", road.factory, "--data", road.data, *weights, "-o", tmp_path / "out")
        assert name in line
        assert "torch.save(model.state_dict(), file)" in line


# -- files that are missing, damaged or of another kind


@pytest.mark.parametrize("damage", ["truncated", "altered", "empty"])
@pytest.mark.parametrize("file", ["plain/model.safetensors", "small/model.safetensors", "friendly/model.safetensors"])
def test_damaged_models(road: Road, tmp_path: Path, file: str, damage: str) -> None:
    folder = _copy(road, file.split("/")[0], tmp_path)
    _damage(folder / "model.safetensors", damage)
    command = ("compile",) if file.startswith("friendly") else ("convert", "--model", road.factory)
    line = fails(tmp_path, *command, folder, "--data", road.data, "-o", tmp_path / "out")
    assert "model.safetensors" in line


@pytest.mark.parametrize("damage", ["truncated", "altered", "empty"])
@pytest.mark.parametrize("file", ["client.json", "server/plan.json", "server/constants.safetensors"])
def test_damaged_bundles(road: Road, tmp_path: Path, file: str, damage: str) -> None:
    folder = _copy(road, "bundle", tmp_path)
    _damage(folder / file, damage)
    assert Path(file).name in fails(tmp_path, "inspect", folder)


@pytest.mark.parametrize("damage", ["truncated", "altered", "empty", "another"])
@pytest.mark.parametrize("command", ["run", "decrypt", "inspect"])
def test_damaged_ciphertexts(road: Road, tmp_path: Path, command: str, damage: str) -> None:
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
def test_damaged_keys(road: Road, tmp_path: Path, command: str, name: str, damage: str) -> None:
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


# -- what does not belong together


def test_input_of_the_wrong_shape(road: Road, tmp_path: Path) -> None:
    wrong = {
        "shape.npy": np.zeros((1, 7, 8)),
        "range.npy": np.full((1, 8, 8), 200.0),
        "nan.npy": np.full((1, 8, 8), np.nan),
    }
    for name, values in wrong.items():
        np.save(tmp_path / name, values)
        key = ("--key", road.path("keys/secret.key"))
        line = fails(
            tmp_path, "encrypt", road.path("bundle"), *key, "--input", tmp_path / name, "-o", tmp_path / "out.ct"
        )
        assert line.startswith("error: input: ")


def test_data_of_the_wrong_shape(road: Road, tmp_path: Path) -> None:
    assert "shape" in fails(tmp_path, "infer", road.path("bundle"), "--data", "mnist", "--images", 2)
    output = ("-o", tmp_path / "out")
    assert "shape" in fails(tmp_path, "compile", road.path("friendly"), "--data", "mnist", *output)


def test_keys_of_another_bundle(road: Road, tmp_path: Path) -> None:
    other = tmp_path / "other"
    call_json("compile", road.path("friendly"), "--data", road.data, "--max-error", 2.0, "-o", other)
    assert cp.load(other).client.bundle_id != cp.load(road.path("bundle")).client.bundle_id
    output = ("-o", tmp_path / "out")
    cases = {
        "encrypt": ("keys/secret.key", "x.npy"),
        "run": ("keys/evaluation.key", "x.ct"),
        "decrypt": ("keys/secret.key", "y.ct"),
    }
    for command, (key, source) in cases.items():
        line = fails(tmp_path, command, other, "--key", road.path(key), "--input", road.path(source), *output)
        assert "bundle" in line


def test_a_reply_under_another_key(road: Road, tmp_path: Path) -> None:
    call_json("keygen", road.path("bundle"), "-o", tmp_path / "keys")
    key, source = ("--key", tmp_path / "keys" / "secret.key"), ("--input", road.path("y.ct"))
    assert "another key" in fails(tmp_path, "decrypt", road.path("bundle"), *key, *source)
    key, source = ("--key", tmp_path / "keys" / "evaluation.key"), ("--input", road.path("x.ct"))
    line = fails(tmp_path, "run", road.path("bundle"), *key, *source, "-o", tmp_path / "y.ct")
    assert "x.ct" in line


def test_a_server_refuses_a_secret_key(road: Road, tmp_path: Path) -> None:
    source = ("--input", road.path("x.ct"), "-o", tmp_path / "y.ct")
    line = fails(tmp_path, "run", road.path("bundle"), "--key", road.path("keys/secret.key"), *source)
    assert "secret" in line


# -- options and outputs


def test_existing_outputs_are_kept_and_refused_before_any_work(road: Road, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "secret.key").write_text("mine")
    (tmp_path / "file").write_text("mine")
    there, file = ("-o", tmp_path / "there"), ("-o", tmp_path / "file")
    nowhere = tmp_path / "nowhere"  # nothing else exists, so the refusal comes first
    for arguments in [
        ("train", "no-model", "--data", nowhere, *there),
        ("compress", "no-model", "--data", nowhere, *there),
        ("convert", "no-model", "--data", nowhere, *there),
        ("compile", "no-model", "--data", nowhere, *there),
        ("press", "no-model", "--data", nowhere, *there),
        ("keygen", nowhere, *there),
        ("encrypt", nowhere, "--key", nowhere, "--input", nowhere, *file),
        ("run", nowhere, "--key", nowhere, "--input", nowhere, *file),
        ("decrypt", nowhere, "--key", nowhere, "--input", nowhere, *file),
        ("estimate", nowhere, "--plot", tmp_path / "file"),
    ]:
        assert "--force" in fails(tmp_path, *arguments)


def test_force_replaces(road: Road, tmp_path: Path) -> None:
    arguments = ("encrypt", road.path("bundle"), "--key", road.path("keys/secret.key"), "--input", road.path("x.npy"))
    output = tmp_path / "x.ct"
    output.write_text("older")
    call_json(*arguments, "-o", output, "--force")
    assert call_json("inspect", output)["kind"] == "request"
    assert [path.name for path in tmp_path.iterdir()] == ["x.ct"]


def test_force_deletes_no_folder_of_somebody_else(road: Road, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("cat")
    output = ("-o", tmp_path / "photos", "--force")
    assert "cat.jpg" in fails(tmp_path, "compile", road.path("friendly"), "--data", road.data, *output)


@pytest.mark.parametrize(
    ("option", "value"), [("--sparsity", 1.5), ("--sparsity", -0.1), ("--bits", 0), ("--bits", 99), ("--bits", "nan")]
)
def test_options_out_of_range(road: Road, tmp_path: Path, option: str, value: object) -> None:
    line = fails(tmp_path, "compress", road.factory, "--data", road.data, option, str(value), "-o", tmp_path / "out")
    assert option.removeprefix("--") in line


def test_a_rate_out_of_reach(road: Road, tmp_path: Path) -> None:
    line = fails(tmp_path, "compress", road.factory, "--data", road.data, "--target-rate", 1000, "-o", tmp_path / "out")
    assert "target-rate: 1000 asked, these options reach" in line


def test_unknown_architecture(road: Road, tmp_path: Path) -> None:
    line = fails(tmp_path, "estimate", road.path("bundle"), "--arch", "abacus")
    assert "abacus" in line
    assert "cpu-seal" in line


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-command",),
        ("keygen",),
        ("keygen", "bundle"),
        ("models", "--no-such-option"),
        ("infer", "b", "--images", "x"),
        ("compress", "mlp", "--data", "mnist", "--sparsity", "0.5", "--target-rate", "9", "-o", "no-such-folder"),
    ],
)
def test_wrong_usage_has_status_2(arguments: tuple[str, ...]) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Usage:" in result.stderr


def test_a_process_of_its_own_fails_the_same_way(tmp_path: Path) -> None:
    done = process(ROOT / "cli.py", "keygen", tmp_path / "none", "-o", tmp_path / "keys", "--json")
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ")
    assert listing(tmp_path) == {}


def test_json_is_one_object_and_nothing_else(road: Road) -> None:
    for arguments in (
        ("models",),
        ("architectures",),
        ("inspect", road.path("bundle")),
        ("estimate", road.path("friendly")),
    ):
        result = call(*arguments, "--json", "--verbose")
        assert isinstance(json.loads(result.stdout), dict)
