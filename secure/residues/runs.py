"""Sparse integer matrices in the order in which the sparse kernel reads them.

The kernel works on blocks of columns, whose residues fit into the first-level cache and serve all rows. A run is what
one row does in one block. It ends early where the row's sum might leave float64's exact range without a reduction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secure.coded.plan import Linear
from secure.residues.constants import row_sums

Array = NDArray[np.float64]

#: Columns of a block: 32 KB of a panel of 32 positions.
BLOCK_COLUMNS = 128
#: Codes of a run, on average, below which blocks are made larger: starting a run takes as long as some codes.
RUN_CODES = 6


@dataclass(frozen=True)
class SparseRuns:
    """A matrix in the order in which the kernel reads it.

    runs: (count, 5): row, the first code, the one after the last; whether the run is the first of its row and starts
    from the bias (0 or 1); whether its sum is reduced at the end. columns, codes: of every code.
    """

    runs: NDArray[np.int64]
    columns: NDArray[np.int64]
    codes: Array


def sparse_runs(layer: Linear, columns: int, limit: int) -> SparseRuns:
    """The layer's codes in runs. limit: the largest sum of |codes| between two reductions; no code is larger."""
    rows = layer.rows
    cuts = _cuts(layer, rows, limit)
    blocks = layer.columns // _block_columns(layer, columns)
    order = np.lexsort((layer.columns, rows, cuts, blocks))
    keys = np.stack([blocks, cuts, rows], axis=1)[order]
    changes = np.flatnonzero(np.any(keys[1:] != keys[:-1], axis=1)) + 1
    firsts = np.concatenate([[0], changes]) if len(keys) else np.zeros(0, dtype=np.int64)
    ends = np.append(firsts[1:], len(keys)) if len(keys) else firsts
    empty = np.setdiff1d(np.arange(layer.features), keys[firsts, 2])
    of_runs = np.concatenate([keys[firsts, 2], empty])
    spans = np.zeros((len(of_runs), 2), dtype=np.int64)
    spans[: len(firsts)] = np.stack([firsts, ends], axis=1)
    starting, reduced = _ends(of_runs, np.concatenate([keys[firsts, 1], np.zeros_like(empty)]))
    runs = np.column_stack([of_runs, spans, starting, reduced]).astype(np.int64)
    return SparseRuns(runs, layer.columns[order].astype(np.int64), layer.codes[order].astype(np.float64))


def count_runs(layer: Linear, columns: int, limit: int) -> int:
    """How many runs a layer takes; about, where sums are reduced within rows. limit: as of `sparse_runs`."""
    blocks = layer.columns // _block_columns(layer, columns)
    changes = blocks[1:] != blocks[:-1]
    inner = layer.starts[(layer.starts > 0) & (layer.starts < layer.nonzeros)]
    changes[inner - 1] = True
    empty = np.count_nonzero(np.diff(layer.starts) == 0)
    cuts = int(np.maximum(-(-row_sums(layer) // limit) - 1, 0).sum())
    return int(np.count_nonzero(changes)) + min(layer.nonzeros, 1) + int(empty) + cuts


def _block_columns(layer: Linear, columns: int) -> int:
    """Columns per block: more where a row has so few codes that starting runs would cost more than the cache saves."""
    per_column = layer.nonzeros / max(1, layer.features * columns)
    return max(BLOCK_COLUMNS, int(RUN_CODES / per_column) if per_column else columns)


def _cuts(layer: Linear, rows: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """For each code the number of reductions of its row before it. Codes of a row are taken in order of columns."""
    order = np.lexsort((layer.columns, rows))
    sizes = np.abs(layer.codes.astype(np.int64))
    cuts = np.zeros(len(rows), dtype=np.int64)
    for row in np.flatnonzero(row_sums(layer) > limit):
        total = cut = 0
        for place in order[layer.starts[row] : layer.starts[row + 1]]:
            total += int(sizes[place])
            if total > limit:
                total, cut = int(sizes[place]), cut + 1
            cuts[place] = cut
    return cuts


def _ends(rows: NDArray[np.int64], cuts: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of runs in order: which are the first of their row, and which are the last of it or come before one of its cuts.

    rows, cuts: of every run.
    """
    order = np.argsort(rows, kind="stable")
    same_row = rows[order][1:] == rows[order][:-1]
    same_cut = cuts[order][1:] == cuts[order][:-1]
    starting, reduced = np.ones(len(rows), dtype=bool), np.ones(len(rows), dtype=bool)
    starting[order[1:]] = ~same_row
    reduced[order[:-1]] = ~(same_row & same_cut)
    return starting, reduced
