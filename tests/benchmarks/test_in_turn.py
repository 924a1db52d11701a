"""Competitors in processes of their own: each one gets every image, and its row says what it did."""

from pathlib import Path

import numpy as np

from benchmarks.in_turn import Entry, measure_in_turn
from secure.bundle.files import save_bundle
from tests.promised import settled
from tests.secure.plans import small_bundle, small_bundle_by_hand


def test_every_competitor_sees_every_image(tmp_path: Path) -> None:
    bundle = small_bundle()
    save_bundle(bundle, tmp_path / "bundle")
    images = np.random.default_rng(0).uniform(-1, 1, (3, 4, 8))
    clear = np.array([small_bundle_by_hand(bundle, image).ravel() for image in images])
    entries = [Entry("ours", (str(tmp_path / "bundle"), name), "small", clear) for name in ("first", "second")]
    assert settled(clear, bundle.client.predicted_logit_error).all()  # so classes below are equal in every run
    labels = clear.argmax(axis=1)
    labels[0] = (labels[0] + 1) % clear.shape[1]
    told: list[float] = []
    rows = measure_in_turn(entries, images, labels, lambda label, share: told.append(share))
    assert [(row["competitor"], row["network"]) for row in rows] == [("first", "small"), ("second", "small")]
    assert told == [1 / 3, 2 / 3, 1.0]
    for row in rows:
        assert 0 < row["max_logit_error"] < bundle.client.predicted_logit_error
        assert (row["agreement"], row["accuracy_encrypted"]) == (1.0, 2 / 3)
        assert min(row["server_ms"], row["client_encrypt_ms"], row["evaluation_key_bytes"], row["upload_bytes"]) > 0
