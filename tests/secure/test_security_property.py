"""The compiler never returns, and no party loads, parameters below 128 bits of security by the 2024 table.

The table and the rules are written again here, and security is recomputed from the primes alone.
"""

import json
from dataclasses import replace
from functools import partial
from importlib import import_module
from math import log2, prod

import numpy as np
import pytest
import tenseal.sealapi as seal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compress.errors import CipherpressError, FormatError, InsecureParametersError
from compress.network import Dense, Input, Network, Polynomial, Weights
from secure.bundle.files import client_disagreement, load_bundle, load_client, load_server, plan_digest, save_bundle
from secure.bundle.specs import ServerSpec
from secure.compiling.compile import compile_network
from secure.kernels.counts import KernelTimes
from secure.limits import Limits
from secure.params import Params, check_security, make_params, ntt_prime_below
from secure.parties.client import Client
from secure.parties.keys import generate_keys
from secure.parties.server import Server
from secure.seal.context import Ring, make_ring
from secure.seal.evaluation_keys import load_all, load_in_turn
from tests.secure.plans import SMALL, small_bundle

#: eprint 2024/463, ternary secret, 128 bits classical: the largest log2 of the product of all primes.
TABLE = {4096: 106, 8192: 214, 16384: 430, 32768: 868}


def is_secure(params: Params) -> bool:
    """By the primes alone: the ring is in the table; primes are distinct, 1 modulo 2N, of a size that SEAL takes."""
    degree = params.poly_modulus_degree
    primes = [*params.data_primes, *([] if params.special_prime is None else [params.special_prime])]
    return (
        degree in TABLE
        and len(params.data_primes) > 0
        and len(set(primes)) == len(primes)
        and all(
            1 < p < 2**60 and p % (2 * degree) == 1 and all(pow(b, p - 1, p) == 1 for b in (2, 3, 5)) for p in primes
        )
        and log2(prod(primes)) <= TABLE[degree]
    )


def assert_secure(bundle):
    for params in (bundle.client.params, bundle.server.plan.params):
        assert is_secure(params)
    make_ring(bundle.client.params)  # runs SEAL's own check at 128 bits
    assert client_disagreement(bundle.client, bundle.server.plan) is None
    assert bundle.report["security_bits"] == 128
    assert bundle.report["log2_qp"] <= TABLE[bundle.report["poly_modulus_degree"]]


# -- what the search returns


def network(sizes, seed, gain, bend):
    """Dense layers with squares between them; `gain` scales the weights, `bend` the square's coefficient."""
    rng = np.random.default_rng(seed)
    nodes = [Input(name="x", inputs=(), shape=(sizes[0],))]
    for index, (columns, rows) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        weights = Weights(gain * rng.normal(size=(rows, columns)) / np.sqrt(columns), np.array(1.0))
        bias = gain * rng.normal(size=rows)
        nodes.append(Dense(name=f"fc{index}", inputs=(nodes[-1].name,), shape=(rows,), weights=weights, bias=bias))
        if index < len(sizes) - 2:
            curve = np.array([[0.1], [0.5], [bend]])
            nodes.append(Polynomial(name=f"act{index}", inputs=(f"fc{index}",), shape=(rows,), coefficients=curve))
    return Network(nodes=tuple(nodes))


ANY_TIME = st.one_of(st.floats(0, 1e12), st.sampled_from([0.0, -1.0, -1e9, float("inf"), float("nan")]))
TIMES = st.builds(KernelTimes, butterfly_ns=ANY_TIME, product_ns=ANY_TIME, addition_ns=ANY_TIME, call_us=ANY_TIME)


def attempts(examples, layers, precisions):
    """Networks, precisions that need large moduli, kernel times that mislead the order, calibration of any size."""

    def decorate(function):
        given_ = given(
            sizes=st.lists(st.integers(1, 24), min_size=2, max_size=layers + 1),
            seed=st.integers(0, 2**16),
            gain=st.sampled_from([1e-3, 0.3, 1.0, 30.0]),
            bend=st.sampled_from([0.01, 0.3, -2.0]),
            precision=st.sampled_from(precisions),
            times=TIMES,
            seal_times=st.none() | TIMES,
            stretch=st.sampled_from([1e-6, 1.0, 1e3]),
            images=st.sampled_from([1, 2, 16]),
        )
        checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
        return settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=checks)(
            given_(function)
        )

    return decorate


def attempt(sizes, seed, gain, bend, precision, times, seal_times, stretch, images):
    """One compilation gives a secure bundle, or an error that says why there is none."""
    made = network(sizes, seed, gain, bend)
    inputs = stretch * np.random.default_rng(seed).normal(size=(images, sizes[0]))
    size = float(np.sqrt(np.mean(made.run(inputs) ** 2)))
    allowed = None if precision is None else precision * max(size, 1e-300)
    try:
        bundle = compile_network(made, inputs, times=times, seal_times=seal_times, limits=Limits(max_error=allowed))
    except CipherpressError as error:
        assert str(error)
        return
    assert_secure(bundle)


@attempts(20, layers=2, precisions=[None, 1e-2, 1.0, 1e9])
def test_every_plan_the_search_returns_is_secure(**chosen):
    attempt(**chosen)


@pytest.mark.slow
@attempts(60, layers=4, precisions=[None, 1e-14, 1e-9, 1e-6, 1e-3, 1.0, 1e9])  # a search that finds nothing is longest
def test_every_plan_the_search_returns_is_secure_at_length(**chosen):
    attempt(**chosen)


def test_the_final_check_stops_a_search_that_uses_a_larger_table(monkeypatch):
    larger = {degree: 3 * bits for degree, bits in TABLE.items()}
    for module in (
        "secure.passes.choose_parameters",
        "secure.passes.chains",
    ):  # the package shows functions by these names
        monkeypatch.setattr(import_module(module), "GUIDELINE_2024_LOG2_QP", larger)
    made = network([12, 8, 3], 0, 1.0, 0.3)
    inputs = np.random.default_rng(0).random((16, 12))
    times = KernelTimes(butterfly_ns=1.0, product_ns=1.0, addition_ns=1.0, call_us=1.0)
    with pytest.raises(InsecureParametersError, match="128-bit security allows"):
        compile_network(made, inputs, times=times, limits=Limits(max_error=2e-3))


# -- what check_security lets through

SIZES = st.one_of(
    st.sampled_from([24.0, 30.0, 40.0, 50.0, 59.9]).flatmap(
        lambda bits: st.sampled_from(list(TABLE)).map(lambda degree: ntt_prime_below(bits, degree))
    ),
    st.sampled_from([-(2**40) + 1, -1, 0, 1, 2, 3, 2**31 - 1, 2**61 - 1, 2**200 + 1]),
    st.integers(2**20, 2**64),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    degree=st.sampled_from([*TABLE, 0, 1, 1024, 2048, 65536, -4096]),
    data=st.lists(SIZES, max_size=12),
    special=st.none() | SIZES,
)
def test_parameters_that_pass_the_check_are_secure(degree, data, special):
    params = Params(poly_modulus_degree=degree, data_primes=tuple(data), special_prime=special)
    try:
        check_security(params)
    except InsecureParametersError:
        return
    assert is_secure(params)


@pytest.mark.parametrize("degree", TABLE)
def test_the_check_accepts_a_full_modulus(degree):
    sizes, left = [], TABLE[degree] - 0.5
    while left > 50:
        sizes.append(min(49.0, left - 25))
        left -= sizes[-1]
    params = make_params(degree, sizes, left)
    check_security(params)
    assert is_secure(params) and params.log2_qp > TABLE[degree] - 2


# -- what parties load


@pytest.fixture
def folder(tmp_path):
    save_bundle(small_bundle(), tmp_path / "bundle")
    return tmp_path / "bundle"


def insecure():
    """Parameter sets as JSON: one prime too many, one bit too many, a special prime, a small ring, or no primes."""
    base = {
        "poly_modulus_degree": 4096,
        "data_primes": list(SMALL.data_primes),
        "special_prime": SMALL.special_prime,
    }
    more = [ntt_prime_below(bits, 4096, SMALL.all_primes) for bits in (30, 45, 50)]
    return {
        "one prime more": {**base, "data_primes": [*SMALL.data_primes, more[0]]},
        "a larger prime": {**base, "data_primes": [SMALL.data_primes[0], more[1]]},
        "a larger special prime": {**base, "special_prime": more[2]},
        "a smaller ring": {**base, "poly_modulus_degree": 2048},
        "an unknown ring": {**base, "poly_modulus_degree": 65536},
        "a prime twice": {**base, "data_primes": [SMALL.data_primes[1]] * 2},
        "no prime": {**base, "data_primes": [SMALL.data_primes[0] + 2, SMALL.data_primes[1]]},
        "zero": {**base, "data_primes": [0, SMALL.data_primes[1]]},
        "less than zero": {**base, "data_primes": [-SMALL.data_primes[0], SMALL.data_primes[1]]},
        "nothing": {**base, "data_primes": []},
    }


INSECURE = insecure()
TOO_LARGE = "128-bit security allows 106"
REFUSALS = {
    "one prime more": TOO_LARGE,
    "a larger prime": TOO_LARGE,
    "a larger special prime": TOO_LARGE,
    "a smaller ring": "bits at N=2048; 128-bit security allows 53",
    "an unknown ring": "poly_modulus_degree: 65536 is not one of",
    "a prime twice": "coeff_modulus: a prime occurs twice",
    "no prime": f"coeff_modulus: {SMALL.data_primes[0] + 2} is no prime of at most 60 bits",
    "zero": "coeff_modulus: 0 is no prime; every entry must be a prime that is 1 modulo 8192",
    "less than zero": f"coeff_modulus: -{SMALL.data_primes[0]} is no prime",
    "nothing": "coeff_modulus: no data prime; give one at least",
}


@pytest.mark.parametrize("name", INSECURE)
def test_a_client_refuses_a_tampered_modulus(folder, name):
    path = folder / "client.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"params": INSECURE[name]}))
    for load in (load_client, load_bundle):
        with pytest.raises(InsecureParametersError, match=REFUSALS[name]):
            load(folder)


@pytest.mark.parametrize("name", sorted(set(INSECURE) - {"an unknown ring"}))  # constants have the ring's slots
def test_a_server_refuses_a_tampered_modulus_even_under_its_own_digest(folder, name):
    found = INSECURE[name]
    params = Params(
        poly_modulus_degree=found["poly_modulus_degree"],
        data_primes=tuple(found["data_primes"]),
        special_prime=found["special_prime"],
    )
    plan = replace(small_bundle().server.plan, params=params)
    path = folder / "server" / "plan.json"
    original = json.loads(path.read_text())
    forged = original | {"params": found, "bundle_id": plan_digest(plan)}
    path.write_text(json.dumps(forged))
    for load in (load_server, load_bundle):
        with pytest.raises(InsecureParametersError, match=REFUSALS[name]):
            load(folder)
    path.write_text(json.dumps({**forged, "params": original["params"]}))
    with pytest.raises(FormatError, match="field 'bundle_id' is not the digest of the plan"):
        load_server(folder)


@pytest.mark.parametrize("name", ["one prime more", "a larger prime", "a larger special prime"])
def test_neither_party_starts_with_an_insecure_spec_of_its_own(name):
    found = INSECURE[name]
    params = make_params(4096, [36, 29], 40)
    params = replace(params, data_primes=tuple(found["data_primes"]), special_prime=found["special_prime"])
    bundle = small_bundle()
    with pytest.raises(InsecureParametersError, match="128-bit security allows 106"):
        Client(replace(bundle.client, params=params))
    plan = replace(bundle.server.plan, params=params)
    with pytest.raises(InsecureParametersError, match="128-bit security allows 106"):
        Server(ServerSpec(bundle_id=plan_digest(plan), plan=plan))


# -- every key that is made or taken


def weak_ring():
    """A ring that SEAL made without its own check, for parameters far above the table."""
    params = make_params(4096, [50, 50], 50)
    native = seal.EncryptionParameters(seal.SCHEME_TYPE.CKKS)
    native.set_poly_modulus_degree(4096)
    native.set_coeff_modulus([seal.Modulus(prime) for prime in params.all_primes])
    return Ring(params, seal.SEALContext(native, True, seal.SEC_LEVEL_TYPE.NONE), (None,))


def test_no_key_is_made_or_taken_in_a_ring_that_seal_alone_accepts():
    ring, bundle = weak_ring(), small_bundle()
    spec = replace(bundle.client, params=ring.params)
    key = Client(bundle.client)
    with pytest.raises(InsecureParametersError, match="150.0 bits at N=4096"):
        generate_keys(spec, ring)
    with pytest.raises(InsecureParametersError, match="150.0 bits at N=4096"):
        key.secret_key.native(ring)
    for load in (load_all, partial(load_in_turn, read=lambda content: None)):
        with pytest.raises(InsecureParametersError, match="150.0 bits at N=4096"):
            load(key.evaluation_key.items, bundle.client.keys, ring)


def test_a_ring_that_lies_about_its_modulus_is_refused():
    ring, bundle = weak_ring(), small_bundle()
    lying = replace(ring, params=bundle.client.params)  # secure parameters around a weak context
    with pytest.raises(InsecureParametersError, match="SEAL's context has other moduli than the parameters state"):
        generate_keys(bundle.client, lying)
    other = make_ring(make_params(4096, [36, 30], 39))
    with pytest.raises(InsecureParametersError, match="the ring's is not the bundle's"):
        generate_keys(bundle.client, other)
