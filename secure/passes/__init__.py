"""The passes of the compiler, in the order in which the search runs them, each followed by its checker.

arrange.py             1: slot maps and diagonals
choose_rotations.py    2: baby steps and giant steps
place_rescales.py      3: levels
choose_parameters.py   4: scales and primes
emit.py                5: the Plan
chains.py              from wanted precisions to scales and primes
checkers.py            one checker per pass
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from secure.drafting.draft import Draft
from secure.passes.arrange import arrange
from secure.passes.checkers import check_arranged, check_levels, check_parameters, check_plan, check_rotations
from secure.passes.choose_parameters import choose_parameters
from secure.passes.choose_rotations import choose_rotations
from secure.passes.emit import emit
from secure.passes.place_rescales import place_rescales

#: A pass fills in fields of a draft. It returns None when nothing that it may choose fits the ring.
Pass = Callable[[Draft], Draft | None]
#: A checker raises PlanError, or a more specific CompileError, naming the layer at which its pass went wrong.
Checker = Callable[[Draft], None]

#: What the compiler runs. A pass that is added here runs in every compilation, directly after the pass before it.
PASSES: tuple[tuple[Pass, Checker], ...] = (
    (arrange, check_arranged),
    (choose_rotations, check_rotations),
    (place_rescales, check_levels),
    (choose_parameters, check_parameters),
    (emit, check_plan),
)


def run_passes(
    draft: Draft, *, start: Pass | None = None, stop: Pass | None = None, gave_up: Counter[str] | None = None
) -> Draft | None:
    """Run the passes from `start` up to but not including `stop`, each followed by its checker.

    start: a pass of PASSES; None for the first. stop: a later one; None to run to the end. The search stops before a
    pass in order to run it once for each of several choices. gave_up: counts, by name, the passes that returned None.
    Returns: the draft after the last of these passes; None as soon as a pass returns None.
    Raises: what passes and checkers raise, naming the layer.
    """
    order = [run for run, _ in PASSES]
    first = 0 if start is None else order.index(start)
    end = len(order) if stop is None else order.index(stop)
    current = draft
    for run, check in PASSES[first:end]:
        done = run(current)
        if done is None:
            if gave_up is not None:
                gave_up[getattr(run, "__name__", repr(run))] += 1
            return None
        check(done)
        current = done
    return current
