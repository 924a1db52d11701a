"""Imports: what clean processes load, and who imports TenSEAL. Libraries do not print; public names are complete."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys

import pytest
from arch.rooms import INSTALLED, ROOT, imports_of, python_files

import cipherpress as cp
from compress import errors

TENSEAL_FILES = {
    "secure/seal/context.py",
    "secure/seal/evaluation_keys.py",
    "secure/seal/evaluator.py",
    "secure/parties/keys.py",
    "cipherpress/timing/request_operations.py",
    "cipherpress/timing/seal_operations.py",
}


def test_tenseal_is_imported_in_few_files_and_benchmarks() -> None:
    entries = imports_of(*INSTALLED, "cli.py")
    assert {e.file for e in entries if e.root == "tenseal"} == TENSEAL_FILES


def test_commands_import_lightly() -> None:
    entries = imports_of("cli.py", "cipherpress/commands")
    at_top = {entry for entry in entries if entry.at_top and entry.root not in sys.stdlib_module_names}
    assert {entry.module for entry in at_top if entry.root != "cipherpress"} == {
        "click",
        "compress.blocks.options",
        "compress.conversion.limits",
        "compress.errors",
        "compress.native.options",
        "compress.opq.options",
        "compress.tasks",
        "secure.limits",
    }
    assert all(
        entry.module == "cipherpress" or ".commands" in entry.module for entry in at_top if entry.root == "cipherpress"
    )
    assert [entry for entry in entries if entry.root in {"torch", "tenseal", "scipy", "sklearn"}] == []


def test_the_public_names_import_only_when_used() -> None:
    entries = imports_of("cipherpress/__init__.py", "cipherpress/saved.py")
    at_top = {entry.module for entry in entries if entry.at_top and entry.root not in sys.stdlib_module_names}
    assert at_top == {"compress.errors"}


def test_libraries_do_not_print() -> None:
    printing = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in python_files(*INSTALLED)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert printing == []


HEAVY = ("numpy", "torch", "tenseal", "scipy", "sklearn", "matplotlib", "PIL")


@pytest.mark.parametrize(
    ("statement", "may_load"),
    [
        ("import secure.parties.server, secure.bundle.files", {"numpy", "tenseal"}),
        ("import secure.parties.client, secure.bundle.files, secure.parties.inputs", {"numpy", "tenseal", "scipy"}),
        ("import hwmodel.report", {"numpy"}),
        ("import cipherpress.timing.cache; cipherpress.timing.cache.current_times()", {"numpy"}),
        ("import cipherpress", set()),
        ("import cli", set()),
        ("import compress.blocks.options, compress.opq.options", set()),
        ("import cipherpress as cp; cp.Server, cp.CipherpressError", {"numpy", "tenseal"}),
    ],
)
def test_a_clean_process_loads_only_what_it_may_load(statement: str, may_load: set[str]) -> None:
    code = f"{statement}\nimport sys, json\nprint(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)) <= may_load


def test_public_names_are_complete_sorted_and_documented() -> None:
    assert cp.__all__ == sorted(cp.__all__)
    for name in cp.__all__:
        assert getattr(cp, name).__doc__, name
    tree = ast.parse((ROOT / "cipherpress/__init__.py").read_text())
    (typed,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen_by_checkers = {
        (statement.module, alias.name)
        for statement in typed.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert seen_by_checkers == {(module, name) for name, module in cp._MODULE_OF.items()}


def test_every_error_is_public() -> None:
    classes = {name for name, value in vars(errors).items() if isinstance(value, type) and not name.startswith("_")}
    assert {name for name in classes if name.endswith("Error")} - {"LayerError"} <= set(cp.__all__)


def test_examples_import_public_names_only() -> None:
    entries = imports_of("examples")
    assert {entry.module for entry in entries if entry.root in {*INSTALLED, "benchmarks", "cli"}} == {"cipherpress"}
