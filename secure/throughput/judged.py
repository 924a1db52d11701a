"""What a search tries plans of: programs of one network by the bits of their codes, and the evidence for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from secure.coded.forms import Program
from secure.throughput.evidence import Evidence

#: The program of a network whose weights without codes get codes of so many bits; None where there is none.
Programs = Callable[[int], Program | None]


@dataclass(frozen=True)
class Judged:
    """programs: all read the same inputs. evidence: for them. units: that they read after an image's features."""

    programs: Programs
    evidence: Evidence
    units: tuple[float, ...] = ()
