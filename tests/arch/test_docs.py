"""Pages name only what exists: files, modules, public names, commands with their options, and links."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from arch.pages import Page, files, page_of, wrong_commands, wrong_links, wrong_names, wrong_paths
from arch.rooms import ROOT

import cli

PAGES = sorted(path for path in files() if path == "README.md" or (path.startswith("docs/") and path.endswith(".md")))
LINKING = sorted(path for path in files() if path.endswith(".md"))


def page(name: str) -> Page:
    return page_of(name, (ROOT / name).read_text(encoding="utf-8"))


def commands_of(some: Page) -> Iterator[str]:
    return wrong_commands(some, cli.main)


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("check", [wrong_paths, wrong_names, commands_of])
def test_a_page_names_what_exists(name: str, check: Callable[[Page], Iterator[str]]) -> None:
    assert list(check(page(name))) == []


@pytest.mark.parametrize("name", LINKING)
def test_relative_links_lead_somewhere(name: str) -> None:
    assert list(wrong_links(page(name))) == []


def test_every_page_is_reached_from_the_readme() -> None:
    """README links to every page of docs/, directly or through other pages."""
    reached, waiting = set(), ["README.md"]
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        for link in page(name).links:
            target = ((ROOT / name).parent / link.partition("#")[0]).resolve()
            if target.is_relative_to(ROOT) and target.suffix == ".md" and target.is_file():
                waiting.append(str(target.relative_to(ROOT)))
    assert set(PAGES) - reached == set()


@pytest.mark.parametrize("name", [path for path in PAGES if path != "README.md"])
def test_prose_is_wrapped(name: str) -> None:
    """Prose has at most 120 columns. Tables, code, pictures and the lines that benchmarks write are not checked."""
    prose, inside = [], False
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        inside ^= line.startswith("```")
        if not inside and not line.startswith(("|", "!", "Measured over predicted")):
            prose.append(line)
    assert [line for line in prose if len(line) > 120] == []


FAULTS = {
    "`compress/nowhere.py`": (wrong_paths, "compress/nowhere.py: no such file or folder"),
    "`src/nowhere.py`": (wrong_paths, "src/nowhere.py: no such file"),
    "`nowhere.py`": (wrong_paths, "nowhere.py: 0 files have that name; write the whole path"),
    "`docs/nowhere/`": (wrong_paths, "docs/nowhere/: no such file or folder"),
    "`cp.nothing(net)`": (wrong_names, "cp.nothing: not a public name of cipherpress"),
    "```python\nx = cp.nothing\n```": (wrong_names, "cp.nothing: not a public name of cipherpress"),
    "`secure.plan.Nothing`": (wrong_names, "secure.plan.Nothing: cannot be imported"),
    "`secure.nowhere.Plan`": (wrong_names, "secure.nowhere.Plan: cannot be imported"),
    "`an_unknown_function`": (wrong_names, "an_unknown_function: the code has no such name"),
    "`cipherpress nothing out`": (commands_of, "cipherpress nothing: no such command"),
    "Text:\n\n    cipherpress nothing out\n": (commands_of, "cipherpress nothing: no such command"),
    "`cipherpress run --nothing`": (commands_of, "cipherpress run: no option --nothing"),
    "`run --radius 2`": (commands_of, "cipherpress run: no option --radius"),
    "`cipherpress bench nothing`": (commands_of, "cipherpress bench: argument has no choice nothing"),
    "`--nothing 3`": (commands_of, "--nothing: no command has it"),
    "`python -m benchmarks.nothing`": (commands_of, "benchmarks.nothing: no such benchmark"),
    "`make nothing`": (commands_of, "make nothing: the Makefile has no such target"),
    "[x](nowhere.md)": (wrong_links, "nowhere.md: no such file"),
    "[x](planner.md#nothing)": (wrong_links, "planner.md#nothing: no such heading"),
}


@pytest.mark.parametrize("text", FAULTS)
def test_a_wrong_name_is_found(text: str) -> None:
    check, message = FAULTS[text]
    assert message in list(check(page_of("docs/page.md", text)))
