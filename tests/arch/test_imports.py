"""Which module may import which, what clean processes load, and that every package's docstring lists its files."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import cipherpress as cp

ROOT = Path(__file__).parents[2]
PACKAGES = ("compress", "secure", "hwmodel", "timing", "zoo")
OURS = {*PACKAGES, "benchmarks", "cipherpress", "cli"}
TENSEAL_FILES = {
    "secure/seal_context.py",
    "secure/tenseal_evaluator.py",
    "secure/keys.py",
    "timing/seal_operations.py",
}


@dataclass(frozen=True)
class Import:
    """One import statement: the module it names, and whether it runs when the file is imported."""

    file: str
    module: str
    at_top: bool

    @property
    def root(self) -> str:
        return self.module.split(".")[0]


def _imports(path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    lazy = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(block)
    }
    file = path.relative_to(ROOT).as_posix()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names = [node.module or ""]
            if node.module in OURS:  # `from compress import network` names a module, not a thing in it
                names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (Import(file, name, id(node) not in lazy) for name in names)


def _files(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def _all(*packages: str) -> list[Import]:
    return [entry for path in _files(*packages) for entry in _imports(path)]


def test_compress_knows_nothing_after_the_network() -> None:
    wrong = [entry for entry in _all("compress") if entry.root in OURS - {"compress"}]
    assert wrong == []


def test_secure_takes_three_modules_of_compress_and_no_torch() -> None:
    allowed = {"compress.network", "compress.errors", "compress.artifact"}
    entries = _all("secure")
    assert [e for e in entries if e.root in OURS - {"secure"} and e.module not in allowed] == []
    assert [e for e in entries if e.root in {"torch", "torchvision"} or e.module == "safetensors.torch"] == []


def test_hwmodel_takes_the_network_the_plan_and_what_operations_cost() -> None:
    allowed = {
        "compress.network",
        "compress.errors",
        "secure.plan",
        "secure.params",
        "secure.kernels",
        "secure.engine_kernels",
        "secure.seal_kernels",
    }
    entries = _all("hwmodel")
    assert [e for e in entries if e.root in OURS - {"hwmodel"} and e.module not in allowed] == []
    assert [e for e in entries if e.root in {"torch", "tenseal"}] == []


def test_timing_runs_what_secure_computes_and_knows_no_torch() -> None:
    allowed = {
        "compress.artifact",
        "compress.errors",
        "compress.network",
        "hwmodel.architecture",
        "hwmodel.architecture_file",
        "hwmodel.fitting",
        "secure.client",
        "secure.compiling",
        "secure.engine",
        "secure.engine.tables",
        "secure.engine_kernels",
        "secure.seal_kernels",
        "secure.kernels",
        "secure.keys",
        "secure.params",
        "secure.plan",
        "secure.server",
    }
    entries = _all("timing")
    ours = [e for e in entries if e.root in OURS - {"timing"}]
    assert [e for e in ours if e.module not in allowed and not e.module.startswith("secure.engine.")] == []
    assert [e for e in entries if e.root in {"torch", "torchvision"}] == []
    assert [e for e in ours if e.module == "secure.keys" and e.at_top] == []


def test_zoo_stands_on_compress_alone() -> None:
    assert [e for e in _all("zoo") if e.root in OURS - {"zoo", "compress"}] == []


def test_tenseal_is_imported_in_four_files_and_benchmarks() -> None:
    entries = [*_all(*PACKAGES), *_imports(ROOT / "cli.py"), *_imports(ROOT / "cipherpress.py")]
    assert {e.file for e in entries if e.root == "tenseal"} == TENSEAL_FILES


def test_the_command_line_imports_lightly() -> None:
    entries = list(_imports(ROOT / "cli.py"))
    at_top = {e.module for e in entries if e.at_top and e.root not in sys.stdlib_module_names}
    assert at_top == {"click", "cipherpress", "compress.errors"}
    assert [e for e in entries if e.root in {"torch", "tenseal", "scipy", "sklearn"}] == []


def test_the_facade_imports_only_when_used() -> None:
    entries = list(_imports(ROOT / "cipherpress.py"))
    assert [e for e in entries if e.at_top and e.root not in sys.stdlib_module_names] == []


def test_libraries_do_not_print() -> None:
    printing = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in _files(*PACKAGES)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert printing == []


HEAVY = ("torch", "tenseal", "scipy", "sklearn", "matplotlib", "PIL")


@pytest.mark.parametrize(
    ("statement", "may_load"),
    [
        ("import secure.server, secure.bundle", {"tenseal"}),
        ("import secure.client, secure.bundle, secure.inputs", {"tenseal", "scipy"}),
        ("import hwmodel.report", set()),
        ("import timing.cache; timing.cache.current_times()", set()),
        ("import cipherpress", set()),
        ("import cli", set()),
        ("import cipherpress as cp; cp.Server, cp.CipherpressError", {"tenseal"}),
    ],
)
def test_clean_processes_load_what_they_need(statement: str, may_load: set[str]) -> None:
    code = f"{statement}\nimport sys, json\nprint(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)) <= may_load


def test_public_names_are_complete_sorted_and_importable() -> None:
    assert cp.__all__ == sorted(cp.__all__)
    assert set(cp._NAMES) <= set(cp.__all__)
    for name in cp.__all__:
        assert getattr(cp, name).__doc__, name
    tree = ast.parse((ROOT / "cipherpress.py").read_text())
    public = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")}
    assert public - {"artifact_kind"} <= set(cp.__all__)


@pytest.mark.parametrize("package", PACKAGES)
def test_package_docstrings_list_every_file(package: str) -> None:
    folder = ROOT / package
    lines = (importlib.import_module(package).__doc__ or "").splitlines()
    listed = {line.split()[0] for line in lines if line[:1].strip() and line.split()[0].endswith(".py")}
    files = {path.relative_to(folder).as_posix() for path in _files(package)} - {"__init__.py"}
    assert listed == files
    columns = {
        len(line) - len(line.split(maxsplit=1)[1]) for line in lines if line.split() and line.split()[0] in listed
    }
    assert len(columns) == 1, "descriptions are aligned"
