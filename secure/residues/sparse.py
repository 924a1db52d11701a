"""Products with sparse integer matrices, on chunks of positions. Compiled by numba.

A panel is as many positions as the vector registers accumulate. The columns of a block of a panel fit into the
first-level cache; all rows are done on it before the next one.
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
#: Columns of a block: 24 KB of a panel.
BLOCK_COLUMNS = 96


# More than ten parameters, since kernels take plain arrays.
@kernel
def sparse_product(
    work: Array, source: int, target: int, target_stride: int, width: int, first_chunk: int,
    starts: NDArray[np.int64], offsets: NDArray[np.int64], codes: Array,
    bias: Array, reduce_after: NDArray[np.bool_], prime: float, inverse: float,
) -> None:  # fmt: skip
    """codes @ x + bias.

    starts: (blocks, rows + 1) into offsets and codes, block after block. offsets: of each code's row of the source,
    from its first row. bias: (rows,), added to the first `first_chunk` positions. reduce_after: (blocks,), after which
    blocks the sums are reduced.
    """
    p, i = splat(prime), splat(inverse)
    for panel in range(0, width, PANEL):
        for block in range(len(starts)):
            last = reduce_after[block]
            for row in range(len(bias)):
                y = target + row * target_stride + panel
                if block == 0:
                    a = b = c = d = splat(bias[row] if panel < first_chunk else 0.0)
                else:
                    a, b = load(work, y), load(work, y + LANES)
                    c, d = load(work, y + 2 * LANES), load(work, y + 3 * LANES)
                for k in range(starts[block, row], starts[block, row + 1]):
                    x = source + offsets[k] + panel
                    code = splat(codes[k])
                    a = fma(code, load(work, x), a)
                    b = fma(code, load(work, x + LANES), b)
                    c = fma(code, load(work, x + 2 * LANES), c)
                    d = fma(code, load(work, x + 3 * LANES), d)
                if last:
                    a, b, c, d = reduced(a, p, i), reduced(b, p, i), reduced(c, p, i), reduced(d, p, i)
                store(work, y, a)
                store(work, y + LANES, b)
                store(work, y + 2 * LANES, c)
                store(work, y + 3 * LANES, d)
