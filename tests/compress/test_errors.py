"""The error tree: it is drawn from the classes, and each class is raised, matched, readable, and keeps its fields."""

import ast
import copy
import importlib
import inspect
import re
from functools import cache

import pytest
from arch.rooms import INSTALLED, ROOT, python_files

from compress import errors
from compress.errors import (
    BackendError,
    BudgetError,
    CipherpressError,
    CompileError,
    CompressError,
    ConfigError,
    InsecureParametersError,
    LayerError,
    OverwriteError,
    PlanBudgetError,
    error_tree,
)

CLASSES = {name: cls for name, cls in vars(errors).items() if inspect.isclass(cls) and issubclass(cls, Exception)}
#: Only their subclasses are raised.
PARENTS = {"CipherpressError", "LayerError"}


def calls(*places: str) -> list[ast.Call]:
    trees = [ast.parse(path.read_text()) for path in python_files(*places) if path != ROOT / "compress/errors.py"]
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]


def name_of(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


@cache  # not while tests are collected, which every worker does
def raised() -> set[str]:
    return {name_of(call.func) for call in calls(*INSTALLED, "cli.py")}


@cache
def matched() -> set[str]:
    return {
        name_of(call.args[0])
        for call in calls("tests")
        if name_of(call.func) == "raises" and call.args and any(keyword.arg == "match" for keyword in call.keywords)
    }


@pytest.mark.parametrize("name", sorted(CLASSES.keys() - PARENTS))
def test_every_error_is_raised_and_its_message_is_matched(name):
    assert name in raised(), f"no installed code makes a {name}"
    assert name in matched(), f"no test has pytest.raises({name}, match=...)"


def test_the_parents_are_never_raised_themselves():
    assert raised() & PARENTS == set()


def test_a_drawing_has_every_class_once_below_its_parent():
    lines = error_tree().splitlines()
    depths = {re.sub(r"^[|` -]*", "", line).split()[0]: len(re.match(r"^[|` -]*", line).group()) for line in lines}
    assert depths.keys() == CLASSES.keys()
    assert len(lines) == len(CLASSES)
    path: list[str] = []
    for name, depth in depths.items():
        del path[depth // 3 :]
        assert [CLASSES[name].__bases__[0].__name__] == (path[-1:] or ["Exception"])
        path.append(name)
    assert "`- CostModelError " in lines[-1]
    assert "(also a BudgetError)" in next(line for line in lines if "PlanBudgetError" in line)


def test_the_page_shows_the_drawing():
    page = (ROOT / "docs/errors.md").read_text()
    begin, end = "<!-- error_tree: begin -->\n```\n", "\n```\n<!-- error_tree: end -->"
    assert page.count(begin) == page.count(end) == 1
    assert page.split(begin)[1].split(end)[0] == error_tree(), "write the output of compress.errors.error_tree() there"


def test_a_new_class_appears_in_the_drawing(monkeypatch):
    class FrostError(CompressError):
        """It is too cold; attribute degrees."""

    monkeypatch.setattr(FrostError, "__module__", errors.__name__)
    assert re.search(r"\|  `- FrostError +It is too cold$", error_tree(), re.MULTILINE)


COMPILE = (
    "LevelBudgetError SlotOverflowError PrecisionError PlanBudgetError CompilationSizeError InsecureParametersError "
    "PlanError"
)
COMPRESS = "UnsupportedLayerError CalibrationError CollapseError BudgetError PlanBudgetError CompilationSizeError"


@pytest.mark.parametrize(
    ("parent", "names"),
    [(CompileError, COMPILE), (CompressError, COMPRESS), (BudgetError, "PlanBudgetError CompilationSizeError")],
)
def test_a_parent_catches_what_belongs_under_it(parent, names):
    below = {name for name, cls in CLASSES.items() if issubclass(cls, parent) and cls is not parent}
    assert below == set(names.split())


def test_every_error_is_a_cipherpress_error_with_a_sentence():
    for cls in CLASSES.values():
        assert issubclass(cls, CipherpressError)
        assert cls.__doc__.endswith(".")
    assert importlib.import_module("cipherpress").CipherpressError is CipherpressError


@pytest.mark.parametrize("cls", [CompressError, CompileError])
def test_a_message_names_the_layer_when_there_is_one(cls):
    found = cls("conv1", "has no weights")
    assert (str(found), found.layer) == ("layer 'conv1': has no weights", "conv1")
    bare = cls(None, "model Sequential: it has no weights")
    assert (str(bare), bare.layer) == ("model Sequential: it has no weights", None)


@pytest.mark.parametrize("cls", [BudgetError, PlanBudgetError, InsecureParametersError, BackendError])
def test_errors_about_the_whole_model_name_no_layer(cls):
    found = cls("bits: 1 asked")
    assert (str(found), found.layer) == ("bits: 1 asked", None)
    placed = cls("bits: 1 asked", "conv1")
    assert (str(placed), placed.layer) == ("layer 'conv1': bits: 1 asked", "conv1")
    assert isinstance(found, LayerError)


@pytest.mark.parametrize("made", [ConfigError("sparsity", 2.0, "below 1"), CompressError("conv1", "has no weights")])
def test_an_error_is_rebuilt_whole_as_between_processes(made):
    found = copy.copy(made)
    assert found is not made
    assert type(found) is type(made)
    assert (str(found), vars(found)) == (str(made), vars(made))


def test_what_a_message_names_is_kept():
    found = ConfigError("sparsity", 2.0, "0 to below 1")
    assert (found.field, found.value, found.allowed) == ("sparsity", 2.0, "0 to below 1")
    assert str(found) == "sparsity: got 2.0; allowed: 0 to below 1"
    there = OverwriteError("out")
    assert (there.path, str(there)) == ("out", "out exists; choose another output or pass --force to replace it")
