"""Constants for conversions of residues from groups of primes to other primes.

A group is a digit of several data primes, or the primes that a value is divided by. A value c modulo the product Q of a
group's primes q_j is known by its residues c_j. With y_j = c_j (Q / q_j)^-1 modulo q_j and v = the whole number nearest
to the sum of y_j / q_j, the value in [-Q / 2, Q / 2) is

    sum of y_j (Q / q_j) - v Q

(Halevi, Polyakov and Shoup, "An improved RNS variant of the BFV scheme", 2018: the quotient in floating point). Modulo
any prime that needs Q / q_j and Q modulo that prime alone. v is right unless the value is within 2^-50 Q of an edge;
then the result is Q / 2 instead of -Q / 2, which changes nothing modulo Q and hardly the size (derived).
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from secure.engine.tables import centred
from secure.params import MOST_DIGIT_PRIMES, MOST_SPECIAL_PRIMES, Params

Array = NDArray[np.float64]

#: The most primes of a group: all special primes and one data prime.
MOST_MEMBERS = max(MOST_SPECIAL_PRIMES + 1, MOST_DIGIT_PRIMES)


class Bases(NamedTuple):
    """What kernels know of groups. With L data primes, group i below L is the digit, or the start of one, that ends at
    data prime i. Group L is that of the special primes, and group L + 1 + i that of data prime i and them.

    hybrid: whether `grouped` takes values apart and divides them, and not `base_change`. levels, specials: how many
    data primes and special primes there are. starts: (digits + 1,), the first data prime of every digit, then L.
    digit_of: (L,), the digit of every data prime. sizes: (groups,), how many primes each group has.
    members: (groups, MOST_MEMBERS), their indices. weights: (groups, MOST_MEMBERS), the inverses of Q / q_j modulo q_j.
    factors: (groups, primes, MOST_MEMBERS), Q / q_j modulo every prime. wholes: (groups, primes), Q modulo every prime.
    inverses: (groups, primes), the inverse of Q, 0 modulo a prime of the group.
    """

    hybrid: bool
    levels: int
    specials: int
    starts: NDArray[np.int64]
    digit_of: NDArray[np.int64]
    sizes: NDArray[np.int64]
    members: NDArray[np.int64]
    weights: Array
    factors: Array
    wholes: Array
    inverses: Array


def make_bases(params: Params) -> Bases:
    """The bases of a parameter set."""
    levels, primes = params.levels, params.all_primes
    digits = params.digits_at(levels)
    specials = tuple(range(levels, len(primes)))
    groups = [tuple(range(digit.start, end + 1)) for digit in digits for end in digit]
    groups += [specials, *((level, *specials) for level in range(levels))]
    shape = len(groups), len(primes)
    members = np.zeros((len(groups), MOST_MEMBERS), dtype=np.int64)
    weights, factors = np.zeros(members.shape), np.zeros((*shape, MOST_MEMBERS))
    wholes, inverses = np.zeros(shape), np.zeros(shape)
    for number, group in enumerate(groups):
        own = [primes[index] for index in group]
        whole = prod(own)
        members[number, : len(group)] = group
        for place, prime in enumerate(own):
            weights[number, place] = centred(pow(whole // prime, -1, prime), prime)
        for which, prime in enumerate(primes):
            wholes[number, which] = centred(whole % prime, prime)
            inverses[number, which] = 0 if prime in own else centred(pow(whole, -1, prime), prime)
            for place, member in enumerate(own):
                factors[number, which, place] = centred(whole // member % prime, prime)
    return Bases(
        params.is_hybrid,
        levels,
        len(specials),
        np.array([*(digit.start for digit in digits), levels], dtype=np.int64),
        np.array([number for number, digit in enumerate(digits) for _ in digit], dtype=np.int64),
        np.array([len(group) for group in groups], dtype=np.int64),
        members,
        weights,
        factors,
        wholes,
        inverses,
    )
