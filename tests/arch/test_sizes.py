"""No file has more than 350 lines, no function more than 60 lines or 10 parameters, unless a comment says why."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from arch.rooms import INSTALLED, ROOT, python_files

FILE_LINES = 350
FUNCTION_LINES = 60
PARAMETERS = 10
PLACES = (*INSTALLED, "cli.py", "benchmarks", "examples", "tests")
#: Files that may be longer, each with the reason.
LONG_FILES: dict[str, str] = {}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def lines_of(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def parameters_of(function: Function) -> int:
    """The number of parameters, without self or cls."""
    named = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return len(named) - (bool(named) and named[0].arg in {"self", "cls"})


def too_large(text: str) -> list[str]:
    """Functions over the limits that no comment explains.

    The comment stands in the line above the function or its decorators, or in the function's first line.
    """
    found, lines = [], text.splitlines()
    for function in functions(ast.parse(text)):
        if lines_of(function) <= FUNCTION_LINES and parameters_of(function) <= PARAMETERS:
            continue
        first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
        above = lines[first - 2].strip() if first > 1 else ""
        if not above.startswith("#") and "  # " not in lines[function.lineno - 1]:
            found.append(f"{function.name}: {lines_of(function)} lines, {parameters_of(function)} parameters")
    return found


@pytest.mark.parametrize("place", PLACES)
def test_functions_are_short_or_say_why(place: str) -> None:
    found = {path.relative_to(ROOT).as_posix(): too_large(path.read_text()) for path in python_files(place)}
    assert {path: functions for path, functions in found.items() if functions} == {}


@pytest.mark.parametrize("place", PLACES)
def test_files_are_short(place: str) -> None:
    def lines(path: Path) -> int:
        return path.read_text().count("\n")

    long = {path.relative_to(ROOT).as_posix(): lines(path) for path in python_files(place) if lines(path) > FILE_LINES}
    assert {path: count for path, count in long.items() if path not in LONG_FILES} == {}


def test_a_listed_file_is_long_and_has_a_reason() -> None:
    for path, reason in LONG_FILES.items():
        assert (ROOT / path).read_text().count("\n") > FILE_LINES and reason


def test_a_function_at_the_limits_passes_and_one_above_them_needs_a_comment() -> None:
    def function(lines: int, parameters: int, above: str = "", beside: str = "") -> str:
        names = ", ".join(f"p{index}" for index in range(parameters))
        return f"{above}\ndef f({names}):{beside}\n" + "    pass\n" * (lines - 1)

    assert too_large(function(60, 10)) == []
    assert too_large(function(61, 0)) == ["f: 61 lines, 0 parameters"]
    assert too_large(function(2, 11)) == ["f: 2 lines, 11 parameters"]
    assert too_large(function(61, 11, above="# a kernel: every array is one")) == []
    assert too_large(function(61, 11, beside="  # a kernel: every array is one")) == []
    assert too_large("class A:\n    def f(self, " + ", ".join("abcdefghij") + "):\n        pass\n") == []
