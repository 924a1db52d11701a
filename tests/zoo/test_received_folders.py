"""A folder from somebody else names a zoo network or nothing: its text never becomes a path or an import."""

import json

import pytest
from click.testing import CliRunner

import cipherpress as cp
from cipherpress.zoo.loading import load_model
from cli import main
from compress.errors import FormatError, ModelError

EVIL = """
import pathlib
from torch import nn

pathlib.Path(__file__).with_name("ran").touch()


def factory():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
"""


@pytest.fixture(scope="module")
def small():
    return cp.opq(load_model("mlp"), sparsity=0.5, bits=4)


@pytest.mark.parametrize(
    "name", ["{folder}/evil.py:factory", "evil.py:factory", "../weights/mlp", "no such network", ["mlp"], None]
)
@pytest.mark.parametrize("kind", ["zoo", "factory"])
def test_a_received_model_folder_runs_no_code(tmp_path, monkeypatch, small, name, kind):
    (tmp_path / "evil.py").write_text(EVIL)
    monkeypatch.chdir(tmp_path)
    cp.save(small, tmp_path / "m")
    header = json.loads((tmp_path / "m" / "model.json").read_text())
    header["source"] = {"kind": kind, "name": name.format(folder=tmp_path) if isinstance(name, str) else name}
    (tmp_path / "m" / "model.json").write_text(json.dumps(header))
    with pytest.raises(
        (FormatError, ModelError), match="names the zoo network|field 'source.name'|give that model too"
    ):
        cp.load(tmp_path / "m")
    convert = CliRunner().invoke(main, ["convert", "m", "--data", "digits", "-o", "out"])
    assert (convert.exit_code, type(convert.exception)) == (1, SystemExit)
    inspect = CliRunner().invoke(main, ["inspect", "m"])
    shows_a_text = kind == "factory" and isinstance(name, str)  # the record alone; the network is not asked for
    assert inspect.exit_code == (0 if shows_a_text else 1)
    assert not (tmp_path / "ran").exists()
