"""Tests can fail: each one asserts, each error is matched by its message, and each mutation fits the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from arch.rooms import ROOT, python_files

from tests.mutants.runner import Mutant, copy_checkout, main, mutants, survivors

#: Functions that raise AssertionError themselves.
ASSERTING = ("np.testing.", "torch.testing.")
MUTANTS = mutants()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def functions() -> Iterator[tuple[Path, ast.FunctionDef]]:
    for path in python_files("tests"):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef):
                yield path, node


def is_raises(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in {"pytest.raises", "pytest.warns"}


def asserts(function: ast.FunctionDef, helpers: set[str]) -> bool:
    """Whether the function can fail: it has an assert or pytest.raises, or calls a function that has one."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert) or is_raises(node):
            return True
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name.startswith(ASSERTING) or name.split(".")[-1] in helpers:
                return True
    return False


def shared_generators(tree: ast.Module) -> set[str]:
    """Names of random generators of a module that its functions draw from, unless the module sets their state back."""
    made = {
        ast.unparse(target)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func) == "np.random.default_rng"
        for target in node.targets
    }
    if not made or "bit_generator.state = START" in ast.unparse(tree):
        return set()
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    drawn, local = set(), set()
    for node in (inner for function in functions for inner in ast.walk(function)):
        if isinstance(node, ast.Name):
            (local if isinstance(node.ctx, ast.Store) else drawn).add(node.id)
    return made & drawn - local


def test_no_test_draws_from_a_generator_that_others_have_moved_on() -> None:
    """Tests run in a random order on several workers: shared state gives every test other data each time."""
    shared = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in python_files("tests")
        for name in shared_generators(tree_of(path))
    }
    assert not shared


def test_every_test_asserts() -> None:
    helpers: set[str] = set()
    while True:
        more = {
            node.name for _, node in functions() if not node.name.startswith("test_") and asserts(node, helpers)
        } - helpers
        if not more:
            break
        helpers |= more
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path, node in functions()
        if node.name.startswith("test_") and not asserts(node, helpers)
    ]
    assert silent == []


def unmatched(path: Path) -> Iterator[str]:
    """Uses of pytest.raises that neither match the message nor read it from `as caught`."""
    for block in ast.walk(tree_of(path)):
        if not isinstance(block, ast.FunctionDef):
            continue
        read = {
            node.value.id
            for node in ast.walk(block)
            if isinstance(node, ast.Attribute) and node.attr == "value" and isinstance(node.value, ast.Name)
        }
        for statement in ast.walk(block):
            if not isinstance(statement, ast.With):
                continue
            for item in statement.items:
                call, name = item.context_expr, item.optional_vars
                if not is_raises(call) or isinstance(name, ast.Name) and name.id in read:
                    continue
                assert isinstance(call, ast.Call)
                if not any(keyword.arg == "match" for keyword in call.keywords):
                    yield f"{path.relative_to(ROOT)}:{call.lineno} {ast.unparse(call)}"


def test_every_error_is_matched_by_its_message() -> None:
    found = [line for path in python_files("tests") for line in unmatched(path)]
    allowed = "pytest.raises(dataclasses.FrozenInstanceError)"  # its message is only the name of the field
    assert [line for line in found if not line.endswith(allowed)] == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_mutation_fits_its_file_and_names_tests_that_exist(mutant: Mutant) -> None:
    changed = mutant.applied((ROOT / mutant.file).read_text())
    ast.parse(changed)
    assert mutant.tests
    for test in mutant.tests:
        file, name = test.split("::")
        assert name in {node.name for node in tree_of(ROOT / file).body if isinstance(node, ast.FunctionDef)}, test


def test_a_surviving_mutation_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy_checkout(tmp_path)
    (killed,) = [mutant for mutant in MUTANTS if mutant.old == "whole >= 0.5"]
    harmless = Mutant(file=killed.file, old=killed.old, new=f"{killed.old} + 0", tests=killed.tests)
    assert survivors(tmp_path, [killed, harmless]) == [harmless]
    assert f"SURVIVED {harmless}" in capsys.readouterr().out
    with pytest.raises(ValueError, match="'no such line' occurs 0 times, not once; bring mutants.toml up to date"):
        Mutant(file=killed.file, old="no such line", new="", tests=killed.tests).applied("text")


def test_a_word_that_no_mutation_has_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["runner.py", "nowhere"])
    assert main() == 1
    assert capsys.readouterr().out == "no mutation has 'nowhere' in its file or text\n"
