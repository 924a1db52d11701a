"""Keys of our own from client to server: distributions, seeds, sizes, both backends, and what a server refuses."""

import os
import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from compress.errors import BackendError, FormatError
from secure.bundle.client_checks import client_fault
from secure.engine.transform import backward
from secure.key_shape import HEAD, SEED_BYTES, KeyShape, item_bytes
from secure.params import ERROR_STD, make_params
from secure.parties.client import Client
from secure.parties.keys import KEY_ID_BYTES, EvaluationKey, content_digest
from secure.parties.server import Server
from secure.plan import galois_element
from secure.switching.making import KeyMaker
from secure.switching.reading import read_keys
from tests.secure.own_keys import OwnParty
from tests.secure.plans import SMALL, Builder, small_bundle, small_bundle_by_hand

HYBRID = make_params(8192, [36, 29, 30], [34, 34], (2, 1))


def hybrid_bundle():
    """Its bound is twice that of the smaller ring.

    What a key switch rounds off is multiplied by the secret, so it grows with N, and its tail is that of a product.
    """
    made = small_bundle(own_keys=True, params=HYBRID)
    return replace(made, client=replace(made.client, predicted_logit_error=2 * made.client.predicted_logit_error))


BUNDLES = {"one special prime": small_bundle(own_keys=True), "hybrid": hybrid_bundle()}
WAYS = [("one special prime", "engine"), ("one special prime", "seal"), ("hybrid", "engine")]


@pytest.mark.parametrize(("name", "backend"), WAYS)
def test_a_bundle_runs_with_keys_of_our_own(name, backend):
    bundle, image = BUNDLES[name], np.random.default_rng(3).uniform(-1, 1, (4, 8))
    client, server = Client(bundle.client), Server(bundle.server, backend=backend)
    server.register(client.evaluation_key.to_bytes())
    found = client.decrypt(server.run(client.encrypt(image)))
    wanted = small_bundle_by_hand(bundle, image).reshape(2, 5)
    assert np.abs(found - wanted).max() < bundle.client.predicted_logit_error
    sizes = [len(item) for item in client.evaluation_key.items]
    assert sizes == [
        item_bytes(bundle.client.params, levels)
        for levels in ((bundle.client.keys.relin_level,), bundle.client.keys.galois_levels)
    ]


def test_seal_refuses_hybrid_key_switches_and_says_why():
    with pytest.raises(BackendError, match="its key switches are hybrid, with 2 special primes and digits of up to 2"):
        Server(BUNDLES["hybrid"].server, backend="seal")


def low_level_plan(params):
    """A key used at level 1 alone, one used at levels 2 and 1, and a square at level 2."""
    builder = Builder(params, input_scale=2.0**28)
    squared = builder.rescale(builder.relinearize(builder.square(builder.rotate(0, 1))))
    return builder.build(builder.add(builder.rotate(squared, 1), builder.rotate(squared, 7)))


@pytest.mark.parametrize("backend", ["engine", "seal"])
def test_keys_that_are_cut_to_their_level_serve_both_backends(backend):
    plan, whole = low_level_plan(SMALL), small_bundle()
    assert plan.key_manifest.levels == (2, 2, 1)
    places = np.stack([np.zeros(10, np.int32), np.arange(10, dtype=np.int32)], axis=1)
    client_spec = replace(
        whole.client, keys=plan.key_manifest, output_levels=(1,), output_scales=(plan.scale_of(plan.outputs[0]),),
        output_slots=places, input_scale=plan.input_scale,
    )  # fmt: skip
    server = Server(replace(whole.server, plan=plan), backend=backend)
    client = Client(client_spec)
    server.register(client.evaluation_key)
    image = np.random.default_rng(0).uniform(-1, 1, 32)
    found = client.decrypt(server.run(client.encrypt(image.reshape(4, 8)))).ravel()
    square = np.roll(image, -1) ** 2
    assert np.abs(found - (np.roll(square, -1) + np.roll(square, -7))[:10]).max() < 1e-3


def read_galois(party):
    manifest = party.plan.key_manifest
    return list(read_keys(party.plan.params, manifest.galois_levels, party.galois_item, "key"))


@pytest.fixture(scope="module")
def many_keys():
    """A party with 24 keys of three digits each."""
    params = make_params(8192, [30, 30, 30], [34], ())
    builder = Builder(params)
    total = builder.rotate(0, 1)
    for steps in range(2, 25):
        total = builder.add(total, builder.rotate(0, steps))
    return OwnParty(builder.build(total))


def test_errors_have_seal_s_distribution_and_no_two_are_alike(many_keys):
    errors = []
    for key in read_galois(many_keys):
        for digit, rows in enumerate(key):
            found = many_keys.coefficients(many_keys.phase(rows[:, :3].copy()))
            others = [row for row in range(3) if row != digit]  # the digit's own row holds the secret too
            assert (found[others[0]] == found[others[1]]).all()
            errors.append(found[others[0]])
    assert len({error.tobytes() for error in errors}) == 72
    drawn = np.concatenate(errors)
    assert abs(drawn.mean()) < 5 * ERROR_STD / np.sqrt(drawn.size)
    assert drawn.var() == pytest.approx(10.5, rel=0.02)
    assert (drawn**4).mean() == pytest.approx(10.5**2 * (3 - 2 / 42), rel=0.05)
    values = np.arange(-8, 9)
    wanted = stats.binom.pmf(values + 21, 42, 0.5)
    counts = np.array([(drawn == value).sum() for value in values])
    expected = wanted * drawn.size
    assert stats.chi2.sf(((counts - expected) ** 2 / expected).sum(), len(values) - 1) > 1e-6


def test_second_halves_are_uniform_and_no_two_are_alike(many_keys):
    rows = [row for key in read_galois(many_keys) for digit in key for row in digit[1]]
    assert len({row.tobytes() for row in rows}) == 24 * 3 * 4
    shares = np.concatenate([digit[1, 0] for key in read_galois(many_keys) for digit in key])
    counts, _ = np.histogram(shares / many_keys.plan.params.data_primes[0], bins=64, range=(-0.5, 0.5))
    assert stats.chisquare(counts).pvalue > 1e-6


def test_the_secret_has_seal_s_distribution(many_keys):
    ternary = many_keys.coefficients(many_keys.secret[:3])
    assert (ternary == ternary[0]).all()
    counts = [(ternary[0] == value).sum() for value in (-1, 0, 1)]
    assert sum(counts) == 8192 and stats.chisquare(counts).pvalue > 1e-6


def test_every_key_takes_fresh_bytes_of_the_system_for_its_seed_and_its_errors(many_keys, monkeypatch):
    drawn, real = [], os.urandom

    def recorded(count):
        drawn.append(real(count))
        return drawn[-1]

    monkeypatch.setattr(os, "urandom", recorded)
    maker = KeyMaker(many_keys.plan.params, many_keys.content)
    maker.relin_item(3)
    item = maker.galois_item((3, 9), (3, 2))
    assert [len(one) for one in drawn] == [32] * 6 and len(set(drawn)) == 6
    seeds = [item[HEAD.size :][:SEED_BYTES], item[HEAD.size + KeyShape(many_keys.plan.params, 3).packed_bytes :][:32]]
    assert seeds == [drawn[2], drawn[4]]
    # the bytes that the errors come from are nowhere in what is sent
    assert not any(one in item for one in (drawn[1], drawn[3], drawn[5]))


def test_a_maker_forgets_the_secret_and_is_never_pickled(many_keys):
    maker = KeyMaker(many_keys.plan.params, many_keys.content)
    for secret in (maker, maker._secret):
        with pytest.raises(TypeError, match="a secret key cannot be pickled or copied"):
            pickle.dumps(secret)
    maker.wipe()
    assert not maker._secret.values.any()


def test_rows_of_special_primes_that_seal_does_not_know_hold_the_same_secret():
    party = OwnParty(Builder(HYBRID).build(0))
    known = party.coefficients(party.secret[:1])
    assert party.secret.shape == (5, 8192)
    for row in range(5):
        again = party.secret[row].copy()
        backward(again, np.empty(8192), row, party.engine.tables)
        assert (again == known[0]).all()


def altered(item, place, value):
    return item[:place] + value + item[place + len(value) :]


MUTATIONS = {
    "shorter": (lambda item: item[:-1], "bytes where the bundle's keys take"),
    "longer": (lambda item: item + b"0", "bytes where the bundle's keys take"),
    "other count": (lambda item: altered(item, 8, b"\7"), "its head does not state 2 keys"),
    "no zeros": (lambda item: altered(item, 12, b"\1"), "its head does not state 2 keys"),
    "residue too large": (lambda item: altered(item, 48, b"\xff" * 16), "a residue of key 0 is not below its prime"),
    "another magic": (lambda item: altered(item, 0, b"CPSWKEY2"), "it does not start as a SEAL object|SEAL's form"),
    "missing": (lambda item: b"", "it lacks a key the bundle uses"),
    "magic alone": (lambda item: item[:8], "8 bytes where the bundle's keys take"),
}


@pytest.mark.parametrize("change", MUTATIONS)
@pytest.mark.parametrize(("name", "backend"), WAYS)
def test_items_that_are_not_exactly_the_bundle_s_keys_are_refused(name, backend, change):
    bundle = BUNDLES[name]
    relin, galois = Client(bundle.client).evaluation_key.items
    alter, message = MUTATIONS[change]
    items = (relin, alter(galois))
    key = EvaluationKey(bundle.client.bundle_id, content_digest(bundle.client.bundle_id, items)[:KEY_ID_BYTES], items)
    with pytest.raises(FormatError, match=message):
        Server(bundle.server, backend=backend).register(key)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("galois_levels", {"galois_levels": (1,)}),
        ("relin_level", {"relin_level": 0}),
        ("galois_levels", {"galois_levels": (), "relin_level": 0}),
        ("relin_level", {"galois_levels": (4, 4)}),
    ],
)
def test_levels_of_keys_that_no_plan_states_are_refused(field, changes):
    spec = BUNDLES["hybrid"].client
    assert client_fault(spec) is None
    fault = client_fault(replace(spec, keys=replace(spec.keys, **changes)))
    assert fault is not None and fault[0] == field
    assert galois_element(3, 8192) in spec.keys.galois_elements
