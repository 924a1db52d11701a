"""A program without constants: every output is a homogeneous polynomial of the inputs and of a few units. Pure.

Where every term of an output has the same degree d, inputs that are all multiplied by a number w give outputs times
w^d, whatever w is. Constants stand in the way. So they become codes of *units*, inputs that are the same in every image
(derived):

    s x^2 + l x + c = s (x + l / 2s)^2 + c - l^2 / 4s

The shift l / 2s goes into the biases of the matrix before, and the rest into those of the matrix after. A matrix with
biases is one without, of units as further columns. A few units serve, each FINER times finer than the one before it:
what one leaves of a bias, the next one takes. Each matrix hands them on in further rows, whose codes are chosen such
that the biases of the next matrix are small whole numbers.

This needs a chain of matrices and quadratics that begins and ends with a matrix. Other programs stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from math import log2

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from secure.coded.forms import Form, LinearForm, Program, QuadraticForm

Array = NDArray[np.float64]
Chain = tuple[Form, ...]

#: How many units there are, and how much finer than the one before it each is: about twice the largest code that it
#: gets.
UNITS, FINER = 3, 16
#: The largest code of the coarse unit in a matrix, where the size of the unit can be chosen.
UNIT_CODE = 8
#: The largest code by which a matrix hands a unit on.
LARGEST_CARRY = 64
#: Codes beyond this are of no use: a unit is too small for its biases.
LARGEST_CODE = 2**20
#: Units beyond this, or below its inverse, leave float64 after a few more squares.
LARGEST_SIZE = 1e100
#: Shifts beyond this many times the largest weight of their matrix would cancel each other.
MOST_SHIFTED = 1e4


def units_of(unit: float) -> tuple[float, ...]:
    """The constants that stand after the inputs of an image. unit: the coarse one."""
    return tuple(unit / FINER**number for number in range(UNITS))


def homogeneous(program: Program, unit: float) -> Program | None:
    """The same function of inputs and units, without constants, up to the rounding of biases to whole numbers.

    unit: the coarse unit, in the inputs' units. None for a program of another shape, and where the units do not fit.
    """
    forms = program.forms
    biases = _biases(forms) if _is_chain(forms) else None
    if biases is None:
        return None
    made: list[Form] = []
    sizes = units_of(unit)
    for number, form in enumerate(forms):
        if isinstance(form, LinearForm):
            if not (np.abs(biases[number]) <= LARGEST_CODE * form.steps * abs(sizes[0])).all():
                return None
            linear = _with_unit_columns(form, biases[number], sizes)
            if number + 1 < len(forms):
                linear, sizes = _handing_on(linear, _Reader(forms, biases, number), sizes)
            made.append(linear)
        elif isinstance(form, QuadraticForm):
            own = float(form.square[_Reader(forms, biases, number - 1).row])
            square = np.append(form.square, np.full(UNITS, own))
            made.append(replace(form, square=square, linear=np.zeros_like(square), constant=np.zeros_like(square)))
            sizes = tuple(own * size * size for size in sizes)
            if not all(1 / LARGEST_SIZE < abs(size) < LARGEST_SIZE for size in sizes):
                return None
    return Program(program.inputs + UNITS, tuple(made))


def _is_chain(forms: Chain) -> bool:
    """Whether matrices and quadratics follow each other, with a matrix before and after each quadratic."""
    kinds: list[type[Form]] = [type(form) for form in forms]
    return (
        all(form.sources == (number,) for number, form in enumerate(forms))
        and all(isinstance(form, LinearForm | QuadraticForm) for form in forms)
        and kinds[0] is kinds[-1] is LinearForm
        and (QuadraticForm, QuadraticForm) not in pairwise(kinds)
        and all(form.square.all() for form in forms if isinstance(form, QuadraticForm))
    )


def _biases(forms: Chain) -> dict[int, Array] | None:
    """The biases of every matrix by number, with the shifts of the squares after it and the constants of those before.

    None where shifts are so large that float64 loses digits.
    """
    found: dict[int, Array] = {}
    for number, form in enumerate(forms):
        if not isinstance(form, LinearForm):
            continue
        bias = form.bias
        if number and isinstance(before := forms[number - 1], QuadraticForm):
            rest = before.constant - before.linear**2 / (4 * before.square)
            bias = bias + form.steps * (form.codes @ rest)
        if number + 1 < len(forms) and isinstance(after := forms[number + 1], QuadraticForm):
            bias = bias + after.linear / (2 * after.square)
        weight = float((form.steps * np.abs(form.codes.data).max(initial=1)).max())
        if not np.abs(bias).max(initial=0.0) <= MOST_SHIFTED * weight:
            return None
        found[number] = bias
    return found


def _with_unit_columns(form: LinearForm, bias: Array, sizes: tuple[float, ...]) -> LinearForm:
    """The matrix with its biases as codes of units, which are its last columns. sizes: of the units, in the network's
    units."""
    columns, rest = [], bias
    for size in sizes:
        columns.append(np.rint(rest / (form.steps * size)))
        rest = rest - columns[-1] * form.steps * size
    codes = sparse.hstack([form.codes, sparse.csr_matrix(np.stack(columns, axis=1).astype(np.int64))])
    return replace(form, codes=sparse.csr_matrix(codes), bias=np.zeros(form.features))


@dataclass(frozen=True)
class _Reader:
    """What reads the units that matrix `number` hands on."""

    forms: Chain
    biases: dict[int, Array]
    number: int

    @property
    def squares(self) -> Array | None:
        """The factors of the squares after the matrix, if there are any."""
        after = self.forms[self.number + 1]
        return after.square if isinstance(after, QuadraticForm) else None

    @property
    def row(self) -> int:
        """The row whose step and square the units share, so that they need no scale of their own."""
        steps = self._matrix(self.number).steps
        return int((steps**2 * (1 if self.squares is None else np.abs(self.squares))).argmax())

    @property
    def wanted(self) -> float:
        """What the coarse unit should be for the next matrix, in the network's units."""
        number = min(other for other in self.biases if other > self.number)
        return float((np.abs(self.biases[number]) / self._matrix(number).steps).max()) / UNIT_CODE

    def _matrix(self, number: int) -> LinearForm:
        form = self.forms[number]
        assert isinstance(form, LinearForm)
        return form


def _handing_on(form: LinearForm, reader: _Reader, sizes: tuple[float, ...]) -> tuple[LinearForm, tuple[float, ...]]:
    """The matrix with further rows that hand the units on, and the units after it."""
    squares, step = reader.squares, float(form.steps[reader.row])
    target, finer = reader.wanted, float(FINER)
    if squares is not None:
        target, finer = float(np.sqrt(target / abs(squares[reader.row]))), FINER**0.5
    first = form.codes.shape[1] - UNITS
    codes = sparse.lil_matrix((UNITS, form.codes.shape[1]), dtype=np.int64)
    handed = []
    for number in range(UNITS):
        bits = [round(log2(max(target / (step * size), 1e-9))) for size in np.abs(sizes)]
        # the coarse unit has the least noise in relation to its size, so it is made from itself, even if it gets larger
        place = next((place for place, own in enumerate(bits) if own >= 0), UNITS - 1) if number else 0
        code = 2 ** int(np.clip(bits[place], 0, log2(LARGEST_CARRY)))
        codes[number, first + place] = code
        handed.append(code * step * sizes[place])
        target = abs(handed[-1]) / finer
    whole = replace(
        form,
        codes=sparse.csr_matrix(sparse.vstack([form.codes, codes])),
        steps=np.append(form.steps, np.full(UNITS, step)),
        bias=np.zeros(form.features + UNITS),
    )
    return whole, tuple(handed)
