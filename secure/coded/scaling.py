"""Program -> steps over integers: every value gets scales, every constant becomes a whole number. Pure.

The integers of a value, divided by its scales, are the network's value. The scale of the input is given; from there on
scales follow (derived):

    linear      scale of the features read / step of the row. Features read together must have one scale.
    quadratic   square * T / s^2, linear * T / s and constant * T are rounded to whole numbers, T being the new scale.
                Where one number T / s^2 makes the square of every feature 1 or -1, the square costs no bits. Otherwise
                T is the smallest scale at which every feature's square is precise to `factor_bits`.
    product     the product of both scales
    sum         weight * T / s is rounded, T being the smallest scale at which all factors are precise to `factor_bits`

Rounding of squares, factors and codes is a systematic error: it is the same in every run. Linear and constant terms are
multiplied with large scales, so that their rounding is far below the noise of encryption.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from compress.errors import LevelBudgetError, PrecisionError
from secure.coded.forms import Form, LinearForm, ProductForm, Program, QuadraticForm, SelectForm, SumForm
from secure.coded.plan import Linear, Product, Quadratic, Select, Step, Sum
from secure.coded.whole import smallest_multiple

Array = NDArray[np.float64]

#: Scales beyond this are of no use in any ring, and float64 ends not far above.
LARGEST_SCALE = 2.0**980
#: Codes must fit int32.
LARGEST_CODE = 2**31 - 1
#: Factors that bring features to one scale are multiplied into the codes that read them, up to this size.
LARGEST_FOLDED_CODE = 2**12
#: Scales that differ less than this are one scale.
SAME = 1e-12


@dataclass
class _Scaling:
    """steps so far, and the scales of every value, input first. numbers: by value of the program, that of the plan."""

    scales: list[Array]
    steps: list[Step]
    factor_bits: int

    def append(self, step: Step) -> int:
        _check_scales(step.layer, step.scales)
        self.steps.append(step)
        self.scales.append(step.scales)
        return len(self.steps)


def _check_scales(layer: str, scales: Array) -> None:
    if not (scales < LARGEST_SCALE).all():
        raise LevelBudgetError(
            layer, "its integers have more bits than the largest ring carries; use fewer activations before it"
        )


def scaled(program: Program, input_scale: float, factor_bits: int) -> tuple[Step, ...]:
    """The steps of a program whose inputs are multiplied by input_scale.

    factor_bits: the precision of factors that bring features of different scales to one.
    Raises: LevelBudgetError naming the first layer whose scale exceeds every ring; PrecisionError for codes beyond 32
    bits.
    """
    state = _Scaling([np.full(program.inputs, input_scale)], [], factor_bits)
    numbers = [0]
    wanted = _mixed(program)
    for value, form in enumerate(program.forms, start=1):
        with np.errstate(over="ignore"):
            numbers.append(_step(replace(form, sources=tuple(numbers[s] for s in form.sources)), wanted[value], state))
    return tuple(state.steps)


def _mixed(program: Program) -> list[bool]:
    """For every value, whether a linear form adds up several of its features."""
    found = [False] * (len(program.forms) + 1)
    for form in program.forms:
        if isinstance(form, LinearForm) and np.diff(form.codes.indptr).max(initial=0) > 1:
            found[form.sources[0]] = True
    return found


def _step(form: Form, one_scale: bool, state: _Scaling) -> int:
    """Append the steps of a form; the number of its value. one_scale: whether its features should have one scale."""
    match form:
        case LinearForm():
            return _linear(form, state)
        case QuadraticForm():
            return _quadratic(form, one_scale, state)
        case ProductForm():
            scales = state.scales[form.sources[0]] * state.scales[form.sources[1]]
            return state.append(Product(layer=form.layer, sources=form.sources, scales=scales))
        case SumForm():
            return _sum(form, state)
        case SelectForm():
            return state.append(_select(form, one_scale, state))
    raise TypeError(f"layer '{form.layer}': {type(form).__name__} has no rule")


def _linear(form: LinearForm, state: _Scaling) -> int:
    """A matrix whose rows read features of one scale; factors bring features to one scale first where it is needed."""
    source = state.scales[form.sources[0]]
    codes = form.codes
    rows = np.flatnonzero(np.diff(codes.indptr))
    low, high = np.full((2, form.features), source.max())
    if len(rows):
        read, starts = source[codes.indices], codes.indptr[rows]
        low[rows], high[rows] = np.minimum.reduceat(read, starts), np.maximum.reduceat(read, starts)
    if not (high > low * (1 + SAME)).any():
        return state.append(_matrix(form, codes, high))
    multiple, factors = _aligned(source, np.unique(codes.indices), state.factor_bits)
    high[:] = multiple
    wide = codes.data * factors[codes.indices]
    if np.abs(wide).max() < LARGEST_FOLDED_CODE:
        codes = sparse.csr_matrix((wide, codes.indices, codes.indptr), shape=codes.shape)
        return state.append(_matrix(form, codes, high))
    whole = np.full(len(source), multiple)
    value = _affine(form, form.sources[0], factors, np.zeros(len(source)), whole, state)
    return state.append(_matrix(replace(form, sources=(value,)), codes, high))


def _aligned(scales: Array, used: NDArray[np.intp], bits: int) -> tuple[float, Array]:
    """(scale, factors): what brings features of these scales to one, precise to so many bits for those that are used;
    factors of others are 0."""
    multiple = smallest_multiple(1 / scales[used], 0.5**bits / 2 / scales[used])
    factors = np.zeros(len(scales))
    factors[used] = np.rint(multiple / scales[used])
    return multiple, factors


def _matrix(form: LinearForm, codes: sparse.csr_matrix, read: Array) -> Step:
    """The step of a matrix whose rows read features of the scales `read`."""
    scales = read / form.steps
    lengths = np.diff(codes.indptr)
    if lengths.max(initial=0) <= 1 and (codes.data == 1).all() and not form.bias.any():
        indices = np.full(form.features, -1, dtype=np.int64)
        indices[lengths == 1] = codes.indices
        ones = np.ones(form.features)
        return Select(layer=form.layer, sources=form.sources, scales=scales, indices=indices, factors=ones)
    if np.abs(codes.data).max(initial=0) > LARGEST_CODE:
        raise PrecisionError(form.layer, "its codes need more than 32 bits; quantize its weights to fewer")
    return Linear(
        layer=form.layer,
        sources=form.sources,
        scales=scales,
        starts=codes.indptr.astype(np.int64),
        columns=codes.indices.astype(np.int32),
        codes=codes.data.astype(np.int32),
        bias=np.rint(form.bias * scales),
    )


def _quadratic(form: QuadraticForm, one_scale: bool, state: _Scaling) -> int:
    source = state.scales[form.sources[0]]
    leading, power = (form.linear, source) if form.is_affine else (form.square, source**2)
    _check_scales(form.layer, power)
    sizes = np.abs(leading)
    if not sizes.any():
        scales = power
    elif one_scale:
        tolerance = 0.5**state.factor_bits / 2 * sizes.max() / power
        scales = np.full(form.features, smallest_multiple(sizes / power, tolerance))
    else:
        own = power / np.where(sizes > 0, sizes, np.inf)
        scales = np.where(sizes > 0, own, own.max())
    linear, constant = np.rint(form.linear * (scales / source)), np.rint(form.constant * scales)
    if form.is_affine:
        return _affine(form, form.sources[0], linear, constant, scales, state)
    square = np.rint(form.square * (scales / source / source))
    return state.append(
        Quadratic(
            layer=form.layer, sources=form.sources, scales=scales, square=square, linear=linear, constant=constant
        )
    )


def _affine(form: Form, source: int, factors: Array, added: Array, scales: Array, state: _Scaling) -> int:
    """factors * x + added by feature, all whole numbers, without the parts that a square would add."""
    size = len(scales)
    if np.abs(factors).max() >= LARGEST_FOLDED_CODE or not added.any():
        every = np.arange(size)
        source = state.append(
            Select(layer=form.layer, sources=(source,), scales=scales, indices=every, factors=factors)
        )
        factors = np.ones(size)
    if not added.any():
        return source
    return state.append(
        Linear(
            layer=form.layer,
            sources=(source,),
            scales=scales,
            starts=np.arange(size + 1, dtype=np.int64),
            columns=np.arange(size, dtype=np.int32),
            codes=factors.astype(np.int32),
            bias=added,
        )
    )


def _sum(form: SumForm, state: _Scaling) -> int:
    sources = np.stack([state.scales[source] for source in form.sources])
    ratios = form.weights / sources
    tolerance = 0.5**state.factor_bits / 2 * np.abs(ratios)
    multiple = smallest_multiple(ratios.ravel(), tolerance.ravel()) if ratios.any() else float(sources.max())
    scales = np.full(form.features, multiple)
    value = state.append(Sum(layer=form.layer, sources=form.sources, scales=scales, factors=np.rint(ratios * multiple)))
    if not form.constant.any():
        return value
    return _affine(form, value, np.ones(form.features), np.rint(form.constant * scales), scales, state)


def _select(form: SelectForm, one_scale: bool, state: _Scaling) -> Step:
    sources = np.concatenate([state.scales[source] for source in form.sources])
    scales = np.where(form.indices < 0, sources.max(), sources[form.indices])
    factors = np.ones(form.features)
    if one_scale and scales.max() > scales.min() * (1 + SAME):
        multiple, factors = _aligned(scales, np.flatnonzero(form.indices >= 0), state.factor_bits)
        scales = np.full(form.features, multiple)
    return Select(layer=form.layer, sources=form.sources, scales=scales, indices=form.indices, factors=factors)
