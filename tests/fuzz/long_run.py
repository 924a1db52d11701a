"""Mutated containers by the hundred thousand, against the parsers and the service's handlers, all in one process.

    python -m tests.fuzz.long_run STATE [TYPE ...] [--count 200000] [--minutes 20] [--results benchmarks/results]

Types take turns, a slice each, until each has had its count or the processor time is used up. STATE is a JSON file;
called again with it, the run goes on where it ended, after a crash too: the slice that a process died in counts as a
fault and is left out. A slice's seeds follow each other, so a fault can be repeated by its seed. Prints a table, writes
it as mutations.json and mutations.md where it is told to, and ends with status 1 where there are faults. Ctrl-C ends it
after the slice that it is at.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import process_time
from typing import Any

from benchmarks.machine import this_machine
from benchmarks.process_use import rss_bytes
from benchmarks.report import write_result
from tests.fuzz.mutations_table import mutations_table
from tests.fuzz.trial import Case, run_trials
from tests.fuzz.types import CONTAINER_ERRORS, CONTAINERS

#: Mutations of a type in one turn; and before memory is looked at for the first time.
SLICE, WARM = 1000, 500
#: The first seed; those before it belong to the tests.
FIRST_SEED = 1_000_000
#: What a process may grow by after its second round of all types.
MOST_GROWTH_BYTES = 50 * 2**20
#: Signals that asked this process to end, which it does after the slice that it is at.
STOPPED: list[int] = []
FRESH: Mapping[str, Any] = {"done": 0, "cpu_s": 0.0, "outcomes": {}, "faults": [], "slowest_s": 0.0, "slowest": ""}


class Run:
    """The state of a run, which is written after every slice."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.types: dict[str, dict[str, Any]] = json.loads(path.read_bytes()) if path.is_file() else {}
        for row in self.types.values():
            if row.pop("at", None) is not None:
                first = FIRST_SEED + row["done"]
                row["faults"].append(f"the process died between seeds {first} and {first + SLICE - 1}")
                row["done"] += SLICE

    def row(self, name: str) -> dict[str, Any]:
        return self.types.setdefault(name, json.loads(json.dumps(FRESH)))

    def save(self) -> None:
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(self.types, indent=1))
        os.replace(part, self._path)


def run_slice(run: Run, name: str, case: Case, count: int) -> None:
    """The next mutations of a type, with its row brought up to date."""
    row = run.row(name)
    row["at"] = FIRST_SEED + row["done"]
    run.save()
    started = process_time()
    found = run_trials(case, count, first=row["at"])
    wrong = sorted(found.outcomes.keys() - {"works", *CONTAINER_ERRORS})
    row["faults"] += [*found.faults, *(f"seeds from {row['at']}: error of the wrong type {one}" for one in wrong)]
    row["outcomes"] = dict(Counter(row["outcomes"]) + found.outcomes)
    row["cpu_s"] += process_time() - started
    row["done"] += count
    if found.slowest_s > row["slowest_s"]:
        row["slowest_s"], row["slowest"] = found.slowest_s, found.slowest
    del row["at"]
    run.save()


def main(arguments: Sequence[str]) -> int:
    """Run; 1 where a fault was found, now or before."""
    parser = ArgumentParser(description="Mutated containers by the hundred thousand.")
    parser.add_argument("state", type=Path)
    parser.add_argument("types", nargs="*", choices=[[], *CONTAINERS])
    parser.add_argument("--count", type=int, default=200_000, help="mutations of each type")
    parser.add_argument("--minutes", type=float, default=20.0, help="processor time of this process")
    parser.add_argument("--results", type=Path, help="folder for mutations.json and mutations.md")
    options = parser.parse_args(arguments)
    run, names = Run(options.state), options.types or list(CONTAINERS)
    with tempfile.TemporaryDirectory() as folder:
        cases = {}
        for name in names:
            own = Path(folder) / name.replace(" ", "-")
            own.mkdir()
            cases[name] = CONTAINERS[name](own)
            run_trials(cases[name], WARM, first=FIRST_SEED - WARM)  # imports, kernels and SEAL's pools are made now
        memory = [rss_bytes(os.getpid())]
        ends = process_time() + 60 * options.minutes
        while names and process_time() < ends and not STOPPED:
            for name in list(names):
                left = options.count - run.row(name)["done"]
                if left <= 0:
                    names.remove(name)
                elif process_time() < ends and not STOPPED:
                    run_slice(run, name, cases[name], min(SLICE, left))
            memory.append(rss_bytes(os.getpid()))
    faults = [f"{name}: {fault}" for name, row in run.types.items() for fault in row["faults"]]
    growth = memory[-1] - memory[2] if len(memory) > 3 else 0
    if growth > MOST_GROWTH_BYTES:
        faults.append(f"this process grew by {growth / 1e6:.0f} MB after its second round")
    command = f"python -m tests.fuzz.long_run STATE --count {options.count}"
    machine = this_machine().as_json()
    result = {
        "command": command,
        "types": run.types,
        "memory_bytes": memory[:: max(1, len(memory) // 20)],
        "machine": machine,
    }
    if options.results is not None:
        write_result(options.results / "mutations.json", result, mutations_table(result))
    sys.stdout.write(mutations_table(result))
    sys.stdout.write("".join(f"{fault}\n" for fault in faults))
    return int(bool(faults))


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: STOPPED.append(number))
    sys.exit(main(sys.argv[1:]))
