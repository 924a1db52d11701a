"""The benchmark of requests: what it measures of a bundle, and its table."""

import json

import pytest

from benchmarks.requests import measure, requests_table
from tests.secure.plans import small_bundle


def test_every_step_is_measured_in_both_ways_and_written_down(tmp_path):
    result = measure({"small": small_bundle()}, 2, tmp_path, "a command")
    (row,) = result["rows"]
    steps = ("encrypt_seal_ms", "encrypt_ms", "load_seal_ms", "load_ms", "run_ms", "pack_ms", "decrypt_ms")
    assert min(row[step] for step in steps) > 0
    own = sum(row[step] for step in ("encrypt_ms", "load_ms", "run_ms", "pack_ms", "decrypt_ms", "link_ms"))
    assert row["round_trip_ms"] == pytest.approx(own)
    assert row["link_ms"] == pytest.approx((row["upload_bytes"] + row["download_bytes"]) * 8 / 100e6 * 1e3)
    assert json.loads((tmp_path / "requests.json").read_text())["rows"] == result["rows"]
    assert (tmp_path / "requests.md").read_text() == requests_table(result)


def test_the_table_sets_both_ways_side_by_side():
    row = {
        "network": "mlp", "poly_modulus_degree": 4096, "level": 2, "ciphertexts": 1, "upload_bytes": 41_320,
        "encrypt_seal_ms": 2.04, "encrypt_ms": 1.0, "load_seal_ms": 3.0, "load_ms": 0.54, "run_ms": 2.8,
        "pack_ms": 0.5, "decrypt_ms": 0.9, "link_ms": 6.4, "round_trip_seal_ms": 15.6, "round_trip_ms": 12.1,
        "load_average": 1.25,
    }  # fmt: skip
    machine = {"cpu": "a processor", "cores": 2, "date": "2026-01-02"}
    lines = requests_table({"rows": [row], "images": 30, "command": "bench", "machine": machine}).splitlines()
    assert lines[2] == "| mlp | 4096, level 2 | 1 | 41 | 2.0, 1.0 | 3.0, 0.5 | 2.8 | 0.5, 0.9 | 6.4 | 16, 12 |"
    assert "100 Mbit/s" in lines[-1] and "a processor, 2 cores, 2026-01-02, `bench`" in lines[-1]
