"""The passes from a Network to a Program that is ready for scales, each followed by a check of what it made."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from compress.errors import PlanError
from compress.network import Network
from secure.coded.affines import merge_affines
from secure.coded.constants import fold_constants
from secure.coded.forms import Program
from secure.coded.lowering import lowered
from secure.coded.merging import merge_linear
from secure.coded.unread import drop_unread

Array = NDArray[np.float64]
Pass = Callable[[Program], Program]

#: In order. Each keeps what the program computes.
PASSES: tuple[Pass, ...] = (merge_affines, drop_unread, fold_constants, merge_linear, drop_unread)
#: How far a pass may change an output, relative to the largest one: float64's digits, which polynomials magnify.
KEPT = 1e-9


def run_passes(network: Network, weight_bits: int, probes: Array, passes: tuple[Pass, ...] = PASSES) -> Program:
    """The program of a network after all passes. probes: flat inputs (rows, features) that every pass is checked on.

    Raises: CompileError for a node without a rule; PlanError when a pass changes what is computed.
    """
    program = lowered(network, weight_bits)
    wanted = program.run(probes)[-1]
    for one in passes:
        program = one(program)
        _check(program, one.__name__, probes, wanted)
    return program


def _check(program: Program, name: str, probes: Array, wanted: Array) -> None:
    for value, form in enumerate(program.forms, start=1):
        if not form.sources or not all(0 <= source < value for source in form.sources):
            raise PlanError(form.layer, f"after the pass '{name}' it reads a value that is not made yet")
    found = program.run(probes)[-1]
    if found.shape != wanted.shape or not np.abs(found - wanted).max() <= KEPT * max(np.abs(wanted).max(), 1.0):
        raise PlanError(program.forms[-1].layer, f"the pass '{name}' changed what the network computes")
