"""Products with sparse integer matrices, on chunks of positions, exact in float64. Compiled by numba.

The kernel keeps a panel of positions of one row of the result in vector registers and adds up code after code.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secure.engine.compiled import kernel
from secure.engine.modular import fma, reduced
from secure.engine.vectors import LANES, load, splat, store

Array = NDArray[np.float64]

#: Positions of a panel: four vectors, eight registers of AVX2, as many multiply-adds as are under way at a time.
PANEL = 4 * LANES


# More than ten parameters, since kernels take plain arrays.
@kernel
def sparse_product(
    work: Array, source: int, target: int, target_stride: int, width: int, chunk: int,
    runs: NDArray[np.int64], offsets: NDArray[np.int64], codes: Array, bias: Array, prime: float, inverse: float,
) -> None:  # fmt: skip
    """codes @ x + bias. width: residues of a row. chunk: residues of part 0, to which the bias is added.

    runs, codes: as of `runs.SparseRuns`. offsets: for each code, where its row of the source starts, counted from the
    source's first row.
    """
    p, i = splat(prime), splat(inverse)
    for panel in range(0, width, PANEL):
        for run in range(len(runs)):
            row = runs[run, 0]
            y = target + row * target_stride + panel
            if runs[run, 3]:
                a = b = c = d = splat(bias[row] if panel < chunk else 0.0)
            else:
                a, b = load(work, y), load(work, y + LANES)
                c, d = load(work, y + 2 * LANES), load(work, y + 3 * LANES)
            for k in range(np.uint64(runs[run, 1]), np.uint64(runs[run, 2])):  # unsigned: no test for negative indices
                x = source + offsets[k] + panel
                code = splat(codes[k])
                a = fma(code, load(work, x), a)
                b = fma(code, load(work, x + LANES), b)
                c = fma(code, load(work, x + 2 * LANES), c)
                d = fma(code, load(work, x + 3 * LANES), d)
            if runs[run, 4]:
                a, b, c, d = reduced(a, p, i), reduced(b, p, i), reduced(c, p, i), reduced(d, p, i)
            store(work, y, a)
            store(work, y + LANES, b)
            store(work, y + 2 * LANES, c)
            store(work, y + 3 * LANES, d)
