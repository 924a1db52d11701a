"""What layouts of a network of tokens have beside those of any dense map: an ordered input, and sums before products.

The rows of such a network are ordered by tokens (`secure.stages.token_order`), so dense maps lie well by themselves.
The client sends its input in the same order. And a value of pairs, of which only sums over a token are read, is added
up in its slots before it is multiplied, as its periods are the differences of tokens. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from secure.layout.packing import EMPTY, SlotMap, period_of, periodic_map
from secure.stages.stage import Stage
from secure.stages.token_order import Tokens, token_order


@dataclass(frozen=True)
class Summed:
    """What a stage reads after folds: maps and slot maps by atom, and the folds of those that are added up first."""

    maps: Mapping[int, sparse.csr_matrix]
    sources: Mapping[int, SlotMap]
    presums: Mapping[int, tuple[int, ...]]


def token_input(first: Stage, slots: int) -> SlotMap | None:
    """The input in the order of tokens, (1, slots), repeated as often as it fits.

    None where some feature is read by several tokens, or where the input does not fit one ciphertext.
    """
    if not first.tokens or 0 not in first.maps:
        return None
    entries = first.maps[0].tocoo()
    features = first.maps[0].shape[1]
    token = entries.row % first.tokens
    least, most = np.full(features, first.tokens), np.full(features, EMPTY)
    np.minimum.at(least, entries.col, token)
    np.maximum.at(most, entries.col, token)
    read = np.flatnonzero(most != EMPTY)
    if (least[read] != most[read]).any():
        return None
    rows, size = token_order(Tokens(least[read].astype(np.int64)), first.tokens)
    if size > slots:
        return None
    held = np.full(size, EMPTY, dtype=np.int32)
    held[rows] = read
    return np.tile(held, slots // size)[None]


def summed_sources(maps: Mapping[int, sparse.csr_matrix], sources: Mapping[int, SlotMap]) -> Summed:
    """The maps of sums of halves, quarters and so on of what they read, where they read nothing else of it."""
    own, places, presums = dict(maps), dict(sources), {}
    for atom, matrix in maps.items():
        period = period_of(sources[atom])
        if len(sources[atom]) > 1 or not np.array_equal(sources[atom], periodic_map(period, sources[atom].shape[1])):
            continue
        folds: list[int] = []
        while matrix.nnz and period > 1 and matrix.shape[1] == period and _repeats(matrix):
            period //= 2
            matrix = matrix[:, :period]
            folds.insert(0, period)
        if folds:
            own[atom], presums[atom] = matrix, tuple(folds)
            places[atom] = periodic_map(period, sources[atom].shape[1])
    return Summed(own, places, presums)


def _repeats(matrix: sparse.csr_matrix) -> bool:
    """Whether the second half of the columns equals the first one."""
    half = matrix.shape[1] // 2
    first, second = matrix[:, :half], matrix[:, half:]
    return first.nnz == second.nnz and not (first != second).nnz
