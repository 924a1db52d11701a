"""Rings and moduli: which parameters are secure, and how primes are found. Pure integers, no TenSEAL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate, pairwise
from math import log2, prod
from types import MappingProxyType

from compress.errors import InsecureParametersError

#: Largest log2(QP) for 128-bit classical security, ternary secret ("Security Guidelines for Implementing Homomorphic
#: Encryption", eprint 2024/463).
GUIDELINE_2024_LOG2_QP: Mapping[int, int] = MappingProxyType({2048: 53, 4096: 106, 8192: 214, 16384: 430, 32768: 868})

#: SEAL's own table for 128 bits (CoeffModulus::MaxBitCount). It allows more, but SEAL refuses what exceeds it.
SEAL_LOG2_QP: Mapping[int, int] = MappingProxyType({2048: 54, 4096: 109, 8192: 218, 16384: 438, 32768: 881})

#: Rings of plans that switch keys. N = 2048 has no room for a special prime beside a useful modulus.
RING_DEGREES: tuple[int, ...] = tuple(degree for degree in GUIDELINE_2024_LOG2_QP if degree >= 4096)
#: Rings of plans that need no key on the server.
KEYLESS_RING_DEGREES: tuple[int, ...] = tuple(GUIDELINE_2024_LOG2_QP)
SECURITY_BITS = 128

#: The largest primes that SEAL's NTT takes.
MAX_PRIME_BITS = 60
#: The largest primes for which the engine's float64 arithmetic is exact (`secure.engine.modular`).
ENGINE_PRIME_BITS = 50
MIN_PRIME_BITS = 20

#: The most special primes, and the most data primes of one digit.
MOST_SPECIAL_PRIMES, MOST_DIGIT_PRIMES = 3, 3

#: The least log2 of the special prime over the largest data prime under SEAL. SEAL's digits are not centred, so their
#: mean makes the same error in every rotation with one key. If the special prime is smaller, these errors no longer
#: vanish beside the others, and in a chain of rotations they add up.
SEAL_SPECIAL_MARGIN_BITS = 3.9

#: Standard deviation of the error distribution that SEAL samples.
ERROR_STD = 3.2


@dataclass(frozen=True, kw_only=True)
class Params:
    """A CKKS parameter set: ring degree N, data primes and special primes.

    A ciphertext with all data primes is at level `levels`. A rescale removes the last data prime that is left, so the
    first one stays longest. special_prime: the one that SEAL knows; None for a plan without key switches.
    more_special_primes: those that only the engine knows. digits: how many data primes each digit of a key switch has,
    the first prime's digit first; empty: every digit has one. Several special primes or larger digits make hybrid key
    switching (docs/engine.md).
    """

    poly_modulus_degree: int
    data_primes: tuple[int, ...]
    special_prime: int | None
    more_special_primes: tuple[int, ...] = ()
    digits: tuple[int, ...] = ()

    @property
    def slots(self) -> int:
        return self.poly_modulus_degree // 2

    @property
    def levels(self) -> int:
        """The number of data primes, which is the level of a fresh ciphertext."""
        return len(self.data_primes)

    @property
    def special_primes(self) -> tuple[int, ...]:
        """The special primes, whose product is P; none for a plan without key switches."""
        return () if self.special_prime is None else (self.special_prime, *self.more_special_primes)

    @property
    def special_modulus(self) -> int:
        """P, the product of the special primes; 1 without any."""
        return prod(self.special_primes)

    @property
    def all_primes(self) -> tuple[int, ...]:
        """Every prime: the data primes, then the special primes."""
        return (*self.data_primes, *self.special_primes)

    @property
    def seal_primes(self) -> tuple[int, ...]:
        """The primes of SEAL's context, in its order: the data primes, and one special prime last."""
        return self.data_primes if self.special_prime is None else (*self.data_primes, self.special_prime)

    @property
    def is_hybrid(self) -> bool:
        """Whether key switches have several special primes, or digits of several primes. SEAL has neither."""
        return bool(self.more_special_primes or self.digits)

    def digits_at(self, level: int) -> tuple[range, ...]:
        """The indices of the data primes of every digit of a value at this level. The last digit may be cut short."""
        starts = [0, *accumulate(self.digits or (1,) * self.levels)]
        return tuple(range(start, min(end, level)) for start, end in pairwise(starts) if start < level)

    def digit_modulus(self, digit: range) -> int:
        """The product of the data primes of a digit."""
        return prod(self.data_primes[place] for place in digit)

    @cached_property
    def switch_ratios(self) -> tuple[float, ...]:
        """By level, 0 first: the sum of (Q / P)^2 over the digits of a value there, Q the product of a digit's primes.

        The noise of a key switch is in proportion to it. Made once, since a search asks for it often.
        """
        ratios, place = [0.0], 0
        for size in self.digits or (1,) * self.levels:
            before, modulus = ratios[-1], 1
            for prime in self.data_primes[place : place + size]:
                modulus *= prime
                ratios.append(before + (modulus / self.special_modulus) ** 2)
            place += size
        return tuple(ratios)

    @cached_property
    def log2_qp(self) -> float:
        """log2 of the product of all primes, which is what security limits."""
        return sum(log2(prime) for prime in self.all_primes)

    @cached_property
    def coeff_modulus_bits(self) -> tuple[int, ...]:
        """The bit length of every prime, in the order of all_primes."""
        return tuple(prime.bit_length() for prime in self.all_primes)

    @cached_property
    def fits_engine(self) -> bool:
        """Whether every prime is small enough for `secure.engine`."""
        return max(self.coeff_modulus_bits) <= ENGINE_PRIME_BITS

    @property
    def fits_seal(self) -> bool:
        """Whether SEAL can switch these keys, and precisely: there is one special prime, more than
        SEAL_SPECIAL_MARGIN_BITS bits larger than the data primes, and every digit has one prime."""
        if self.special_prime is None or self.is_hybrid:
            return not self.is_hybrid
        return log2(self.special_prime / max(self.data_primes)) > SEAL_SPECIAL_MARGIN_BITS

    def log2_modulus(self, level: int) -> float:
        """log2 of the product of the first `level` data primes."""
        return sum(log2(prime) for prime in self.data_primes[:level])


def check_security(params: Params) -> None:
    """Refuse a modulus above the 2024 guideline or above SEAL's own table, and malformed prime chains.

    The modulus is the exact product of all primes, every special prime among them. What SEAL checks does not count
    here: SEAL sees its own context only, which lacks all special primes but one. Its own table is for what it sees.
    Raises: InsecureParametersError.
    """
    degree = params.poly_modulus_degree
    if degree not in GUIDELINE_2024_LOG2_QP:
        raise InsecureParametersError(
            f"poly_modulus_degree: {degree} is not one of {KEYLESS_RING_DEGREES}; choose one of them"
        )
    primes = params.all_primes
    if not all(type(prime) is int for prime in primes):
        raise InsecureParametersError("coeff_modulus: it holds what is no whole number; give primes")
    if not params.data_primes:
        raise InsecureParametersError("coeff_modulus: no data prime; give one at least")
    if min(primes) < 2:
        raise InsecureParametersError(
            f"coeff_modulus: {min(primes)} is no prime; every entry must be a prime that is 1 modulo {2 * degree}"
        )
    modulus, limit = prod(primes), GUIDELINE_2024_LOG2_QP[degree]
    if modulus > 2**limit:
        raise InsecureParametersError(
            f"coeff_modulus: {log2(modulus):.1f} bits at N={degree}; 128-bit security allows {limit}; "
            "use a larger ring or fewer levels"
        )
    seen = prod(params.seal_primes)
    if seen.bit_length() > SEAL_LOG2_QP[degree]:
        raise InsecureParametersError(
            f"coeff_modulus: {log2(seen):.1f} bits at N={degree}; SEAL refuses them; use a larger ring or fewer levels"
        )
    if len(set(primes)) != len(primes):
        raise InsecureParametersError("coeff_modulus: a prime occurs twice; every prime must be distinct")
    for prime in primes:
        if prime.bit_length() > MAX_PRIME_BITS or prime % (2 * degree) != 1 or not is_prime(prime):
            raise InsecureParametersError(
                f"coeff_modulus: {prime} is no prime of at most {MAX_PRIME_BITS} bits that is 1 modulo {2 * degree}"
            )
    _check_switching(params)


def _check_switching(params: Params) -> None:
    """Refuse special primes and digits that no key switch has, and digits that are more than twice as large as P.

    The noise of a key switch is in proportion to digit over P, so larger digits would drown what they switch.
    Raises: InsecureParametersError.
    """
    more, digits = params.more_special_primes, params.digits
    if more and params.special_prime is None:
        raise InsecureParametersError("more_special_primes: given without a special_prime; give that one first")
    if len(more) >= MOST_SPECIAL_PRIMES:
        raise InsecureParametersError(
            f"more_special_primes: {len(more)} beside special_prime; allowed are {MOST_SPECIAL_PRIMES - 1} at most"
        )
    if not digits:
        return
    if params.special_prime is None:
        raise InsecureParametersError("digits: given without a special_prime; a plan without key switches has none")
    if not all(type(size) is int and 1 <= size <= MOST_DIGIT_PRIMES for size in digits) or max(digits) == 1:
        raise InsecureParametersError(
            f"digits: {digits}; every digit has 1 to {MOST_DIGIT_PRIMES} data primes, and one of them several; "
            "leave the field out where all have one"
        )
    if sum(digits) != params.levels:
        raise InsecureParametersError(f"digits: {digits} are not the {params.levels} data primes; cover every prime")
    largest = max(params.digit_modulus(digit) for digit in params.digits_at(params.levels))
    if largest > 2 * params.special_modulus:
        raise InsecureParametersError(
            f"digits: the largest has {log2(largest):.1f} bits, P has {log2(params.special_modulus):.1f}; "
            "use smaller digits or more special primes"
        )


@lru_cache(maxsize=1 << 16)
def is_prime(number: int) -> bool:
    """Whether a number is a prime, by Miller-Rabin with bases that make no mistake below 3.3e24."""
    if number < 2:
        return False
    witnesses = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)
    for witness in witnesses:
        if number % witness == 0:
            return number == witness
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for witness in witnesses:
        x = pow(witness, odd, number)
        if x in (1, number - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % number
            if x == number - 1:
                break
        else:
            return False
    return True


def ntt_prime_below(bits: float, degree: int, taken: Iterable[int] = ()) -> int:
    """The largest prime of at most 2**bits that is 1 modulo 2N and not in `taken`.

    Raises: InsecureParametersError when there is none of at least MIN_PRIME_BITS bits.
    """
    modulus, used = 2 * degree, set(taken)
    candidate = int((2.0**bits - 1) // modulus) * modulus + 1
    while candidate >= 2 ** (MIN_PRIME_BITS - 1):
        if candidate not in used and is_prime(candidate):
            return candidate
        candidate -= modulus
    raise InsecureParametersError(
        f"coeff_modulus: no prime of {bits:.1f} bits is left for N={degree}; ask for larger primes"
    )


def make_params(
    degree: int,
    data_bits: Iterable[float],
    special_bits: float | Sequence[float] | None,
    digits: tuple[int, ...] = (),
) -> Params:
    """Parameters with distinct NTT primes: for each wanted size in bits, in the order given, the largest that is left.

    special_bits: of the special prime, or of every special prime. digits: see `Params`.
    Raises: InsecureParametersError when no prime of a size is left. It does not check security (`check_security`).
    """
    taken: list[int] = []
    for bits in data_bits:
        taken.append(ntt_prime_below(bits, degree, taken))
    data = tuple(taken)
    if special_bits is None:
        return Params(poly_modulus_degree=degree, data_primes=data, special_prime=None, digits=digits)
    for bits in special_bits if isinstance(special_bits, Sequence) else (special_bits,):
        taken.append(ntt_prime_below(bits, degree, taken))
    special, *more = taken[len(data) :]
    return Params(
        poly_modulus_degree=degree,
        data_primes=data,
        special_prime=special,
        more_special_primes=tuple(more),
        digits=digits,
    )
