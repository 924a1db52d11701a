"""Rooms and arrows of a checkout, counted from its import statements: `python tests/arch/rooms.py [CHECKOUT]`.

A room is a folder of Python files; the files at the top of a package are its hall. An arrow leads from a room to
another one that it imports, lazily or at the top; imports for type checkers alone do not count.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
INSTALLED = ("cipherpress", "compress", "secure", "hwmodel")
OURS = frozenset({*INSTALLED, "benchmarks", "cli", "zoo", "timing"})


@dataclass(frozen=True)
class Import:
    """One imported module.

    file: the file that imports it, relative to the checkout. at_top: whether the module loads together with the file.
    """

    file: str
    module: str
    at_top: bool

    @property
    def root(self) -> str:
        return self.module.split(".")[0]


def python_files(*places: str, root: Path = ROOT) -> list[Path]:
    """Python files of packages and single files, in order."""
    return sorted(
        path
        for place in places
        for path in ([root / place] if (root / place).is_file() else (root / place).rglob("*.py"))
    )


def imports_of(*places: str, root: Path = ROOT) -> list[Import]:
    """Every import of the files in these packages."""
    return [entry for path in python_files(*places, root=root) for entry in _file_imports(path, root)]


@cache
def _file_imports(path: Path, root: Path) -> tuple[Import, ...]:
    return tuple(_imports(path, root))


def _imports(path: Path, root: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text())
    typing_only = _inside(
        block
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
    )
    lazy = _inside(block for block in ast.walk(tree) if isinstance(block, ast.FunctionDef | ast.AsyncFunctionDef))
    file = path.relative_to(root).as_posix()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            module = node.module or ""
            names = [module]
            if module.split(".")[0] in OURS and (root / module.replace(".", "/")).is_dir():
                # `from compress import network` names a module; `from secure.passes import PASSES` a name in one
                names = [_module_or_package(root, module, alias.name) for alias in node.names]
        else:
            continue
        yield from (Import(file, name, id(node) not in lazy) for name in names)


def _module_or_package(root: Path, package: str, name: str) -> str:
    inside = root / package.replace(".", "/") / name
    return f"{package}.{name}" if inside.is_dir() or inside.with_suffix(".py").is_file() else package


def _inside(blocks: Iterable[ast.AST]) -> set[int]:
    return {id(node) for block in blocks for node in ast.walk(block)}


def room_of(module: str, root: Path = ROOT) -> str:
    """The room that holds a module: `secure.engine` for secure.engine.ring, `secure` for secure.plan in the hall."""
    parts = module.split(".")
    while len(parts) > 1 and not (root / "/".join(parts)).is_dir():
        parts = parts[:-1]
    return ".".join(parts)


def module_of(file: str) -> str:
    """The dotted name of a file of the checkout."""
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def arrows(package: str, root: Path = ROOT) -> set[tuple[str, str]]:
    """Pairs (room, room that it imports) inside one package."""
    found = set()
    for entry in imports_of(package, root=root):
        if entry.root == package:
            pair = (room_of(module_of(entry.file), root), room_of(entry.module, root))
            found |= {pair} if pair[0] != pair[1] else set()
    return found


def file_arrows(package: str, root: Path = ROOT) -> set[tuple[str, str]]:
    """Pairs (module, module that it imports) inside one package."""
    return {(module_of(entry.file), entry.module) for entry in imports_of(package, root=root) if entry.root == package}


def cycle(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Rooms, or modules, on a cycle of arrows or with a way into one; empty when there is no cycle."""
    leads: dict[str, set[str]] = {}
    for start, end in pairs:
        leads.setdefault(start, set()).add(end)
        leads.setdefault(end, set())
    while True:
        free = [name for name, ends in leads.items() if not ends]
        if not free:
            return sorted(leads)
        leads = {name: ends - set(free) for name, ends in leads.items() if name not in free}


def counts(root: Path) -> Mapping[str, tuple[int, int, int, int]]:
    """(rooms, arrows between rooms, files, arrows between files) of each installed package in the checkout."""
    result = {}
    for package in INSTALLED:
        if (root / package).is_dir():
            files = [path for path in python_files(package, root=root) if path.name != "__init__.py"]
            rooms = {path.parent for path in files}
            result[package] = len(rooms), len(arrows(package, root)), len(files), len(file_arrows(package, root))
    return result


if __name__ == "__main__":
    for name, (rooms, between_rooms, files, between_files) in counts(
        Path(sys.argv[1] if sys.argv[1:] else ROOT)
    ).items():
        sys.stdout.write(
            f"{name:<12} {rooms:>3} rooms {between_rooms:>4} arrows, {files:>4} files {between_files:>4} arrows\n"
        )
