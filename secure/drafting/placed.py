"""One layout of a stage, and where a value lies that a stage reads."""

from __future__ import annotations

from dataclasses import dataclass

from secure.layout.blocks import Blocks
from secure.layout.diagonals import DiagonalTable
from secure.layout.multiplexed import Multiplexed
from secure.layout.packing import SlotMap
from secure.stages.stages import Grid


@dataclass(frozen=True)
class Placed:
    """One layout of a stage: a description for people, its diagonals, and where its result lies if it is in blocks or
    multiplexed."""

    layout: str
    table: DiagonalTable
    blocks: Blocks | None = None
    multiplexed: Multiplexed | None = None


@dataclass(frozen=True)
class Source:
    """Where a value that a stage reads lies: its slot map, the grid of its positions, and whether it is in blocks or
    multiplexed."""

    slot_map: SlotMap
    blocks: Blocks | None = None
    grid: Grid | None = None
    multiplexed: Multiplexed | None = None
