"""Whatever a file from outside holds: a value that works or a typed error, soon, and in flat memory.

CIPHERPRESS_FUZZ sets how many mutations of each type the slow test tries, CIPHERPRESS_FUZZ_FIRST its first seed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fuzz.trial import MOST_GROWTH_BYTES, peak_bytes, run_trials
from tests.fuzz.types import CONTAINER_ERRORS, CONTAINERS, FOLDERS

#: Mutations of each type in the quick test; `python -m tests.fuzz.long_run` tries many more of containers.
COUNT = 500
SLOW_COUNT = int(os.environ.get("CIPHERPRESS_FUZZ", "20000"))
SLOW_FIRST = int(os.environ.get("CIPHERPRESS_FUZZ_FIRST", str(COUNT)))

TYPES = {**FOLDERS, **CONTAINERS}


def check(name: str, folder: Path, count: int, first: int) -> None:
    case = TYPES[name](folder)
    run_trials(case, 20, first=first)  # imports, kernels and SEAL's pools are made now
    before = peak_bytes()
    found = run_trials(case, count, first=first)
    assert found.faults[:20] == [], f"{len(found.faults)} faults; {dict(found.outcomes)}"
    if name in CONTAINERS:
        assert found.outcomes.keys() <= {"works", *CONTAINER_ERRORS}, found.outcomes
    assert found.outcomes["works"] < count / 2, "most mutations are refused, else they miss what is read"
    assert len(found.outcomes) > 1
    assert peak_bytes() - before < MOST_GROWTH_BYTES


@pytest.mark.parametrize("name", TYPES)
def test_a_mutation_works_or_is_refused_by_a_typed_error(name: str, tmp_path: Path) -> None:
    check(name, tmp_path, COUNT, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", TYPES)
def test_many_mutations_work_or_are_refused_by_a_typed_error(name: str, tmp_path: Path) -> None:
    check(name, tmp_path, SLOW_COUNT, SLOW_FIRST)
