"""Clients of networks with a front end: they take images, of which features are encrypted, in both modes."""

from functools import cache

import numpy as np
import pytest

import cipherpress as cp
from compress.dataset import Dataset
from compress.errors import InputRangeError, InputShapeError
from compress.front import Front, lowest_frequencies
from compress.native.exporting import exported
from compress.native.layers import Coded
from secure.verify.verification import verify_bundle
from tests.small_road import call, call_json

SHAPE = (2, 6, 5)


def made() -> tuple[cp.Network, Dataset]:
    rng = np.random.default_rng(0)
    front = Front(SHAPE, lowest_frequencies(SHAPE, 16), tuple(np.linspace(0.5, 1.5, 16)))
    layers = [
        Coded(rng.integers(-7, 8, (8, 16)), -4, rng.normal(size=8)),
        Coded(rng.integers(-7, 8, (3, 8)), -4, rng.normal(size=3)),
    ]
    images = rng.uniform(0, 1, (600, *SHAPE)).astype(np.float32)
    return exported(front, layers, 4), Dataset("made", images[:400], None, images[400:], None)


NETWORK, DATA = made()


@cache
def compiled(mode: str) -> "cp.Bundle | cp.BatchBundle":
    return cp.compile(NETWORK, DATA, mode=mode)


@pytest.fixture(params=["latency", "throughput"])
def bundle(request: pytest.FixtureRequest) -> "cp.Bundle | cp.BatchBundle":
    return compiled(request.param)


def test_answers_are_those_of_the_network_on_images(bundle) -> None:
    result = cp.round_trip(bundle, DATA.x_test[:30])
    assert result["max_logit_error"] <= result["predicted_logit_error"] and result["images"] == 30
    assert bundle.client.input_shape == (16,) and bundle.client.interface.given_shape((16,)) == SHAPE


def test_features_and_images_give_the_same_answers(bundle) -> None:
    images = DATA.x_test[:3]
    features = bundle.client.interface.features(images)
    client, server = cp.Client(bundle.client), cp.Server(bundle.server)
    if isinstance(bundle, cp.BatchBundle):
        answers = [client.decrypt_batch(server.run_batch(client.encrypt_batch(rows))) for rows in (images, features)]
    else:
        server.register(client.evaluation_key)
        answers = [
            client.decrypt([server.run(request) for request in client.encrypt_many(rows)])
            for rows in (images, features)
        ]
    wanted = NETWORK.run(images)
    for answer in answers:
        np.testing.assert_allclose(answer, wanted, atol=2 * bundle.client.predicted_logit_error)


def test_images_beyond_the_range_are_refused_or_clipped(bundle) -> None:
    bright = DATA.x_test[:2] + 9
    with pytest.raises(InputRangeError, match="feature .* accepted are"):
        cp.round_trip(bundle, bright)
    result = cp.round_trip(bundle, bright, clip=True)
    assert result["clipped_images"] == 2 and result["clipped_features"] >= 2


def test_images_of_another_shape_are_refused(bundle) -> None:
    with pytest.raises(InputShapeError, match=r"\(2, 6, 5\)|images, 2, 6, 5"):
        cp.round_trip(bundle, np.zeros((3, 1, 6, 5)))
    wrong = Dataset("wrong", np.random.default_rng(0).uniform(size=(20, 1, 6, 5)), None, np.zeros((5, 1, 6, 5)), None)
    with pytest.raises(InputShapeError, match=r"rows of shape \(1, 6, 5\); the network's front end takes \(2, 6, 5\)"):
        cp.compile(NETWORK, wrong)


def test_the_text_names_the_front_end(bundle) -> None:
    assert "front     the client takes 16 cosine coefficients of an image 2 x 6 x 5" in bundle.explain()


def test_worst_inputs_are_searched_among_features() -> None:
    result = verify_bundle(compiled("latency"), DATA.x_test[:8], encrypted=2, steps=1)
    assert result["images"] == 8 and result["holds"]


def test_the_road_by_files(bundle, tmp_path) -> None:
    cp.save(bundle, tmp_path / "bundle")
    np.save(tmp_path / "x.npy", DATA.x_test[:4])
    np.savez(tmp_path / "data.npz", x_train=DATA.x_train, x_test=DATA.x_test)
    batch = isinstance(bundle, cp.BatchBundle)
    keys = tmp_path / "keys"
    call_json("keygen", tmp_path / "bundle", "-o", keys)
    row = [] if batch else ["--row", "1"]
    secret = ["--key", keys / "secret.key"]
    call_json("encrypt", tmp_path / "bundle", *secret, "--input", tmp_path / "x.npy", *row, "-o", tmp_path / "x.ct")
    key = [] if batch else ["--key", keys / "evaluation.key"]
    call_json("run", tmp_path / "bundle", *key, "--input", tmp_path / "x.ct", "-o", tmp_path / "y.ct")
    found = call_json("decrypt", tmp_path / "bundle", *secret, "--input", tmp_path / "y.ct")
    scores = np.array(found["scores" if "scores" in found else "outputs"]).reshape(-1, 3)
    wanted = NETWORK.run(DATA.x_test[:4] if batch else DATA.x_test[1:2])
    np.testing.assert_allclose(scores, wanted, atol=2 * bundle.client.predicted_logit_error)
    shown = call_json("infer", tmp_path / "bundle", "--data", tmp_path / "data.npz", "--images", "5", "--task", "none")
    assert shown["images"] == 5
    clipped = call("encrypt", tmp_path / "bundle", *secret, "--input", tmp_path / "x.npy", *row, "--clip", "-o",
                   tmp_path / "z.ct")  # fmt: skip
    assert clipped.exit_code == 0
