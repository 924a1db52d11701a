"""An element-wise function as a table: one output code for every code of its quantized argument. Pure numpy.

The argument is quantized. The table holds the function at every number of the argument's grid, rounded once when the
table is made. Integers and simulation therefore agree by construction, and running the table takes no arithmetic
(ours).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compress.joint.fixed_point import Grid, Integers, requantized

Array = NDArray[np.float64]
Function = Callable[[Array], Array]


@dataclass(frozen=True)
class CodeTable:
    """codes: (2^bits,), the output code of every argument code from index.low to index.high."""

    index: Grid
    output: Grid
    codes: Integers

    def looked_up(self, accumulated: Integers, fraction_bits: int) -> Integers:
        """Output codes of sums with `fraction_bits`: they are quantized once, then looked up."""
        return self.codes[requantized(accumulated, fraction_bits, self.index) - self.index.low]

    def rounded(self, values: Array) -> Array:
        """The same values from real sums."""
        return self.output.values(self.codes[self.index.codes(values) - self.index.low])


def code_table(function: Function, index: Grid, output: Grid) -> CodeTable:
    """The table of an element-wise function."""
    return CodeTable(index, output, output.codes(function(arguments(index))))


def arguments(index: Grid) -> Array:
    """Every number that the argument can be."""
    return index.values(np.arange(index.low, index.high + 1))


def table_errors(
    function: Function, index: Grid, outputs: tuple[Grid, ...], argument: Array, wanted: Array
) -> list[float]:
    """Summed squared distance from `wanted` for each output grid, from counts and sums per argument code."""
    codes = (index.codes(argument) - index.low).ravel()
    size = index.high - index.low + 1
    counts = np.bincount(codes, minlength=size)
    sums = np.bincount(codes, weights=wanted.ravel(), minlength=size)
    squares = float(np.sum(wanted**2))
    exact = function(arguments(index))
    errors = []
    for output in outputs:
        found = output.rounded(exact)
        errors.append(float(np.sum(counts * found**2 - 2 * found * sums)) + squares)
    return errors
