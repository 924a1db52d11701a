"""Rings, primes and the security tables."""

from dataclasses import replace
from math import log2, prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.errors import InsecureParametersError
from secure.params import GUIDELINE_2024_LOG2_QP, Params, check_security, is_prime, make_params, ntt_prime_below


@given(st.integers(0, 20000))
def test_is_prime_agrees_with_trial_division(number):
    assert is_prime(number) == (number > 1 and all(number % d for d in range(2, int(number**0.5) + 1)))


@pytest.mark.parametrize("degree", GUIDELINE_2024_LOG2_QP)
def test_primes_are_distinct_ntt_primes_of_the_wanted_size(degree):
    params = make_params(degree, [30, 30, 30], 36)
    assert len(set(params.all_primes)) == 4
    assert all(prime % (2 * degree) == 1 and is_prime(prime) for prime in params.all_primes)
    assert params.coeff_modulus_bits == (30, 30, 30, 36)


@pytest.mark.parametrize(("degree", "limit"), [(4096, 106), (8192, 214), (16384, 430), (32768, 868)])
def test_one_bit_above_the_2024_guideline_is_refused(degree, limit):
    sizes = [50] * (limit // 50)
    last = limit - 50 * len(sizes)
    fits = make_params(degree, sizes[:-1] + [sizes[-1] + last - 24], 24)
    check_security(fits)
    over = make_params(degree, sizes[:-1] + [sizes[-1] + last - 23], 24)
    with pytest.raises(InsecureParametersError, match=f"128-bit security allows {limit}"):
        check_security(over)


def test_malformed_chains_are_refused():
    prime = ntt_prime_below(30, 4096)
    with pytest.raises(InsecureParametersError, match="is not one of"):
        check_security(Params(poly_modulus_degree=1024, data_primes=(prime,), special_prime=None))
    with pytest.raises(InsecureParametersError, match="occurs twice"):
        check_security(Params(poly_modulus_degree=4096, data_primes=(prime, prime), special_prime=None))
    with pytest.raises(InsecureParametersError, match="is no prime"):
        check_security(Params(poly_modulus_degree=4096, data_primes=(prime + 2,), special_prime=None))
    with pytest.raises(
        InsecureParametersError, match=r"no prime of 21\.0 bits is left for N=32768; ask for larger primes"
    ):
        make_params(32768, [21] * 200, None)


def test_the_modulus_is_the_exact_product_of_all_primes_whatever_the_parameters_say_of_themselves():
    params = make_params(4096, [50, 50], 50)
    params.__dict__["log2_qp"] = 1.0  # a cached value is not believed
    with pytest.raises(
        InsecureParametersError, match="coeff_modulus: 150.0 bits at N=4096; 128-bit security allows 106"
    ):
        check_security(params)
    alone = Params(
        poly_modulus_degree=4096, data_primes=make_params(4096, [36, 30], 40).data_primes, special_prime=None
    )
    check_security(alone)
    special = ntt_prime_below(60, 4096)  # counts as much as a data prime
    with pytest.raises(InsecureParametersError, match="128-bit security allows 106"):
        check_security(Params(poly_modulus_degree=4096, data_primes=alone.data_primes, special_prime=special))


def test_what_is_no_whole_number_is_refused():
    prime = ntt_prime_below(30, 4096)
    for wrong in (float(prime), True, None, str(prime)):
        with pytest.raises(InsecureParametersError, match="it holds what is no whole number"):
            check_security(Params(poly_modulus_degree=4096, data_primes=(prime, wrong), special_prime=None))


def test_every_special_prime_counts_for_security():
    """SEAL would take these parameters, since it sees one special prime of the three."""
    params = make_params(8192, [40, 40, 30], [40, 40, 40], (2, 1))
    assert log2(prod(params.seal_primes)) < GUIDELINE_2024_LOG2_QP[8192] < params.log2_qp
    with pytest.raises(InsecureParametersError, match="230.0 bits at N=8192; 128-bit security allows 214"):
        check_security(params)


FITTING = make_params(8192, [40, 40, 30], [40, 40], (2, 1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"digits": (3,)}, "digits: the largest has 110.0 bits, P has 80.0"),
        ({"digits": (2,)}, r"digits: \(2,\) are not the 3 data primes"),
        ({"digits": (4,)}, "every digit has 1 to 3 data primes"),
        ({"digits": (1, 1, 1)}, "leave the field out where all have one"),
        ({"digits": (2, 0, 1)}, "every digit has 1 to 3 data primes"),
        ({"special_prime": None}, "more_special_primes: given without a special_prime"),
        ({"special_prime": None, "more_special_primes": ()}, "digits: given without a special_prime"),
        ({"more_special_primes": (FITTING.special_prime,)}, "a prime occurs twice"),
        ({"more_special_primes": make_params(8192, [21, 21, 21], None).data_primes}, "allowed are 2 at most"),
    ],
)
def test_special_primes_and_digits_that_no_key_switch_has_are_refused(changes, message):
    check_security(FITTING)
    with pytest.raises(InsecureParametersError, match=message):
        check_security(replace(FITTING, **changes))


def test_digits_of_lower_levels_are_cut_short():
    assert [[len(digit) for digit in FITTING.digits_at(level)] for level in (3, 2, 1)] == [[2, 1], [2], [1]]
    assert [list(digit) for digit in make_params(8192, [40, 40, 30], 41).digits_at(2)] == [[0], [1]]
