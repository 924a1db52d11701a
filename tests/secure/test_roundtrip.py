"""What a round trip reports without encryption, on a tiny network; test_compiling tests it with encryption."""

import numpy as np
import pytest

from compress.errors import ConfigError, InputShapeError
from compress.network import Dense, Input, Network, Polynomial, Weights
from secure.compiling.compile import compile_network
from secure.compiling.reporting import plan_summary
from secure.kernels.counts import KernelTimes
from secure.limits import Limits
from secure.parties.backends import SealBackend
from secure.verify.roundtrip import BATCH, clear_outputs, round_trip
from tests.secure.plans import small_bundle

TIMES = KernelTimes(butterfly_ns=1.0, product_ns=3.0, addition_ns=1.0)

CLEAR_KEYS = {
    "images", "task", "score", "score_compressed", "accuracy_compressed", "predicted_logit_error", "backend",
}  # fmt: skip
ENCRYPTION_KEYS = {
    "score_encrypted", "accuracy_encrypted", "agreement", "classes", "max_logit_error",
    "client_encrypt_ms", "server_ms", "client_decrypt_ms",
    "upload_bytes", "download_bytes", "evaluation_key_bytes", "peak_rss_bytes",
    "threads",
}  # fmt: skip


@pytest.fixture(scope="module")
def network():
    rng = np.random.default_rng(3)

    def weights(*shape):
        return Weights(rng.normal(size=shape) / np.sqrt(shape[1]), np.array(1.0))

    return Network(
        nodes=(
            Input(name="x", inputs=(), shape=(2, 6)),
            Dense(name="a", inputs=("x",), shape=(2, 4), weights=weights(4, 6), bias=rng.normal(size=4)),
            Polynomial(name="s", inputs=("a",), shape=(2, 4), coefficients=np.array([[0.1], [0.5], [0.3]])),
            Dense(name="b", inputs=("s",), shape=(2, 3), weights=weights(3, 4), bias=rng.normal(size=3)),
        )
    )


@pytest.fixture(scope="module")
def images(network):
    return np.random.default_rng(4).random((BATCH + 5, *network.input_shape))


@pytest.fixture(scope="module")
def bundle(network, images):
    return compile_network(network, images, times=TIMES, limits=Limits(max_error=0.1))


def test_a_round_trip_in_clear_reports_what_needs_no_encryption(bundle, network, images):
    labels = network.run(images).reshape(len(images), -1).argmax(axis=1)
    result = round_trip(bundle, images, labels, backend="clear")
    assert set(result) == CLEAR_KEYS | set(plan_summary(bundle.server.plan))
    assert (result["images"], result["backend"]) == (len(images), "clear")
    assert result["accuracy_compressed"] == 1.0
    assert result["predicted_logit_error"] == bundle.client.predicted_logit_error


def test_accuracy_is_the_share_of_right_labels(bundle, network, images):
    labels = network.run(images).reshape(len(images), -1).argmax(axis=1)
    labels[:3] = (labels[:3] + 1) % 6
    result = round_trip(bundle, images, labels, backend="clear")
    assert result["accuracy_compressed"] == pytest.approx(1 - 3 / len(images))


def test_an_encrypted_round_trip_reports_agreement_errors_times_and_sizes(bundle, network, images):
    labels = clear_outputs(bundle, images[:2]).argmax(axis=1)
    seen = []
    result = round_trip(bundle, images[:2], labels, progress=lambda label, share: seen.append((label, share)))
    assert set(result) == CLEAR_KEYS | ENCRYPTION_KEYS | set(plan_summary(bundle.server.plan))
    assert result["max_logit_error"] <= result["predicted_logit_error"]
    assert len(result["classes"]) == 2
    assert result["backend"] == "engine"
    assert result["agreement"] == np.mean(np.array(result["classes"]) == labels) == result["accuracy_encrypted"]
    assert all(
        result[key] > 0 for key in ENCRYPTION_KEYS - {"agreement", "accuracy_encrypted", "score_encrypted", "classes"}
    )
    assert seen == [("keys", 0.0), ("encrypted images", 0.5), ("encrypted images", 1.0)]


def test_a_round_trip_under_seal_says_so_and_was_done_by_seal(monkeypatch):
    images = np.random.default_rng(3).uniform(-1, 1, (2, 4, 8))
    ran = []
    real = SealBackend.run
    monkeypatch.setattr(SealBackend, "run", lambda self, *given: ran.append(1) or real(self, *given))
    result = round_trip(small_bundle(), images, np.zeros(2, dtype=np.int64), backend="seal")
    assert (result["backend"], len(ran)) == ("seal", 2)


def test_the_clear_run_equals_the_network_across_batches(bundle, network, images):
    wanted = network.run(images).reshape(len(images), -1)
    np.testing.assert_allclose(clear_outputs(bundle, images), wanted, rtol=1e-4, atol=1e-5)


def test_another_backend_or_shape_is_refused(bundle, images):
    labels = np.zeros(len(images), dtype=np.int64)
    with pytest.raises(ConfigError, match="backend: got 'numpy'; allowed: engine, seal, clear"):
        round_trip(bundle, images, labels, backend="numpy")
    with pytest.raises(InputShapeError, match=r"input: shape \(12,\); the network takes \(2, 6\)"):
        round_trip(bundle, images.reshape(-1, 12), labels, backend="clear")
