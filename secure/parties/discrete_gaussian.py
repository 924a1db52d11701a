"""Samples of a discrete Gaussian, exactly: whole numbers, no float, coins of the operating system.

A Gaussian that is computed in float64 ends at about 8.6 standard deviations and lacks most numbers near its tails, so
two shifted ones do not have the divergence of Gaussians. Here every probability is exact. The algorithms are those of
Canonne, Kamath and Steinke, "The discrete Gaussian for differential privacy" (arXiv 2004.00010, algorithms 1 to 3);
their proposition 5 says that the divergence under a whole shift is at most that of a continuous Gaussian. The time of a
sample depends on its size.
"""

from __future__ import annotations

from secrets import randbelow


def discrete_gaussian(deviation: int) -> int:
    """A whole number x with probability in proportion to exp(-x^2 / (2 deviation^2)). deviation: at least 1."""
    scale, variance = deviation + 1, deviation**2
    while True:
        found = discrete_laplace(scale)
        if exponential_coin((abs(found) * scale - variance) ** 2, 2 * variance * scale**2):
            return found


def discrete_laplace(scale: int) -> int:
    """A whole number x with probability in proportion to exp(-|x| / scale)."""
    while True:
        rest = randbelow(scale)
        if not exponential_coin(rest, scale):
            continue
        turns = 0
        while exponential_coin(1, 1):
            turns += 1
        size, negative = rest + scale * turns, randbelow(2)
        if size or not negative:  # zero has one sign
            return -size if negative else size


def exponential_coin(numerator: int, denominator: int) -> bool:
    """True with probability exp(-numerator / denominator)."""
    whole, rest = divmod(numerator, denominator)
    return all(_small_coin(1, 1) for _ in range(whole)) and _small_coin(rest, denominator)


def _small_coin(numerator: int, denominator: int) -> bool:
    """The same for a quotient of at most 1: the parity of a run of coins, by the series of the exponential."""
    turn = 1
    while randbelow(denominator * turn) < numerator:
        turn += 1
    return turn % 2 == 1
