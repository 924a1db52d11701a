"""A command that fails ends with status 1, one line on stderr that starts with `error:`, and nothing written."""

import json
from pathlib import Path

import numpy as np
import pytest

import cipherpress as cp
from tests.cli.failing import fails, listing
from tests.small_road import ROOT, Road, call, call_json, process

# -- parts that do not belong together


def test_input_of_the_wrong_shape_is_refused(road: Road, tmp_path: Path) -> None:
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


def test_data_of_the_wrong_shape_is_refused(road: Road, tmp_path: Path) -> None:
    assert "shape" in fails(tmp_path, "infer", road.path("bundle"), "--data", "mnist", "--images", 2)
    output = ("-o", tmp_path / "out")
    assert "shape" in fails(tmp_path, "compile", road.path("friendly"), "--data", "mnist", *output)


def test_keys_of_another_bundle_are_refused(road: Road, tmp_path: Path) -> None:
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


def test_a_reply_under_another_key_is_refused(road: Road, tmp_path: Path) -> None:
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


def test_force_replaces_existing_outputs(road: Road, tmp_path: Path) -> None:
    arguments = ("encrypt", road.path("bundle"), "--key", road.path("keys/secret.key"), "--input", road.path("x.npy"))
    output = tmp_path / "x.ct"
    output.write_text("older")
    call_json(*arguments, "-o", output, "--force")
    assert call_json("inspect", output)["kind"] == "request"
    assert [path.name for path in tmp_path.iterdir()] == ["x.ct"]


def test_force_deletes_no_folder_that_is_not_an_artifact(road: Road, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("cat")
    output = ("-o", tmp_path / "photos", "--force")
    nowhere = tmp_path / "nowhere"  # nothing else exists, so the refusal comes before any work
    for command in ("train", "compress", "convert", "compile", "press"):
        line = fails(tmp_path, command, "no-model", "--data", nowhere, *output)
        assert "an earlier artifact of cipherpress; this folder also holds 'cat.jpg'; choose another" in line
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat.jpg"]


@pytest.mark.parametrize(
    ("option", "value"), [("--sparsity", 1.5), ("--sparsity", -0.1), ("--bits", 0), ("--bits", 99), ("--bits", "nan")]
)
def test_options_out_of_range_are_refused(road: Road, tmp_path: Path, option: str, value: object) -> None:
    line = fails(tmp_path, "compress", road.factory, "--data", road.data, option, str(value), "-o", tmp_path / "out")
    assert option.removeprefix("--") in line


def test_a_rate_out_of_reach_is_refused(road: Road, tmp_path: Path) -> None:
    line = fails(
        tmp_path,
        "compress",
        road.factory,
        "--data",
        road.data,
        "--target-rate",
        1000,
        "-o",
        tmp_path / "out",
        "--random-weights",
    )
    assert "target-rate: 1000 asked, these options reach" in line


def test_an_unknown_architecture_is_refused(road: Road, tmp_path: Path) -> None:
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


def test_a_separate_process_fails_the_same_way(tmp_path: Path) -> None:
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
