"""The bytes of a seeded ciphertext as the engine's residues. The server reads requests with it.

It takes exactly what a client sends. Bytes that differ in any field go to SEAL, which reads them or says what is wrong
with them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secure.engine.compiled import kernel
from secure.seal.context import RESIDUE_BYTES, Ring
from secure.seal.frame import check_frame
from secure.seal.saved import seeded_parts
from secure.seeded.expansion import Words, uniform

Array = NDArray[np.float64]


def read_seeded(ring: Ring, order: NDArray[np.int64], content: bytes, level: int, name: str) -> Array | None:
    """(2, level, N): the residues of a seeded ciphertext at this level, centred, in the engine's order.

    order: SEAL's index of each place of the engine. None for bytes that only SEAL can judge.
    Raises: FormatError for bytes that are no SEAL object or could inflate too far.
    """
    params = ring.params
    degree, primes = params.poly_modulus_degree, params.data_primes[:level]
    check_frame(content, name, 2 * level * degree * RESIDUE_BYTES)
    parts = seeded_parts(content, level, degree, ring.parms_ids[level])
    if parts is None:
        return None
    words, seed = parts
    moduli = np.array(primes, dtype=np.float64)
    rows = np.empty((2, level, degree))
    # no seed makes a random half of zeros that anybody could find, so the ciphertext is not transparent
    if not centre(words, order, moduli, rows[0]):
        return None
    centre(uniform(seed, primes, degree), order, moduli, rows[1])
    return rows


@kernel
def centre(words: Words, order: NDArray[np.int64], moduli: Array, result: Array) -> bool:
    """result (rows, N): residues centred and in the engine's order. False if one is not below its prime."""
    right = True
    for row in range(len(words)):
        prime = moduli[row]
        half, source, target = prime / 2, words[row], result[row]
        for place in range(len(order)):
            value = np.float64(source[order[place]])
            right &= value < prime
            target[place] = value - prime if value > half else value
    return right
