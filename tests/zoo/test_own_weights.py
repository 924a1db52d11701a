"""A factory without weights of its own is refused, or its random weights are named in all that is made from them."""

import json
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import cipherpress as cp
from cipherpress.zoo.loading import fresh_model, load_model, source_of
from cli import main
from compress.errors import ConfigError, ModelError

HEAD = """
import random
import numpy as np
import torch
from dataclasses import dataclass
from pathlib import Path
from torch import nn

def plain():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))

"""

RANDOM = {
    "default": ("net = plain", "made twice, the module has two values of '1.weight'"),
    "made at import": ("made = plain()\ndef net():\n    return made", "two values of '1.weight'"),
    "seeded": ("def net():\n    torch.manual_seed(0)\n    return plain()", "the file seeds a generator"),
    "seeded at import": ("torch.manual_seed(0)\nmade = plain()\ndef net():\n    return made", "seeds a generator"),
    "seeded in numpy": (
        "def net():\n    np.random.seed(1)\n    module = plain()\n    for p in module.parameters():\n"
        "        p.data = torch.tensor(np.random.randn(*p.shape), dtype=torch.float32)\n    return module",
        "the file seeds a generator",
    ),
    "seeded in Python": (
        "def net():\n    random.seed(1)\n    module = plain()\n    for p in module.parameters():\n"
        "        p.data = torch.linspace(0, random.random(), p.numel()).reshape(p.shape)\n    return module",
        "the file seeds a generator",
    ),
    "constant": (
        "def net():\n    module = plain()\n    for p in module.parameters():\n        nn.init.ones_(p)\n"
        "    return module",
        "all parameters are constant",
    ),
    "random head": (
        "def net():\n    module = plain()\n"
        "    module[1].load_state_dict(torch.load(Path(__file__).with_name('l.pt')))\n"
        "    return module",
        "two values of '3.weight'",
    ),
    "another shape each time": ("def net():\n    return nn.Linear(4, random.randrange(10**6))", "two values of"),
    "runs once": (
        "mark = Path(__file__).with_name('mark')\nassert not mark.exists()\nmark.touch()\nnet = plain",
        "the file cannot run a second time to tell .*AssertionError",
    ),
}
OWN = {
    "loaded": (
        "def net():\n    module = plain()\n    module.load_state_dict(torch.load(Path(__file__).with_name('w.pt')))\n"
        "    return module"
    ),
    "computed": (
        "def net():\n    module = plain()\n    for p in module.parameters():\n"
        "        p.data = torch.linspace(-1, 1, p.numel()).reshape(p.shape)\n    return module"
    ),
    "no weights": "def net():\n    return nn.Flatten()",
    "of a dataclass": (
        "@dataclass\nclass Size:\n    outputs: int = 3\n\nclass Net(nn.Linear):\n    pass\n\n"
        "def net():\n    module = Net(4, Size().outputs)\n    module.weight.data = torch.arange(12.0).reshape(3, 4)\n"
        "    module.bias.data.zero_()\n    return module"
    ),
}


@pytest.fixture
def write(tmp_path):
    torch.manual_seed(3)
    plain = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 8), torch.nn.ReLU(), torch.nn.Linear(8, 10))
    torch.save(plain.state_dict(), tmp_path / "w.pt")
    torch.save(plain[1].state_dict(), tmp_path / "l.pt")

    def to(body):
        (tmp_path / "own.py").write_text(HEAD + body)
        return f"{tmp_path / 'own.py'}:net"

    return to


@pytest.mark.parametrize("name", RANDOM)
def test_random_weights_are_refused_unless_they_are_asked_for(write, tmp_path, name, caplog):
    body, why = RANDOM[name]
    spec = write(body)
    with pytest.raises(ModelError, match=f"its weights are random: .*{why}.*--weights FILE .*--random-weights"):
        load_model(spec)
    (tmp_path / "mark").unlink(missing_ok=True)
    assert source_of(load_model(spec, random_weights=True)).weights == "random"
    assert "its weights are random, and nothing has trained them" in caplog.text


@pytest.mark.parametrize("name", OWN)
def test_a_factory_with_weights_of_its_own_is_taken(write, name):
    spec = write(OWN[name])
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    module = load_model(spec)
    assert source_of(module).weights is None
    assert type(module) is type(module).__mro__[0]
    assert sys.modules[type(module).__module__].__dict__.get(type(module).__name__) is type(module)
    again = load_model(spec)
    assert all(torch.equal(one, two) for one, two in zip(module.parameters(), again.parameters(), strict=True))
    assert np.array_equal(before[1], np.random.get_state()[1])


def test_looking_twice_leaves_the_generators_as_one_look_does(write):
    spec = write("net = plain")
    torch.manual_seed(1)
    once = fresh_model(spec)[1].weight, torch.rand(1)
    torch.manual_seed(1)
    looked = load_model(spec, random_weights=True)[1].weight, torch.rand(1)
    assert torch.equal(once[0], looked[0]) and torch.equal(once[1], looked[1])


def test_given_weights_settle_it_and_exclude_random_ones(write, tmp_path):
    spec = write("net = plain")
    assert source_of(load_model(spec, tmp_path / "w.pt")).weights is None
    for arguments in ((spec, tmp_path / "w.pt"), ("mlp",)):
        with pytest.raises(ConfigError, match="random_weights: got True; allowed: False where a file or the zoo gives"):
            load_model(*arguments, random_weights=True)
    with pytest.raises(ConfigError, match="random_weights: got 1; allowed: True or False"):
        load_model(spec, random_weights=1)
    assert source_of(load_model("deit-s")).weights == "random"


def test_the_commands_refuse_random_weights_or_say_what_was_made_of_them(write, tmp_path):
    spec = write("net = plain")
    road = ["compress", spec, "--data", "digits", "--epochs", "0", "-o", str(tmp_path / "small")]
    refused = CliRunner().invoke(main, road)
    assert (refused.exit_code, (tmp_path / "small").exists()) == (1, False)
    assert "its weights are random" in refused.stderr and "--random-weights" in refused.stderr
    taken = CliRunner().invoke(main, [*road, "--random-weights"])
    assert taken.exit_code == 0, taken.stderr
    record = json.loads((tmp_path / "small" / "model.json").read_text())
    assert record["source"]["weights"] == "random"
    loaded = cp.load(tmp_path / "small", fresh_model(spec))
    network = cp.convert(loaded, cp.load_data("digits"), cp.Conversion(epochs=0))
    assert network.about["source"]["weights"] == "random"
    both = CliRunner().invoke(main, [*road, "--random-weights", "--weights", str(tmp_path / "w.pt"), "--force"])
    assert both.exit_code == 1 and "random_weights: got True; allowed: only for MODEL as" in both.stderr
