"""docs/extending.md, followed literally in a copy of the code: a linear node, a pass and a machine are added."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from arch.pages import files
from arch.rooms import INSTALLED, ROOT

GUIDE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")

#: A layer that the importer does not know, as (file, text that is in it, text to insert before that).
LAYER = (
    ("compress/graph/spellings.py", "PERMUTE: Spellings", 'FLIP: Spellings = frozenset({torch.flip, "flip"})\n'),
    (
        "compress/graph/rules.py",
        "def alias(",
        "def flip(build: Builder, node: fx.Node) -> None:\n"
        "    rank = build.trace.values[source_of(node)].ndim\n"
        '    build.append(node, "flip", axes=tuple(axis % rank - 1 for axis in argument(node, 1, "dims", ())))\n\n\n',
    ),
    ("compress/graph/importing.py", "    Rule(spellings.ALIAS", "    Rule(spellings.FLIP, rules.flip),\n"),
    (
        "compress/conversion/exporting.py",
        '        case "permute":',
        '        case "flip":\n            return [Flip(**base, axes=options["axes"])]\n',
    ),
    (
        "compress/network.py",
        "@dataclass(frozen=True, kw_only=True)\nclass Permute(",
        "@dataclass(frozen=True, kw_only=True)\nclass Flip(Node):\n    axes: tuple[int, ...]\n\n\n",
    ),
    (
        "compress/network.py",
        "        case Permute():",
        "        case Flip():\n            return np.flip(inputs[0], tuple(axis + 1 for axis in node.axes))\n",
    ),
    ("compress/network_file.py", "Permute)\n", "Flip, "),
    (
        "secure/stages/matrices.py",
        "        case Permute():",
        "        case Flip():\n"
        "            order = np.flip(np.arange(node.size).reshape(input_shape), node.axes).ravel()\n"
        '            return sparse.identity(node.size, format="csr")[order], np.zeros(node.size)\n',
    ),
    ("secure/stages/stages.py", "Permute():\n            matrix", "Flip() | "),
    ("secure/stages/grids.py", "Permute)):\n        return None", "Flip, "),
    (
        "compress/node_shapes.py",
        "    Permute: _permute,\n",
        "    Flip: lambda node, sources: _result(node, sources[0]),\n",
    ),
    (
        "hwmodel/counts.py",
        "        case _:\n            return LayerWork(",
        "        case Flip():\n            return LayerWork(layer=node.name, inputs=inputs, outputs=node.size)\n",
    ),
)
FUTURE = "from __future__ import annotations\n"
#: The files whose nodes come from compress.network.
IMPORTERS = (
    "compress/conversion/exporting.py", "compress/network_file.py",
    "secure/stages/matrices.py", "secure/stages/stages.py",
    "secure/stages/grids.py", "compress/node_shapes.py", "hwmodel/counts.py",
)  # fmt: skip

#: A pass that counts diagonals, and its checker.
PASS = (
    (
        "secure/passes/checkers.py",
        "def check_rotations(",
        "def check_counted(draft: Draft) -> None:\n"
        "    if not draft.tables:\n"
        '        raise PlanError("input", "nothing was laid out")\n'
        '    print("counted pass checked")\n\n\n',
    ),
    ("secure/passes/__init__.py", "from secure.passes.emit import emit", "from secure.passes.counted import counted\n"),
    ("secure/passes/__init__.py", "check_levels, check_parameters", "check_counted, "),
    ("secure/passes/__init__.py", "    (place_rescales, check_levels),", "    (counted, check_counted),\n"),
)
COUNTED = '''"""Counts diagonals."""

from secure.drafting.draft import Draft


def counted(draft: Draft) -> Draft:
    print("counted pass", sum(len(table.diagonals) for table in draft.tables))
    return draft
'''

#: What a user runs after these additions.
PROGRAM = """
import json, sys
import numpy as np, torch
from torch import nn
import cipherpress as cp
from hwmodel.counts import plain_workload

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.dense = nn.Conv2d(1, 2, 3, stride=2), nn.Linear(18, 4)

    def forward(self, x):
        x = torch.square(self.conv(torch.flip(x, [2])))
        return self.dense(x.flip([3]).flatten(1))

torch.manual_seed(0)
random = np.random.default_rng(0)
images, net = random.random((96, 1, 8, 8), dtype=np.float32), Net().eval()
labels = net(torch.from_numpy(images)).argmax(1).numpy()
data = cp.Dataset("random", images[:64], labels[:64], images[64:], labels[64:])
network = cp.convert(net, data, cp.Conversion(epochs=0))
cp.save(network, sys.argv[1])
again = cp.load(sys.argv[1])
bundle = cp.compile(again, data, cp.Limits(max_error=0.05))
run = cp.round_trip(bundle, data.x_test[:2], data.y_test[:2], backend="clear")
print(json.dumps({
    "file": cp.__file__,
    "nodes": [type(node).__name__ for node in again.nodes],
    "same": bool(np.array_equal(again.run(images), network.run(images))),
    "moved": plain_workload(again).layers[1].outputs,
    "levels": run["levels"],
    "machine": str(cp.compare(bundle, [sys.argv[2]])),
}))
"""


def section(heading: str) -> str:
    """The guide's text under a heading."""
    return GUIDE.split(f"## {heading}\n")[1].split("\n## ")[0]


def put(copy: Path, file: str, standing: str, new: str) -> None:
    text = (copy / file).read_text(encoding="utf-8")
    assert text.count(standing) == 1, f"{file}: {text.count(standing)} times {standing!r}"
    (copy / file).write_text(text.replace(standing, new + standing), encoding="utf-8")


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages with all three additions."""
    copy: Path = tmp_path_factory.mktemp("extended")
    for name in files():
        if name.split("/")[0] in INSTALLED and name.endswith((".py", ".yaml")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    for file, standing, new in (*LAYER, *PASS):
        put(copy, file, standing, new)
    for file in IMPORTERS:
        text = (copy / file).read_text(encoding="utf-8")
        (copy / file).write_text(text.replace(FUTURE, f"{FUTURE}from compress.network import Flip\n"), encoding="utf-8")
    (copy / "secure" / "passes" / "counted.py").write_text(COUNTED, encoding="utf-8")
    machine = (copy / "hwmodel" / "architectures" / "eyeriss.yaml").read_text(encoding="utf-8")
    (copy / "mine.yaml").write_text(machine.replace("name: eyeriss\n", "name: mine\n"), encoding="utf-8")
    return copy


@pytest.mark.parametrize(("heading", "edits"), [("A new layer", LAYER), ("A new pass", PASS)])
def test_the_guide_names_every_file_that_has_to_change(heading: str, edits: tuple[tuple[str, str, str], ...]) -> None:
    named = set(re.findall(r"`([\w/]+\.py)`", section(heading)))
    assert {file for file, _, _ in edits} <= named
    optional = {"secure/drafting/work.py"}  # only where a pass changes how much work there is
    assert {file for file in named if not file.startswith("tests/")} - optional == {file for file, _, _ in edits}


def test_a_layer_a_pass_and_a_machine_of_the_guide_work(extended: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(extended / "network"), str(extended / "mine.yaml")],
        cwd=extended,
        env={"PATH": "/usr/bin:/bin", "HOME": str(extended), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(extended)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    found = json.loads(lines[-1])
    assert found["file"] == str(extended / "cipherpress" / "__init__.py")
    assert found["nodes"] == ["Input", "Flip", "Conv", "Polynomial", "Flip", "Reshape", "Dense"]
    assert found["same"] and found["moved"] == 64
    assert "mine" in found["machine"]
    passes = [line for line in lines if line.startswith("counted pass")]
    assert len(passes) >= 2
    assert [line.split()[2] == "checked" for line in passes] == [False, True] * (len(passes) // 2)
