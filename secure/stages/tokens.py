"""The stages of a network of tokens, as a transformer is, so that their maps stay small and lie well in slots. Pure.

Combining all linear maps between two products gives a transformer's stages the size of all pairs of tokens, for every
value that a skip ever added. So values are *kept* here, at the price of a level each: what is gathered for a product of
different tokens, queries, keys and values, together with the values of skips of the same time; and the value of a skip
that adds a sum over pairs. Rows are ordered by tokens (`secure.stages.token_order`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from compress.network import Add, Gather, Input, Multiply, Network, Node, Polynomial
from secure.stages.stage import Stage
from secure.stages.stages import Form, closed_stage, input_form, node_form
from secure.stages.token_order import Tokens, node_tokens, padded, token_order

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class _Order:
    """The order of an atom's features: the row of every one, and how many rows there are."""

    rows: Indices
    size: int
    tokens: int

    def repeated(self, copies: int) -> _Order:
        """The order of several such values, one after the other."""
        rows = np.concatenate([self.rows + copy * self.size for copy in range(copies)])
        return _Order(rows, copies * self.size, self.tokens)


@dataclass(frozen=True)
class _Times:
    """When nodes are computed, and which are kept.

    band: by node, how many products and kept values come before it. early: nodes that are kept before anything is made
    of them. late: those that are kept after all else of their band, since only later bands read them.
    """

    band: Mapping[str, int]
    early: frozenset[str]
    late: frozenset[str]


def token_stages(network: Network) -> tuple[Stage, ...]:
    """The stages of a network; none for a network without products of different tokens.

    Raises: CompileError as for `secure.stages.stages.network_stages`.
    """
    tokens, count = node_tokens(network)
    if not count:
        return ()
    times = _times(network, tokens)
    forms: dict[str, Form] = {}
    stages: list[Stage] = []
    orders: list[_Order] = []

    def ordered(names: Sequence[str], width: int) -> None:
        """Note the order of the stages that were added for these values, which hold so many features together."""
        for stage in stages[len(orders) :]:
            whole = _joined_order([(tokens.get(name), network.node(name).size) for name in names], count)
            orders.append(whole.repeated(stage.atom_size // width))

    def keep(names: Sequence[str]) -> None:
        """Replace the forms of values by copies of the atom that is made of all of them."""
        joined = _beside([forms[name] for name in names])
        stages.append(replace(closed_stage(joined, squared=True), kept=True))
        ordered(names, len(joined.constant))
        start, whole = 0, sparse.identity(len(joined.constant), format="csr")
        for name in names:
            size = network.node(name).size
            forms[name] = replace(forms[name], maps={len(stages): whole[start : start + size]}, constant=np.zeros(size))
            start += size

    in_order = sorted(network.nodes, key=lambda node: times.band[node.name])
    for _, band in groupby(in_order, key=lambda node: times.band[node.name]):
        nodes = list(band)
        for node in nodes:
            if isinstance(node, Input):
                forms[node.name] = input_form(node)
            else:
                inputs = [forms[name] for name in node.inputs]
                forms[node.name] = node_form(node, network, inputs, stages, products=True)
                ordered([node.name], node.size)
            if node.name in times.early:
                keep([node.name])
        if late := [node.name for node in nodes if node.name in times.late]:
            keep(sorted(late, key=lambda name: -network.node(name).size))
    last = closed_stage(forms[network.nodes[-1].name], squared=False)
    return tuple(_reordered([*stages, last], orders))


def _times(network: Network, tokens: Mapping[str, Tokens]) -> _Times:
    """The bands of all nodes, and what is kept."""
    readers: dict[str, list[Node]] = {node.name: [] for node in network.nodes}
    for node in network.nodes:
        for name in node.inputs:
            readers[name].append(node)
    gathers = {
        node.name for node in network.nodes if isinstance(node, Gather) and _spreads(node, readers[node.name], tokens)
    }
    band: dict[str, int] = {}
    summed: dict[str, bool] = {}  # by node, whether its form reads pairs
    early: set[str] = set()
    late: set[str] = set()
    for node in network.nodes:
        name, later = node.name, 0
        for source in node.inputs:
            step = source in early or name in gathers or isinstance(node, (Multiply, Polynomial))
            later = max(later, band[source] + step)
        band[name] = later
        paired = isinstance(node, Multiply) and name in tokens and tokens[name].other is not None
        reads = [summed[source] for source in node.inputs if source not in early]
        summed[name] = paired or (any(reads) and not isinstance(node, (Multiply, Polynomial)) and name not in gathers)
        if name in gathers:
            source = network.node(node.inputs[0]).name
            if tokens[source].other is None:
                late.add(source)
        if _is_skip(node, readers[name]) and name in tokens and tokens[name].other is None:
            (early if summed[name] else late).add(name)
    return _Times(band, frozenset(early), frozenset(late - early))


def _spreads(node: Gather, readers: Sequence[Node], tokens: Mapping[str, Tokens]) -> bool:
    """Whether a gather repeats elements for a product of different tokens."""
    pairs = [tokens.get(reader.name) for reader in readers if isinstance(reader, Multiply)]
    source = tokens.get(node.inputs[0])
    return source is not None and any(own is not None and own.other is not None for own in pairs)


def _is_skip(node: Node, readers: Sequence[Node]) -> bool:
    """Whether a value is added to something that is made of it."""
    return len(readers) > 1 and any(isinstance(reader, Add) for reader in readers)


def _beside(forms: Sequence[Form]) -> Form:
    """The form of several values, one after the other."""
    sizes = [len(form.constant) for form in forms]
    atoms = {atom: matrix.shape[1] for form in forms for atom, matrix in form.maps.items()}
    maps = {
        atom: sparse.vstack(
            [form.maps.get(atom, sparse.csr_matrix((size, width))) for form, size in zip(forms, sizes, strict=True)],
            format="csr",
        )
        for atom, width in atoms.items()
    }
    return Form(maps, np.concatenate([form.constant for form in forms]), None, forms[-1].layer)


def _joined_order(values: Sequence[tuple[Tokens | None, int]], count: int) -> _Order:
    """The order of several values in one atom, one after the other; a value without tokens stays as it is."""
    rows, start, ordered = [], 0, True
    for tokens, size in values:
        own, wide = (np.arange(size), size) if tokens is None else token_order(tokens, count)
        rows.append(own + start)
        start += wide
        ordered = ordered and tokens is not None
    return _Order(np.concatenate(rows), start, padded(count) if ordered else 0)


def _reordered(stages: Sequence[Stage], orders: Sequence[_Order]) -> Iterator[Stage]:
    """The stages with the rows of their values, and the columns of what they read, in these orders."""
    for index, stage in enumerate(stages):
        own = orders[index] if index < len(orders) else None
        maps = {}
        for atom, matrix in stage.maps.items():
            entries = matrix.tocoo()
            row, column = entries.row.astype(np.int64), entries.col.astype(np.int64)
            rows, columns = matrix.shape
            if own is not None:
                rows, row = _placed(row, own, stage)
            if atom:
                columns, column = orders[atom - 1].size, orders[atom - 1].rows[column]
            maps[atom] = sparse.csr_matrix((entries.data, (row, column)), shape=(rows, columns))
        if own is None:
            yield replace(stage, maps=maps, grid=None)
            continue
        size, places = _placed(np.arange(stage.size), own, stage)
        constant = np.zeros(size)
        constant[places] = stage.constant
        yield replace(stage, maps=maps, constant=constant, grid=None, tokens=own.tokens)


def _placed(row: Indices, order: _Order, stage: Stage) -> tuple[int, Indices]:
    """(How many rows a stage's value has, where these rows of it go)."""
    half, feature = np.divmod(row, stage.atom_size)
    return (1 + stage.paired) * order.size, half * order.size + order.rows[feature]
