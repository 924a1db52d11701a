"""How published systems run CKKS: rings, primes by level, stages of the bootstrap, and how rotations use keys.

Cheddar's parameters are from its code (BootParameter.cpp, EvalSpecialFFT.cpp, Hoist.cu, bootparam_40.json, read). The
schedules of the accelerators are not public. For ARK and SHARP, three stages per side and 8 levels left are from arXiv
2605.31004 (read), and the sine is that of the ResNet-20's code (degree 59, two doublings). What is assumed or recalled
stands beside the scheme.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from hwmodel.hybrid import HybridRing

#: Products of ciphertexts per depth of a polynomial in the Chebyshev basis, baby steps up to T8 (Paterson-Stockmeyer).
SINE_59 = (0, 1, 2, 4, 5, 3, 1, 1, 1)  # one level to scale, 6 for degree 59, two doublings
SINE_30_EVEN = (1, 1, 2, 3, 1, 1, 1, 1)  # 5 levels for even degree 30, three doublings


class Rotations(Enum):
    """How a matrix of diagonals in baby and giant steps is rotated.

    FEW_KEYS: steps follow one after the other, with one key for all baby steps and one for all giant steps (ARK's
    minimum key switching). HOISTED: baby steps share the raising of their digits, with one key per step.
    DOUBLE_HOISTED: as HOISTED, and baby steps stay in the large modulus until a giant step ends; plaintexts are stored
    in that modulus.
    """

    FEW_KEYS = "few keys"
    HOISTED = "hoisted"
    DOUBLE_HOISTED = "double hoisted"


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """How a published system runs CKKS.

    primes: number of primes of a ciphertext at level 0, 1, ...; a bootstrap raises to the last level.
    to_slots, to_coefficients: stages of the two transforms. sine: products per depth.
    extends_plaintexts: a diagonal is stored as the primes of one level and extended to the rest on the chip.
    """

    ring: HybridRing
    word_bits: int
    primes: tuple[int, ...]
    to_slots: int
    to_coefficients: int
    sine: tuple[int, ...]
    rotations: Rotations
    extends_plaintexts: bool

    @property
    def top(self) -> int:
        return len(self.primes) - 1

    @property
    def levels_left(self) -> int:
        """Levels that a bootstrap leaves."""
        return self.top - self.to_slots - len(self.sine) - self.to_coefficients

    @property
    def full_log2_slots(self) -> int:
        return self.ring.degree.bit_length() - 2


SCHEMES = {
    # Keys of about 50 MB (secondary sources) are those of one digit at 57 primes. Two primes per level are assumed, and
    # so are the stages, which are those of Bossuat et al. 2021 (set I) and the defaults of two libraries.
    "craterlake": Scheme(
        ring=HybridRing(degree=65536, levels=57, budget=114), word_bits=28,
        primes=tuple(range(1, 58, 2)), to_slots=4, to_coefficients=3, sine=SINE_30_EVEN,
        rotations=Rotations.HOISTED, extends_plaintexts=False,
    ),
    # The same with 63 primes of 28 bits in the modulus, 1764 bits, for 128-bit security at this degree. That 51 of them
    # are data primes is recalled; with 49 or 53 a bootstrap is a tenth shorter or longer.
    "craterlake, 128 bits": Scheme(
        ring=HybridRing(degree=65536, levels=51, budget=63), word_bits=28,
        primes=tuple(range(1, 52, 2)), to_slots=4, to_coefficients=3, sine=SINE_30_EVEN,
        rotations=Rotations.HOISTED, extends_plaintexts=False,
    ),
    # That ARK and SHARP extend plaintexts on the chip is recalled.
    "ark": Scheme(
        ring=HybridRing(degree=65536, levels=24, special=6, digit=6), word_bits=64,
        primes=tuple(range(1, 25)), to_slots=3, to_coefficients=3, sine=SINE_59,
        rotations=Rotations.FEW_KEYS, extends_plaintexts=True,
    ),
    # 36 primes: the base, 8 levels and 3 levels of slots-to-coefficients have one each, 12 levels have two each
    # (derived from the 8 levels left).
    "sharp": Scheme(
        ring=HybridRing(degree=65536, levels=36, special=12, digit=12), word_bits=36,
        primes=(*range(1, 13), *range(14, 37, 2)), to_slots=3, to_coefficients=3, sine=SINE_59,
        rotations=Rotations.FEW_KEYS, extends_plaintexts=True,
    ),
    "cheddar": Scheme(
        ring=HybridRing(degree=65536, levels=47, special=12, digit=12), word_bits=32,
        primes=(2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19, 21, 22, *range(23, 48, 2)),
        to_slots=4, to_coefficients=3, sine=SINE_30_EVEN,
        rotations=Rotations.DOUBLE_HOISTED, extends_plaintexts=False,
    ),
}  # fmt: skip
