"""A client.json that somebody altered: every field has a range, and what is outside is refused by name."""

import base64
import json
import re
import zlib
from dataclasses import replace

import numpy as np
import pytest

from compress.errors import ConfigError, FormatError, InsecureParametersError, KeyBytesError
from secure.bundle.client_checks import client_fault, least_error
from secure.bundle.client_file import client_digest, load_client
from secure.bundle.files import load_bundle, save_bundle
from secure.params import make_params
from secure.parties.client import DEFAULT_MAX_KEY_BYTES, Client
from secure.plan import KeyManifest
from tests.secure.plans import small_bundle

BUNDLE = small_bundle()


@pytest.fixture
def folder(tmp_path):
    save_bundle(BUNDLE, tmp_path / "bundle")
    return tmp_path / "bundle"


def packed(values, shape):
    content = zlib.compress(np.asarray(values, dtype="<i4").tobytes())
    return {"shape": shape, "int32_zlib_base64": base64.b64encode(content).decode()}


SLOTS = np.tile(np.arange(32), 64)
PLACES = np.stack([np.zeros(10, int), np.arange(10)], axis=1)
NO_MAP = {"shape": [1, 1, 2048], "int32_zlib_base64": "!!"}
LONG = {"shape": [1, 1, 2048], "int32_zlib_base64": packed([0] * 9999, [])["int32_zlib_base64"]}

#: (field, what a forger writes, what the message says of it)
FORGERIES = [
    ("bundle_id", "g" * 64, "a sha256 in 64 hex digits"),
    ("bundle_id", 7, "a text"),
    ("params", None, "an object"),
    ("galois_elements", [4], "odd numbers from 3 to 8191"),
    ("galois_elements", [1], "odd numbers from 3 to 8191"),
    ("galois_elements", [8193], "whole numbers from 0 to 8192"),
    ("galois_elements", [3, 5, 3], "every Galois element once"),
    ("galois_elements", [3.0], "whole numbers"),
    ("galois_elements", "3", "whole numbers"),
    ("galois_elements", list(range(3, 8195)), "a list of 0 to 4096 whole numbers"),
    ("relinearize", 1, "true or false"),
    ("relinearize", "no", "true or false"),
    ("input_shape", [4, 7], None),
    ("input_shape", [-4, -8], "whole numbers from 1 to"),
    ("input_shape", [0], "whole numbers from 1 to"),
    ("input_shape", [], "a list of 1 to 8 whole numbers"),
    ("input_shape", [1] * 9, "a list of 1 to 8 whole numbers"),
    ("input_shape", [2**20, 2**20], "sizes whose product is at most 16777216"),
    ("input_shape", [2**62], "whole numbers from 1 to"),
    ("input_shape", [4, True], "whole numbers"),
    ("input_slots", packed([-2] * 2048, [1, 1, 2048]), "features of an input of shape"),
    ("input_slots", packed([-1] * 2048, [1, 1, 2048]), "features of an input of shape"),
    ("input_slots", packed([32] * 2048, [1, 1, 2048]), "features of an input of shape"),
    ("input_slots", packed(SLOTS, [1, 2048]), "features of an input of shape"),
    ("input_slots", packed([0] * 4, [1, 1, 4]), "features of an input of shape"),
    ("input_slots", packed(np.zeros(3 * 2048), [1, 3, 2048]), "features of an input of shape"),
    ("input_slots", packed([0], [2**24, 2**24]), "sizes whose product is at most"),
    ("input_slots", packed([0], [0, 0]), "whole numbers from 1 to"),
    ("input_slots", NO_MAP, "cannot be inflated"),
    ("input_slots", LONG, "does not inflate to its shape"),
    ("input_slots", [[0]], "an object"),
    ("input_level", 3, "a whole number from 1 to 2"),
    ("input_level", 0, "a whole number from 1 to 2"),
    ("input_level", 2.0, "a whole number from 1 to 2"),
    ("input_scale", "large", "a number"),
    ("input_scale", True, "a number"),
    ("input_scale", -1.0, "a factor that brings an input of 1 above 0.5"),
    ("input_scale", 0.0, "a factor that brings an input of 1 above 0.5"),
    ("input_scale", 1e-300, "a factor that brings an input of 1 above 0.5"),
    ("input_scale", 1e300, "and into the modulus"),
    ("input_low", 2.0, None),
    ("input_low", [0.0] * 31, "a list of 32 to 32 numbers"),
    ("input_low", [0.0] * 31 + ["a"], "a list of 32 to 32 numbers"),
    ("input_low", None, "a number"),
    ("input_high", -1.0, "at least input_low everywhere, and larger somewhere"),
    ("input_high", 1e300, None),
    ("output_shape", [3, 5], None),
    ("output_shape", [-2, -5], "whole numbers from 1 to"),
    ("output_slots", packed([0, 2048] * 10, [10, 2]), "10 places, each a ciphertext below 2 and a slot below 2048"),
    ("output_slots", packed([2, 0] * 10, [10, 2]), "10 places"),
    ("output_slots", packed([0, -1] * 10, [10, 2]), "10 places"),
    ("output_slots", packed([0, 5] * 10, [10, 2]), "a place of its own for every output"),
    ("output_slots", packed(PLACES, [2, 10]), "10 places"),
    ("output_levels", [1, 0], "whole numbers from 1 to 2"),
    ("output_levels", [1, 3], "whole numbers from 1 to 2"),
    ("output_levels", [1], "2 levels from 1 to the input's, 2"),
    ("output_levels", [], "a list of 1 to 4096 whole numbers"),
    ("output_scales", [1.0], None),
    ("output_scales", [1.0, 0.0], "above 0, and at level 1 at most 2^"),
    ("output_scales", [1.0, -1.0], "above 0"),
    ("output_scales", [1.0, 1e200], "at level 1 at most 2^48"),
    ("predicted_logit_error", 1e-12, "which a fresh encryption does"),
    ("predicted_logit_error", 0.0, "which a fresh encryption does"),
    ("predicted_logit_error", -1, "which a fresh encryption does"),
    ("predicted_logit_error", 1e300, "and at most 2^"),
    ("predicted_logit_error", None, "a number"),
]
#: Fields that a file may leave out.
OPTIONAL = [
    ("error_grows_beyond", 0.0, "a number above 0"),
    ("error_grows_beyond", -1, "a number above 0"),
    ("error_grows_beyond", "2", "a number"),
]


def forge(folder, **changes):
    path = folder / "client.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(("field", "value", "said"), FORGERIES + OPTIONAL)
def test_a_forged_field_is_refused_and_named(folder, field, value, said):
    forge(folder, **{field: value})
    with pytest.raises(FormatError, match=f"client.json: field '\\w+'.*{re.escape(said or '; allowed: ')}") as caught:
        load_client(folder)
    if said is not None:
        assert f"field '{field}'" in str(caught.value)


def test_every_field_is_forged_above_and_none_may_be_missing(folder):
    content = json.loads((folder / "client.json").read_text())
    fields = content.keys() - {"kind", "version"}
    assert {field for field, _, _ in FORGERIES} == fields
    for field in sorted(fields):
        (folder / "client.json").write_text(json.dumps({name: content[name] for name in content if name != field}))
        with pytest.raises(FormatError, match=f"client.json: field '{field}' is"):
            load_client(folder)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("field", ["predicted_logit_error", "input_scale", "input_low", "input_high"])
def test_what_is_no_finite_number_is_refused(folder, field, number):
    text = (folder / "client.json").read_text()
    (folder / "client.json").write_text(re.sub(f'"{field}": [^,]*', f'"{field}": {number}', text))
    with pytest.raises(FormatError, match="client.json: not valid JSON"):
        load_client(folder)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"poly_modulus_degree": 2048}, InsecureParametersError),
        ({"poly_modulus_degree": "4096"}, FormatError),
        ({"data_primes": [4], "special_prime": None}, InsecureParametersError),
        ({"data_primes": [True]}, FormatError),
        ({"data_primes": [3] * 65}, FormatError),
        ({"special_prime": 1.5}, FormatError),
        ({"special_prime": list(make_params(4096, [50, 50], 50).all_primes)[-1]}, InsecureParametersError),
    ],
)
def test_parameters_that_are_weak_or_malformed_are_refused(folder, change, error):
    found = json.loads((folder / "client.json").read_text())["params"]
    forge(folder, params=found | change)
    with pytest.raises(error, match="field 'params'|coeff_modulus|poly_modulus_degree"):
        load_client(folder)


def test_keys_without_a_special_prime_are_refused(folder):
    params = json.loads((folder / "client.json").read_text())["params"] | {"special_prime": None}
    forge(folder, params=params)
    with pytest.raises(FormatError, match="field 'relinearize' is True; allowed: no keys without a special prime"):
        load_client(folder)
    forge(folder, params=params, relinearize=False)
    with pytest.raises(FormatError, match=r"field 'galois_elements' .*; allowed: no keys without a special prime"):
        load_client(folder)


def test_a_range_for_every_feature_comes_back_and_one_number_stands_for_equal_ones(folder):
    assert json.loads((folder / "client.json").read_text())["input_low"] == -1.0
    spec = replace(BUNDLE.client, input_high=np.linspace(1, 2, 32))
    save_bundle(replace(BUNDLE, client=spec), folder, force=True)
    assert len(json.loads((folder / "client.json").read_text())["input_high"]) == 32
    np.testing.assert_array_equal(load_bundle(folder).client.input_high, spec.input_high)
    assert client_digest(load_client(folder)) == client_digest(spec) != client_digest(BUNDLE.client)


def test_a_predicted_error_is_believed_from_half_a_fresh_encryption_on():
    # six standard deviations of a fresh encryption's real part, sqrt(N (3.2^2 / 2 + 1 / 12)), at the least output scale
    fresh = 6 * np.sqrt(4096 * (3.2**2 / 2 + 1 / 12)) / min(BUNDLE.client.output_scales)
    assert least_error(BUNDLE.client) == pytest.approx(fresh / 2)
    assert client_fault(replace(BUNDLE.client, predicted_logit_error=fresh / 2)) is None
    field, _ = client_fault(replace(BUNDLE.client, predicted_logit_error=0.99 * fresh / 2))
    assert field == "predicted_logit_error"


# -- keys


def no_keys(*_):
    raise AssertionError("keys were made")


def large(elements):
    """A spec at N = 32768 with 20 data primes."""
    params = make_params(32768, [40] * 20, 44)
    return replace(BUNDLE.client, params=params, keys=KeyManifest(tuple(range(3, 3 + 2 * elements, 2)), False))


def test_keys_beyond_the_limit_are_refused_before_any_is_made(monkeypatch):
    monkeypatch.setattr("secure.parties.client.generate_keys", no_keys)
    one = 20 * 2 * 21 * 32768 * 8  # data primes, two polynomials modulo every prime, eight bytes a residue
    with pytest.raises(KeyBytesError) as caught:
        Client(large(20))
    assert (caught.value.needed_bytes, caught.value.max_bytes) == (20 * one, DEFAULT_MAX_KEY_BYTES)
    assert str(caught.value) == (
        "keys: this bundle asks for 20 rotation keys at N=32768, which take 4.40 GB while they are made; allowed are "
        f"2.15 GB; if you trust where client.json comes from, allow {20 * one:,} bytes with max_key_bytes= or "
        "--max-key-bytes"
    )
    with pytest.raises(KeyBytesError, match="32767 rotation keys at N=32768, which take 7,215.32 GB"):
        Client(large(32767))
    with pytest.raises(AssertionError, match="keys were made"):
        Client(large(20), max_key_bytes=20 * one)


def test_a_client_with_a_key_of_its_own_makes_none():
    small = Client(BUNDLE.client)
    assert Client(BUNDLE.client, small.secret_key, max_key_bytes=1).spec is BUNDLE.client
    with pytest.raises(KeyBytesError, match="2 rotation keys and a relinearization key at N=4096"):
        Client(BUNDLE.client, max_key_bytes=1)


@pytest.mark.parametrize("limit", [0, -1, float("nan"), "2G", None, True])
def test_a_limit_that_is_no_number_is_refused(limit):
    with pytest.raises(ConfigError, match="max_key_bytes: got .*; allowed: a positive number of bytes"):
        Client(BUNDLE.client, max_key_bytes=limit)
