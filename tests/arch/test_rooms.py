"""Rooms import only the rooms that they may, without a cycle, and every room's docstring lists what is in it."""

from __future__ import annotations

import importlib
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from arch.rooms import INSTALLED, ROOT, arrows, counts, cycle, file_arrows, imports_of, module_of, python_files, room_of

#: A room may import rooms of earlier lines only; "" is the hall, the files at the top of the package.
ORDERS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "compress": (
        ("",),
        ("model", "graph"),
        ("training",),
        ("blocks", "squares"),
        ("conversion", "joint", "account"),
        ("opq",),
        ("press", "rate", "native"),
    ),
    "secure": (
        ("", "stages"),
        ("layout", "evaluators", "seal", "coded"),
        ("engine", "bundle"),
        ("draws", "comparison"),
        ("seeded", "residues"),
        ("switching",),
        ("kernels", "parties", "drafting"),
        ("bounds", "streams"),
        ("passes",),
        ("compiling", "throughput"),
        ("verify",),
    ),
    "hwmodel": (("",),),
    "cipherpress": (("detection",), ("timing", "zoo"), ("",), ("service",), ("remote",), ("selftest",), ("commands",)),
}
#: Arrows between rooms of the same line.
WITHIN_A_LINE = {
    ("compress.graph", "compress.model"),
    ("secure.drafting", "secure.kernels"),
    ("secure.stages", "secure"),
    ("secure.throughput", "secure.compiling"),
}
#: Folders at the top that are not installed.
NOT_INSTALLED = {"benchmarks", "examples", "docs", "tests", ".ci"}
#: What a package may import of the others: whole rooms, halls, or single modules.
#: A room that is listed here has its own rules, apart from its package.
TAKES: Mapping[str, frozenset[str]] = {
    "compress": frozenset(),
    "secure": frozenset({"compress"}),
    "hwmodel": frozenset(
        {
            "compress",
            "secure.bundle.batch_specs",
            "secure.bundle.specs",
            "secure.coded.plan",
            "secure.kernels",
            "secure.key_shape",
            "secure.params",
            "secure.plan",
            "secure.residues.times",
        }
    ),
    "cipherpress.detection": frozenset({"compress"}),
    "cipherpress.zoo": frozenset(
        {
            "cipherpress.detection",
            "compress",
            "compress.graph",
            "compress.joint",
            "compress.model",
            "compress.press.setting",
            "compress.training",
        }
    ),
    "cipherpress.service": frozenset(
        {
            "cipherpress",
            "compress",
            "secure.bundle",
            "secure.engine.compiled",
            "secure.parties",
            "secure.seal.context",
            "secure.seal.sizes",
            "secure.streams",
        }
    ),
    "cipherpress.remote": frozenset(
        {
            "cipherpress.service.paths",
            "compress",
            "secure.bundle",
            "secure.parties",
            "secure.streams",
        }
    ),
    "cipherpress.timing": frozenset(
        {
            "compress",
            "hwmodel",
            "secure",
            "secure.coded.plan",
            "secure.compiling",
            "secure.engine",
            "secure.kernels",
            "secure.parties",
            "secure.residues",
            "secure.seal.context",
            "secure.seeded.reading",
        }
    ),
}
HEAVY_OF_TAKERS = {
    "secure": {"torch", "torchvision"},
    "hwmodel": {"torch", "tenseal"},
    "cipherpress.timing": {"torch"},
    "cipherpress.detection": {"torch", "torchvision", "tenseal"},
    "cipherpress.service": {"torch", "tenseal"},
    "cipherpress.remote": {"torch", "tenseal"},
}


def _rooms() -> list[str]:
    return sorted({room_of(module_of(path.relative_to(ROOT).as_posix())) for path in python_files(*INSTALLED)})


def _rank(room: str) -> int:
    package, _, inner = room.partition(".")
    lines = [number for number, line in enumerate(ORDERS[package]) if inner in line]
    assert lines, f"{room} is a new room: place it in ORDERS"
    return lines[0]


@pytest.mark.parametrize("package", INSTALLED)
def test_arrows_between_rooms_go_one_way(package: str) -> None:
    found = arrows(package)
    wrong = {pair for pair in found - WITHIN_A_LINE if _rank(pair[0]) <= _rank(pair[1])}
    assert wrong == set()


@pytest.mark.parametrize("pairs_of", [arrows, file_arrows])
@pytest.mark.parametrize("package", INSTALLED)
def test_imports_have_no_cycle(package: str, pairs_of: Callable[[str], set[tuple[str, str]]]) -> None:
    assert cycle(pairs_of(package)) == []


def test_a_cycle_is_found_together_with_what_leads_into_it() -> None:
    assert cycle({("a", "b"), ("b", "c")}) == []
    assert cycle({("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")}) == ["a", "b", "c"]


def test_every_room_is_placed() -> None:
    placed = {f"{package}.{name}".rstrip(".") for package, lines in ORDERS.items() for line in lines for name in line}
    assert set(_rooms()) == placed


def test_every_top_level_folder_is_placed() -> None:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    folders = {line.split("/")[0] for line in done.stdout.splitlines() if "/" in line}
    assert folders == {*INSTALLED, *NOT_INSTALLED}


@pytest.mark.parametrize("taker", TAKES)
def test_packages_import_only_the_listed_parts_of_others(taker: str) -> None:
    entries = imports_of(taker.replace(".", "/"))
    foreign = {entry for entry in entries if entry.root in {*INSTALLED, "benchmarks", "cli"}}
    wrong = [
        entry
        for entry in foreign
        if not f"{entry.module}.".startswith(f"{taker}.") and not {entry.module, room_of(entry.module)} & TAKES[taker]
    ]
    assert wrong == []
    assert [entry for entry in entries if entry.root in HEAVY_OF_TAKERS.get(taker, ())] == []


def test_no_package_imports_the_workflow_or_its_commands() -> None:
    above = {entry.file for entry in imports_of(*INSTALLED[1:]) if entry.root in {"cipherpress", "cli", "benchmarks"}}
    assert above == set()


@pytest.mark.parametrize("room", _rooms())
def test_a_rooms_docstring_lists_its_files_and_rooms(room: str) -> None:
    folder = ROOT / room.replace(".", "/")
    lines = (importlib.import_module(room).__doc__ or "").splitlines()
    listed = {line.split()[0] for line in lines if line[:1].strip() and line.split()[0].endswith((".py", "/"))}
    files = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
    rooms = {f"{path.parent.name}/" for path in folder.glob("*/__init__.py")}
    data = {f"{path.name}/" for path in folder.iterdir() if path.is_dir() and path.name != "__pycache__"} - rooms
    assert listed - {name for name in listed if name.strip("/").split("/")[0] + "/" in data} == files | rooms
    columns = {
        len(line) - len(line.split(maxsplit=1)[1]) for line in lines if line.split() and line.split()[0] in listed
    }
    assert len(columns) <= 1, "descriptions are aligned"


def test_a_package_without_folders_counts_as_one_room(tmp_path: Path) -> None:
    (tmp_path / "secure").mkdir()
    (tmp_path / "secure" / "plan.py").write_text("")
    (tmp_path / "secure" / "keys.py").write_text("def f():\n    from secure.plan import Plan\n")
    assert counts(tmp_path) == {"secure": (1, 0, 2, 1)}
    (tmp_path / "secure" / "parties").mkdir()
    (tmp_path / "secure" / "keys.py").rename(tmp_path / "secure" / "parties" / "keys.py")
    assert counts(tmp_path) == {"secure": (2, 1, 2, 1)}


def test_one_type_only_is_named_progress() -> None:
    named = [path.name for path in python_files(*INSTALLED) if re.search(r"^Progress\b.* = ", path.read_text(), re.M)]
    assert named == ["dataset.py"]
