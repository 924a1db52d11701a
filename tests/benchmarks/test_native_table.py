"""The benchmark of native networks: one row measured on small data, and its table."""

import numpy as np
import pytest

import cipherpress as cp
from benchmarks.native import _fast, _one_by_one, native_table
from compress.dataset import Dataset
from compress.front import Front, lowest_frequencies
from compress.native.exporting import exported
from compress.native.layers import Coded
from tests.promised import check_agreement

SHAPE = (1, 6, 6)


@pytest.fixture(scope="module")
def measured_and_clear() -> "tuple[dict[str, object], np.ndarray]":
    rng = np.random.default_rng(0)
    front = Front(SHAPE, lowest_frequencies(SHAPE, 12), (1.0,) * 12)
    layers = [
        Coded(rng.integers(-7, 8, (rows, columns)), -4, rng.normal(size=rows)) for rows, columns in [(8, 12), (3, 8)]
    ]
    images = rng.uniform(0, 1, (300, *SHAPE)).astype(np.float32)
    network = exported(front, layers, 4)
    clear = network.run(images)
    labels = clear.argmax(axis=1)
    data = Dataset("made", images[:200], labels[:200], images[200:], labels[200:])
    return _one_by_one(network, data, cp.Limits(fold="client"), 20), clear[200:220]


@pytest.fixture(scope="module")
def measured(measured_and_clear) -> "dict[str, object]":
    return measured_and_clear[0]


def test_a_row_holds_what_was_measured(measured_and_clear) -> None:
    measured, clear = measured_and_clear
    assert measured["images"] == 20 and measured["accuracy_same_images"] == 1.0
    check_agreement(measured["agreement"], clear, measured["bound"])
    assert measured["accuracy_encrypted"] == measured["agreement"]
    assert 0 < measured["max_logit_error"] <= measured["bound"]
    assert min(measured[f"{name}_ms"] for name in ("client_encrypt", "server", "client_decrypt")) > 0
    assert cp.Limits().fold == "server" and measured["key_bytes"] > measured["upload_bytes"] > 10_000


def test_the_fastest_tenth_counts() -> None:
    assert _fast(np.append(np.full(90, 50.0), np.linspace(1, 2, 10))) == 1.5


def test_the_table_scales_times_and_rates_the_right_way(measured) -> None:
    machine = {"cpu": "a", "cores": 2, "python": "3", "load_average": 0.1, "date": "today"}
    one = {"network": "n", "mode": "latency, client folds", **measured, "server_ms": 4.0, "tutorial_ms": 4000.0}
    batch = {
        **one, "mode": "throughput", "images_per_s_arithmetic": 1000.0, "client_images_per_s": 10.0,
        "decrypted_images_per_s": 20.0,
    }  # fmt: skip
    result = {"machine": machine, "command": "c", "reference_ms": 2000.0, "rows": [one, batch]}
    table = native_table(result)
    assert "| 4.00 ms | 2.00 ms |" in table  # the machine is half as fast as the one that figures are scaled to
    assert "| 1,000 images/s | 2,000 |" in table and "here it took 4,000 to 4,000 ms" in table
