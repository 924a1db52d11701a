"""The round trip of a bundle for throughput: answers by hand, scores, rates, clipping, and what each party's watch
shows."""

import numpy as np
import pytest

from compress.errors import BackendError, DataError, InputRangeError, InputShapeError
from secure.bundle.batch_explain import explain_batch_bundle
from secure.streams.client import BatchClient
from secure.streams.server import BatchServer
from secure.streams.stopwatch import Stopwatch
from secure.streams.warming import kernels_compiled, load_kernels, load_server_kernels
from secure.verify.batch_roundtrip import clear_batch_outputs, timed_answers
from secure.verify.roundtrip import round_trip
from tests.promised import check_round_trip
from tests.secure.small_batches import every_step_by_hand, small_batch_bundle

BUNDLE = small_batch_bundle()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(7).uniform(-1, 1, (2100, 2, 3))


def test_the_round_trip_reports_scores_rates_and_sizes(images):
    clear = every_step_by_hand(images)
    said = []
    found = round_trip(BUNDLE, images, clear.argmax(axis=1), progress=lambda label, share: said.append((label, share)))
    assert found["backend"] == "engine"
    assert (found["images"], found["blocks"], found["batch"], found["threads"]) == (2100, 2, 2048, 1)
    assert found["accuracy_compressed"] == 1.0
    assert found["accuracy_encrypted"] == found["agreement"]
    check_round_trip(BUNDLE, found, clear)
    assert (found["evaluation_key_bytes"], found["log2_q"]) == (0, pytest.approx(60, abs=0.01))
    assert found["server_ms"] == pytest.approx(1e3 / found["images_per_s"])
    assert found["client_encrypt_ms"] == pytest.approx(1e3 / found["client_images_per_s"])
    # two primes of 30 bits: six features up, three outputs of three parts down, in two blocks
    assert found["upload_bytes"] == pytest.approx(2 * 6 * 4096 * 60 / 8 / 2100, rel=0.01)
    assert found["download_bytes"] == pytest.approx(2 * 9 * 4096 * 60 / 8 / 2100, rel=0.01)
    assert said[0] == ("kernels and key", 0.0) and said[-2:] == [("blocks", 0.5), ("blocks", 1.0)]


def test_in_clear_nothing_is_encrypted(images):
    found = round_trip(BUNDLE, images[:5], backend="clear")
    assert found["backend"] == "clear"
    assert not {"agreement", "images_per_s", "classes", "accuracy_compressed"} & found.keys()
    np.testing.assert_allclose(clear_batch_outputs(BUNDLE, images), every_step_by_hand(images), atol=1e-9)


def test_values_outside_the_range_are_refused_or_clipped_and_counted(images):
    wide = images[:4].copy()
    wide[2, 0] = 5.0
    with pytest.raises(InputRangeError, match="image 2"):
        round_trip(BUNDLE, wide)
    found = round_trip(BUNDLE, wide, np.argmax(every_step_by_hand(np.clip(wide, -1, 1)), axis=1), clip=True)
    assert (found["clipped_images"], found["clipped_features"]) == (1, 3)
    assert found["accuracy_compressed"] == 1.0


def test_what_does_not_fit_is_refused(images):
    with pytest.raises(BackendError, match="'seal' cannot run a bundle for throughput"):
        round_trip(BUNDLE, images, backend="seal")
    with pytest.raises(InputShapeError, match=r"a batch is an array of shape \(images, 2, 3\)"):
        round_trip(BUNDLE, images.reshape(-1, 6))
    with pytest.raises(DataError, match="labels go from 3 to 3"):
        round_trip(BUNDLE, images[:2], np.array([3, 3]))


def test_every_party_is_timed_alone_and_its_frames_are_counted(images):
    now = [0.0]

    def clock():
        now[0] += 1.0
        return now[0]

    encryption, work, decryption = (Stopwatch(clock) for _ in range(3))
    client, server = BatchClient(BUNDLE.client), BatchServer(BUNDLE.server)
    blocks = list(timed_answers(client, server, images, encryption, work, decryption))
    assert [len(block) for block in blocks] == [2048, 52]
    assert (encryption.blocks, encryption.images) == (work.blocks, work.images) == (2, 2100)
    assert len(encryption.laps) == len(work.laps) == len(decryption.laps) == 2
    assert all(lap > 0 for watch in (encryption, work, decryption) for lap in watch.laps)
    # a tick that two watches both see would count twice
    assert encryption.seconds + work.seconds + decryption.seconds < now[0]


def test_kernels_are_loaded_before_anything_is_timed():
    load_server_kernels()
    load_kernels()
    assert kernels_compiled()


def test_an_explanation_names_ring_work_and_bounds():
    text = explain_batch_bundle(BUNDLE)
    for said in (
        "for throughput: 2 x 3 (6) in, 3 out", "N = 4096, blocks of 2048 images, log2 Q = 60.0 (30 + 30 bits)",
        "2 at the input, 3 at the output", "none on the server", "-1 to 1 are accepted", "at most 0.15 at an output",
    ):  # fmt: skip
        assert said in text
    assert "images per second" not in text  # the report has no prediction
