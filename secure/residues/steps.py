"""The steps of a plan, prepared for one prime and one layout: a list of calls on a workspace."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from secure.coded.plan import BatchPlan, Linear, Product, Quadratic, Select, Step, Sum
from secure.residues import elementwise
from secure.residues.constants import check_prime, code_limit, column_slices, modulo
from secure.residues.digits import TILE, digit_count, highest_with_digits, packed_codes, pair_count
from secure.residues.layout import Place, WorkspaceLayout
from secure.residues.pairs import digit_product, split_digits
from secure.residues.runs import sparse_runs
from secure.residues.sparse import sparse_product
from secure.residues.times import ResidueTimes, Way, fastest_way

Array = NDArray[np.float64]
#: Runs one step on the chunk that lies in a workspace.
Call = Callable[[Array], None]


def prepare(plan: BatchPlan, layout: WorkspaceLayout, prime: int, times: ResidueTimes) -> tuple[Call, ...]:
    """One call per step; a linear one in the way that is predicted to be the fastest.

    Raises: PlanError for a prime or a layer whose products may leave float64's exact range.
    """
    check_prime(plan, prime)
    calls = []
    for index, step in enumerate(plan.steps):
        sources = [layout.places[source] for source in step.sources]
        target, scratch = layout.places[index + 1], layout.scratch[index + 1]
        if isinstance(step, Linear):
            made = _linear(step, sources[0], target, scratch, prime, times)
        else:
            made = _elementwise(step, sources, target, prime)
        calls.append(made)
    return tuple(calls)


def rows(work: Array, place: Place) -> Array:
    """(features, parts * chunk): a value in a workspace, as a view."""
    whole = work[place.start : place.start + place.features * place.stride]
    return whole.reshape(place.features, place.stride)[:, : place.width]


def _linear(step: Linear, source: Place, target: Place, scratch: Place, prime: int, times: ResidueTimes) -> Call:
    limit, bias = code_limit(step, prime), modulo(step.bias, prime)
    match fastest_way(step, source.features, prime, times):
        case Way.BLAS:
            return _dense(step, limit, bias, source, target, scratch, prime)
        case Way.DIGITS:
            return _digits(step, bias, source, target, scratch, prime)
        case Way.SPARSE:
            return _sparse(step, limit, bias, source, target, prime)


def _dense(step: Linear, limit: int, bias: Array, source: Place, target: Place, scratch: Place, prime: int) -> Call:
    matrix = step.matrix(source.features)
    slices = column_slices(step, source.features, limit)
    pieces = [(first, end, np.ascontiguousarray(matrix[:, first:end])) for first, end in slices]
    p, i = float(prime), 1 / prime

    def run(work: Array) -> None:
        x = rows(work, source)
        for number, (first, end, piece) in enumerate(pieces):
            place = scratch if number else target
            np.matmul(piece, x[first:end], out=rows(work, place)[: target.features])
            if number:
                elementwise.add_reduced(
                    work, place.start, target.start, target.stride, target.features, target.width, p, i
                )
            else:
                elementwise.add_bias(work, target.start, target.stride, target.chunk, target.parts, bias, p, i)

    return run


def _sparse(step: Linear, limit: int, bias: Array, source: Place, target: Place, prime: int) -> Call:
    made = sparse_runs(step, source.features, limit)
    constants = made.runs, made.columns * source.stride, made.codes, bias, float(prime), 1 / prime
    where = source.start, target.start, target.stride, target.width, target.chunk
    return lambda work: sparse_product(work, *where, *constants)


def _digits(step: Linear, bias: Array, source: Place, target: Place, scratch: Place, prime: int) -> Call:
    codes, count, pairs = packed_codes(step, source.features), digit_count(prime), pair_count(source.features)
    p, i, highest = float(prime), 1 / prime, float(highest_with_digits(count))
    start = 2 * scratch.start  # in 32-bit integers

    def run(work: Array) -> None:
        digits = work.view(np.int32)
        for panel in range(0, source.width, TILE):
            split_digits(work, source.start, source.stride, source.features, panel, digits, start, count, highest, p)
            digit_product(
                digits, start, count, pairs, codes, work, target.start + panel, target.stride, target.features, bias,
                panel < target.chunk, p, i,
            )  # fmt: skip

    return run


def _elementwise(step: Step, sources: list[Place], target: Place, prime: int) -> Call:
    p, i = float(prime), 1 / prime
    where = target.start, target.stride, target.chunk
    table = np.array([(source.start, source.stride, source.parts) for source in sources], dtype=np.int64)
    match step:
        case Quadratic():
            factors = np.stack([modulo(row, prime) for row in (step.square, step.linear, step.constant)])
            (source,) = sources
            return lambda work: elementwise.quadratic(
                work, source.start, source.stride, *where, source.parts, factors, p, i
            )
        case Product():
            return lambda work: elementwise.product(work, table, *where, step.features, p, i)
        case Sum():
            factors = modulo(step.factors, prime)
            return lambda work: elementwise.weighted_sum(work, table, *where, target.parts, factors, p, i)
        case Select():
            chosen, factors = _chosen(step, sources), modulo(step.factors, prime)
            return lambda work: elementwise.select(work, chosen, *where, target.parts, factors, p, i)
        case _:
            raise TypeError(f"{type(step).__name__} is no step of a plan")


def _chosen(step: Select, sources: list[Place]) -> NDArray[np.int64]:
    """(features, 2): place and parts of each selected feature; (0, 0) for zero."""
    table = np.array(
        [(place.start + row * place.stride, place.parts) for place in sources for row in range(place.features)],
        dtype=np.int64,
    )
    return np.where(step.indices[:, None] >= 0, table[step.indices], 0)
