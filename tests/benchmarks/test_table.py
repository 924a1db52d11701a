"""The benchmark's arithmetic: tables from results, and the form in which TenSEAL gets our network."""

import json

import numpy as np
import pytest

from benchmarks.peers import limits_by_network, run, two_layers
from benchmarks.table import HEADINGS, RESULT, peers_table, planned_for
from compress.errors import ConfigError, FormatError
from compress.network import Dense, Input, Network, Polynomial, Weights


def row(**changes):
    values = {
        "network": "TenSEAL's tutorial", "competitor": "TenSEAL, its tutorial's network", "server_ms": 3000.0,
        "server_ms_p10": 2900.0, "server_ms_p90": 3100.0, "client_encrypt_ms": 5.0, "client_decrypt_ms": 1.0,
        "accuracy_compressed": 0.975, "accuracy_encrypted": 0.95, "accuracy_clear": 0.96, "agreement": 0.97,
        "max_logit_error": 12.3456, "evaluation_key_bytes": 97_400_000, "upload_bytes": 477_000,
        "download_bytes": 70_000, "peak_rss_bytes": 462_000_000,
    }  # fmt: skip
    return {**values, **changes}


def result(*rows):
    machine = {
        "cpu": "a processor",
        "cores": 2,
        "python": "3.11",
        "packages": {"tenseal": "0.3.18"},
        "load_average": 0.5,
    }
    return {
        "machine": {**machine, "date": "2026-01-02"},
        "rows": rows,
        "images": 100,
        "limits": {"mlp": {"max_disagreement": 5e-3, "keys_bytes": 2e6, "upload_bytes": 90e3}},
        "default_max_disagreement": 2.5e-3,
        "command": "cipherpress bench peers",
    }


def test_ratios_are_against_the_tutorial_network_of_the_same_run():
    table = peers_table(result(row(), row(network="mlp", competitor="cipherpress", server_ms=30.0)))
    lines = table.splitlines()
    assert len(lines[0].split("|")) == len(HEADINGS) + 2
    assert lines[2].split("|")[4].strip() == "1.0"
    assert lines[3].split("|")[4].strip() == "100.0"
    assert lines[3].split("|")[5].strip() == "27.0"  # a hundredth of the reference machine's 2,700 ms
    assert "2026-01-02" in table and "a processor" in table


def test_a_result_without_its_baseline_or_a_field_is_refused():
    with pytest.raises(FormatError, match="run the benchmark again"):
        peers_table(result(row(network="mlp")))
    broken = row()
    del broken["upload_bytes"]
    with pytest.raises(FormatError, match="upload_bytes"):
        peers_table(result(broken))


def test_limits_that_differ_from_the_default_are_named():
    table = peers_table(result(row(), row(network="mlp", competitor="cipherpress", server_ms=30.0)))
    assert table.rstrip().endswith(
        "Every plan may change at most 0.25% of classes by prediction; "
        "other limits: mlp 0.50% of classes, 2 MB of keys, 90 KB of upload."
    )
    assert planned_for({}, 2.5e-3) == "Every plan may change at most 0.25% of classes by prediction."


def test_the_committed_result_names_the_limits_that_the_benchmark_sets():
    assert json.loads(RESULT.read_bytes())["limits"] == limits_by_network()


def test_too_few_images_are_refused_before_any_work(tmp_path):
    with pytest.raises(ConfigError, match="images: got 5; allowed: 20 or more"):
        run(tmp_path, images=5)
    assert not list(tmp_path.iterdir())


def test_the_two_layer_form_computes_the_network():
    rng = np.random.default_rng(0)
    network = Network(
        nodes=(
            Input(name="x", inputs=(), shape=(6,)),
            Dense(
                name="a",
                inputs=("x",),
                shape=(4,),
                weights=Weights(rng.normal(size=(4, 6)), np.array(1.0)),
                bias=rng.normal(size=4),
            ),
            Polynomial(name="p", inputs=("a",), shape=(4,), coefficients=rng.normal(size=(3, 4))),
            Dense(
                name="b",
                inputs=("p",),
                shape=(3,),
                weights=Weights(rng.normal(size=(3, 4)), np.array(1.0)),
                bias=rng.normal(size=3),
            ),
        )
    )
    x = rng.normal(size=(5, 6))
    layers = two_layers(network)
    found = (x @ layers["w1"].T + layers["b1"]) ** 2 @ layers["w2"].T + layers["b2"]
    np.testing.assert_allclose(found, network.run(x), rtol=1e-10)
