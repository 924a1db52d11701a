"""The noise model holds within its target on a small ring under both backends; docs show the committed measurement."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.noise import CHAINS, TARGET, measured_rows, noise_table
from secure.params import check_security

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
RESULT = json.loads((RESULTS / "noise.json").read_bytes())
OPERATIONS = {
    "fresh",
    "encode real",
    "encode complex",
    "times real plaintext",
    "times complex plaintext",
    "add",
    "square",
    "product of two",
    "relinearize",
    "rotate",
    "rotate at level 1",
    "conjugate",
    "4 rotations, added",
    "rescale",
    "drop",
}
SMALL_CHAINS = [chain for chain in CHAINS if chain[1].poly_modulus_degree == 4096]


@pytest.mark.parametrize(("backend", "params"), SMALL_CHAINS, ids=[backend.value for backend, _ in SMALL_CHAINS])
def test_every_operation_makes_the_predicted_error(backend, params) -> None:
    rows = {row["operation"]: row for row in measured_rows(backend, params, keys=3)}
    assert set(rows) == OPERATIONS
    for name, row in rows.items():
        if name == "drop":
            assert row["predicted"] == 0 and row["measured"] < 1e-3  # dropping a prime changes nothing
            continue
        assert row["ratio"] == pytest.approx(1, abs=TARGET), name
        assert row["by_key"][0] <= row["ratio"] <= row["by_key"][1]


def test_chains_are_secure_and_accepted_by_their_backends() -> None:
    for backend, params in CHAINS:
        check_security(params)
        assert params.fits_engine or backend == "seal"
        assert params.fits_seal or backend == "engine"
    assert {(backend.value, params.poly_modulus_degree) for backend, params in CHAINS} == {
        (backend, degree) for backend in ("engine", "seal") for degree in (4096, 8192, 16384)
    }


def test_the_committed_measurement_is_within_the_target_and_is_what_docs_show() -> None:
    found = {(row["backend"], row["degree"], row["operation"]): row for row in RESULT["rows"]}
    assert set(found) == {(b.value, p.poly_modulus_degree, name) for b, p in CHAINS for name in OPERATIONS}
    ratios = [row["ratio"] for row in RESULT["rows"] if row["operation"] != "drop"]
    assert np.abs(np.array(ratios) - 1).max() == pytest.approx(RESULT["largest_deviation"])
    assert RESULT["largest_deviation"] <= RESULT["target"] == TARGET == 0.15
    table = noise_table(RESULT)
    assert table == (RESULTS / "noise.md").read_text(encoding="utf-8")
    assert table.strip() in (ROOT / "docs" / "noise.md").read_text(encoding="utf-8")
