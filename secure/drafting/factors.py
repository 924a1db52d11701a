"""Layouts of a stage whose value holds the two factors of a product, made from layouts of ordinary stages. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from secure.drafting.draft import Draft
from secure.drafting.placed import Placed
from secure.layout.blocks import Blocks
from secure.layout.diagonals import DiagonalTable
from secure.layout.factors import atom_map, both_factors, in_one
from secure.layout.packing import EMPTY, next_power_of_two
from secure.stages.pairs import Making
from secure.stages.stages import Stage

#: What layouts of two factors are called, before the layout that they have in common.
APART, IN_ONE = "each factor alone, ", "both factors in one, "


def with_stage(draft: Draft, index: int, stage: Stage) -> Draft:
    """The draft with another stage in this place."""
    return replace(draft, stages=(*draft.stages[:index], stage, *draft.stages[index + 1 :]))


def widened(stage: Stage) -> tuple[Stage, int]:
    """(A stage with the rows of both factors, each factor filled up with rows of zeros; rows per factor).

    A factor gets a power of two of rows, or of channels where it has positions.
    """
    features, grid = stage.atom_size, stage.grid
    half = next_power_of_two(features)
    if grid is not None:
        channels = next_power_of_two(grid.channels)
        half, grid = features // grid.channels * channels, replace(grid, channels=2 * channels)
    maps = {}
    for atom, matrix in stage.maps.items():
        nothing = sparse.csr_matrix((half - features, matrix.shape[1]))
        parts = [matrix[:features], nothing, matrix[features:], nothing]
        maps[atom] = sparse.vstack([part for part in parts if part.shape[0]], format="csr")
    constant = np.zeros((2, half))
    constant[:, :features] = stage.constant.reshape(2, features)
    return Stage(maps, constant.ravel(), grid, stage.layer, squared=True, tokens=stage.tokens), half


def in_one_layout(placed: Placed, stage: Stage, half: int) -> Placed | None:
    """The layout of both factors in the same ciphertexts, from one of the widened stage; None where that one does not
    serve. Multiplexed values do not."""
    table = in_one(placed.table, stage.atom_size, half)
    if table is None or placed.multiplexed is not None:
        return None
    blocks = None if placed.blocks is None else _product_blocks(placed.blocks, table, stage)
    return replace(placed, layout=f"{IN_ONE}{placed.layout}", table=table, blocks=blocks)


def _product_blocks(blocks: Blocks, table: DiagonalTable, stage: Stage) -> Blocks | None:
    """The blocks of a product whose factors lie in blocks side by side: those of the first factor."""
    assert stage.grid is not None, "blocks hold positions"
    channels = stage.grid.channels
    own = replace(blocks, channels=np.where(blocks.channels < channels, blocks.channels, EMPTY).astype(np.int32))
    made: NDArray[np.int32] = own.slot_map
    agrees = (made == atom_map(table, Making.PRODUCT)) | (made == EMPTY)
    return own if agrees.all() else None


def apart_layout(first: Placed, second: Placed) -> Placed | None:
    """The layout of both factors, each in ciphertexts of its own, from those of each; None where these differ."""
    table = both_factors(first.table, second.table)
    if table is None or (first.multiplexed is None) != (second.multiplexed is None):
        return None
    return replace(first, layout=f"{APART}{first.layout}", table=table)


def placed_factors(words: str, stage: Stage, table: Callable[..., DiagonalTable], *places: Any) -> Placed:
    """The layout of a stage, or of its two factors, each in ciphertexts of its own.

    table: of maps, in the places that it is given; it lays out both factors alike.
    """
    if not stage.paired:
        return Placed(words, table(stage.maps, *places))
    both = both_factors(*(table(half.maps, *places) for half in stage.halves))
    assert both is not None, "the same layout puts both factors into the same slots"
    return Placed(f"{APART}{words}", both)
