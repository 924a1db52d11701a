"""Mutations of the maths files, each killed by the tests that it names: `python tests/mutants/runner.py [WORD]`.

The mutations are made in a temporary copy of the checkout. The command names every mutation that its tests do not
notice (a survivor), and then fails. WORD picks the mutations whose file or text contains it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("mutants.toml")
#: What pytest's exit status says of a run.
PASSED, FAILED = 0, 1
TIMEOUT_S = 300


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One change of one line of a file.

    tests: the tests that must fail under it, as pytest's node ids without parameters.
    """

    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def applied(self, text: str) -> str:
        """The text with the change. Raises ValueError when the line to change does not occur exactly once."""
        if text.count(self.old) != 1:
            raise ValueError(
                f"{self.file}: {self.old!r} occurs {text.count(self.old)} times, not once; "
                "bring mutants.toml up to date"
            )
        return text.replace(self.old, self.new)

    def __str__(self) -> str:
        return f"{self.file}: {self.old!r} -> {self.new!r}"


def mutants() -> list[Mutant]:
    """All mutations in mutants.toml."""
    listed = tomllib.loads(LIST.read_text())["mutant"]
    return [Mutant(**{**entry, "tests": tuple(entry["tests"])}) for entry in listed]


def copy_checkout(target: Path) -> None:
    """Copies every file of the working tree, untracked ones included, except those that git ignores."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def exit_status(checkout: Path, tests: Iterable[str]) -> int:
    """Pytest's exit status for these tests in a copy of the checkout; the copy imports nothing of the original."""
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:randomly", *tests]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode not in (PASSED, FAILED):
        raise RuntimeError(f"pytest ended with status {done.returncode} on {list(tests)}:\n{done.stdout}{done.stderr}")
    return done.returncode


def survivors(checkout: Path, chosen: Sequence[Mutant]) -> list[Mutant]:
    """The mutations that at least one of their tests does not notice."""
    found = []
    for mutant in chosen:
        path = checkout / mutant.file
        before = path.read_text()
        path.write_text(mutant.applied(before))
        killed = all(exit_status(checkout, [test]) == FAILED for test in mutant.tests)
        path.write_text(before)
        print(f"{'killed  ' if killed else 'SURVIVED'} {mutant}", flush=True)
        found += [] if killed else [mutant]
    return found


def main() -> int:
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    chosen = [mutant for mutant in mutants() if word in f"{mutant.file} {mutant.old}"]
    if not chosen:
        print(f"no mutation has '{word}' in its file or text")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        checkout = Path(folder)
        copy_checkout(checkout)
        if exit_status(checkout, sorted({test for mutant in chosen for test in mutant.tests})) != PASSED:
            print("the tests fail without any mutation")
            return 1
        alive = survivors(checkout, chosen)
    print(f"{len(chosen) - len(alive)} of {len(chosen)} mutations killed")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
