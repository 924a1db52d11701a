"""What the pages of the documentation name, and which of it does not exist: paths, names, commands, options, links.

A page names something in code: an inline span in backticks, a fenced block, or a block that is indented by four spaces.
"""

from __future__ import annotations

import importlib
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import click
from arch.rooms import ROOT

#: The folders and files whose code the pages name.
CODE = ("cipherpress", "compress", "secure", "hwmodel", "benchmarks", "examples", "cli.py")
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
GENERATED = re.compile(r"<!-- (\w+): begin -->.*?<!-- \1: end -->", re.DOTALL)
INDENTED = re.compile(r"(?:(?<=\n\n)|\A)(?: {4}[^\n]*\n(?:\n(?= {4}))?)+")
SPAN = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
MODULE = re.compile(r"(?:cipherpress|compress|secure|hwmodel|benchmarks)(?:\.\w+)+")
WORD = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class Page:
    """spans: inline code. lines: the lines of its blocks of code. links: their targets."""

    name: str
    spans: tuple[str, ...]
    lines: tuple[str, ...]
    links: tuple[str, ...]

    @property
    def code(self) -> tuple[str, ...]:
        return (*self.spans, *self.lines)


def page_of(name: str, text: str) -> Page:
    """The page with that text. Its code leaves out tables that benchmarks generate; its links include theirs."""
    links = tuple(LINK.findall(text))
    text = GENERATED.sub("", text)
    blocks = FENCE.findall(text)
    text = FENCE.sub("\n", text)
    blocks += INDENTED.findall(text)
    text = INDENTED.sub("\n", text)
    spans = tuple(" ".join(span.split()) for span in SPAN.findall(text))
    return Page(name, spans, tuple(line.strip() for block in blocks for line in block.splitlines()), links)


@cache
def files() -> frozenset[str]:
    """The paths of all files of the checkout, except those that git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return frozenset(line for line in listed.splitlines() if (ROOT / line).is_file())


@cache
def words() -> frozenset[str]:
    """Every identifier in the code, YAML files included."""
    places = [path for path in files() if path.split("/")[0] in CODE and path.endswith((".py", ".yaml"))]
    return frozenset(word for path in places for word in WORD.findall((ROOT / path).read_text(encoding="utf-8")))


def wrong_paths(page: Page) -> Iterator[str]:
    """Python files, and paths below a folder of the checkout, that do not exist.

    A bare file name may lie in any folder, if only one file has that name.
    """
    for span in page.spans:
        if not re.fullmatch(r"[\w.-]+(?:/[\w.-]+)*/?", span):
            continue
        top, _, below = span.partition("/")
        if not below and span.endswith(".py") and span not in files():
            found = [path for path in files() if path.endswith(f"/{span}")]
            if len(found) != 1:
                yield f"{span}: {len(found)} files have that name; write the whole path"
        elif below and (ROOT / top).is_dir() and not (ROOT / span).exists():
            yield f"{span}: no such file or folder"
        elif "/" in span and span.endswith(".py") and span not in files():
            yield f"{span}: no such file"


def wrong_names(page: Page) -> Iterator[str]:
    """Names that do not exist.

    These are dotted names that cannot be imported, public names that `cipherpress` lacks, and identifiers that the
    code does not have.
    """
    import cipherpress

    for code in page.code:
        for name in re.findall(r"(?<![\w.])cp\.([A-Za-z_]\w*)", code):
            if name not in cipherpress.__all__:
                yield f"cp.{name}: not a public name of cipherpress"
        for name in MODULE.findall(code):
            if not _resolves(name):
                yield f"{name}: cannot be imported"
    for span in page.spans:
        if "/" in span or "--" in span or " * " in span:  # paths, options and formulas
            continue
        for word in re.findall(r"(?<![\w.-])[A-Za-z]\w*_\w+", span):
            if word not in words():
                yield f"{word}: the code has no such name"


def _resolves(name: str) -> bool:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def wrong_commands(page: Page, group: click.Group) -> Iterator[str]:
    """Commands, options, values, make targets and benchmarks that do not exist."""
    everywhere = {option for command in group.commands.values() for option in options_of(command)}
    for code in page.code:
        line = re.split(r"\s{2,}|\s#", code)[0]
        module = re.search(r"python -m (benchmarks\.\w+)", line)
        if module:
            source = ROOT / (module[1].replace(".", "/") + ".py")
            text = source.read_text(encoding="utf-8") if source.is_file() else ""
            if not text:
                yield f"{module[1]}: no such benchmark"
            yield from (f"{module[1]}: no option {option}" for option in OPTION.findall(line) if option not in text)
            continue
        yield from _wrong_command(line, group)
        if line.startswith("make ") and f"\n{line.split()[1]}:" not in (ROOT / "Makefile").read_text(encoding="utf-8"):
            yield f"{line}: the Makefile has no such target"
        known = everywhere | options_of(group)
        yield from (f"{option}: no command has it" for option in OPTION.findall(code) if option not in known)


def _wrong_command(line: str, group: click.Group) -> Iterator[str]:
    words = line.split()
    prefixed = bool(words) and words[0] == "cipherpress"
    words = words[prefixed:]
    if not words or (words[0].startswith("-") and not prefixed):
        return
    if words[0] not in group.commands:
        if prefixed and not words[0].startswith("-"):
            yield f"cipherpress {words[0]}: no such command"
        return
    if not prefixed and not any(word.startswith("--") for word in words):
        return  # an English word that is also the name of a command
    command = group.commands[words[0]]
    choices = {
        name: parameter.type.choices
        for parameter in command.params
        if isinstance(parameter.type, click.Choice)
        for name in ([""] if isinstance(parameter, click.Argument) else parameter.opts)
    }
    if command.name == "bench":
        choices[""] = tuple(importlib.import_module("benchmarks").BENCHMARKS)
    previous = ""
    for word in words[1:]:
        if OPTION.fullmatch(word) and word not in options_of(command):
            yield f"cipherpress {command.name}: no option {word}"
        elif not word.startswith("-") and word.islower() and word not in choices.get(previous, [word]):
            yield f"cipherpress {command.name}: {previous or 'argument'} has no choice {word}"
        previous = word if word.startswith("-") else " "


def options_of(command: click.Command) -> set[str]:
    """The --options of a command, --help included."""
    names = [*(name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)), "--help"]
    return {name for name in names if name.startswith("--")}


def wrong_links(page: Page) -> Iterator[str]:
    """Relative links to files that do not exist, or to headings that the file does not have."""
    for link in page.links:
        if re.match(r"[a-z]+:", link):
            continue
        target, _, heading = link.partition("#")
        file = (ROOT / page.name).parent / target if target else ROOT / page.name
        if not file.exists():
            yield f"{link}: no such file"
        elif heading and heading not in {_slug(line) for line in file.read_text(encoding="utf-8").splitlines()}:
            yield f"{link}: no such heading"


def _slug(line: str) -> str:
    """The anchor of a heading; empty for other lines."""
    return re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower()).replace(" ", "-") if line.startswith("#") else ""
