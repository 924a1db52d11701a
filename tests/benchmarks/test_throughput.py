"""The throughput benchmark on a network of a few weights, and the tables made of its rows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import cipherpress as cp
from benchmarks.throughput import measured, run
from benchmarks.throughput_networks import (
    MLP_ONLY,
    NETWORKS,
    VARIANTS,
    Variant,
    _recipe,
    stored,
    variant_folder,
    variants_of,
)
from benchmarks.throughput_table import DENSE, REFERENCE_MS, SHOWN, readme_table, scaled, throughput_table
from cipherpress.timing.residue_kernels import ResidueCase, ResidueMeasurement, measure_residues
from cipherpress.timing.residue_plans import squares_alone
from compress.dataset import Dataset
from compress.errors import FormatError, PrecisionError
from compress.network import Dense, Input, Network, Polynomial, Weights
from compress.network_file import save_network
from tests.promised import check_agreement
from tests.sums import sums

VARIANT = Variant("dense, 5 bits", 0.0)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return sums()


@pytest.fixture(scope="module")
def network() -> Network:
    """Whether the first four of twelve inputs outweigh the next four."""
    codes = np.zeros((2, 12), dtype=np.int32)
    codes[0, :4], codes[1, 4:8] = 3, 3
    layer = Weights(codes=codes, step=np.array(0.25), bits=3)
    last = Weights(codes=np.eye(2, dtype=np.int32), step=np.array(1.0), bits=2)
    nodes = (
        Input(name="input", inputs=(), shape=(12,)),
        Dense(name="fc1", inputs=("input",), shape=(2,), weights=layer, bias=np.zeros(2)),
        Polynomial(name="act", inputs=("fc1",), shape=(2,), coefficients=np.array([[0.0], [1.0], [0.25]])),
        Dense(name="fc2", inputs=("act",), shape=(2,), weights=last, bias=np.zeros(2)),
    )
    return Network(nodes=nodes, about={"compression_rate": 4.5, "accuracy_after": 1.0, "task": "classes"})


def few_in_turn(bundles: dict) -> ResidueMeasurement:
    """As `in_turn`, with one small plan to fit."""
    beside = {variant.name: ResidueCase(bundle.server.plan) for variant, bundle in bundles.items()}
    return measure_residues({"squares": ResidueCase(squares_alone(12, 2))}, rounds=2, beside=beside)


@pytest.fixture(scope="module")
def row(data: Dataset, network: Network) -> dict:
    bundle = cp.compile(network, data, mode="throughput")
    return {**measured("mlp", VARIANT, bundle, data, 200, few_in_turn({VARIANT: bundle})), "tutorial_ms": 5400.0}


def test_a_row_has_times_sizes_and_answers(row: dict, data: Dataset, network: Network) -> None:
    assert (row["network"], row["variant"], row["images"], row["blocks"]) == ("mlp", "dense, 5 bits", 200, 1)
    assert row["nonzeros"] == 8  # the last layer only hands its inputs on
    clear = network.run(data.x_test[:200])
    check_agreement(row["agreement"], clear, row["predicted_logit_error"])
    assert abs(row["accuracy_encrypted"] - np.mean(clear.argmax(axis=1) == data.y_test[:200])) <= 1 - row["agreement"]
    assert 0 < row["max_logit_error"] < row["predicted_logit_error"]
    for field in ("images_per_s_arithmetic", "images_per_s", "client_images_per_s", "predicted_block_ms"):
        assert row[field] > 0
    assert row["arithmetic_block_ms"] == pytest.approx(row["batch"] / row["images_per_s_arithmetic"] * 1e3)
    assert scaled(row) == pytest.approx(2 * row["images_per_s_arithmetic"]) and REFERENCE_MS == 2700


def result_of(rows: list[dict]) -> dict:
    machine = {"cpu": "a core", "cores": 2, "python": "3.11", "load_average": 0.5, "date": "2026-11-29"}
    return {"command": "cipherpress bench throughput", "machine": machine, "rows": rows}


def test_tables_show_every_row_and_compare_with_the_dense_one(row: dict) -> None:
    pruned = {**row, "variant": "OPQ 90 %", "images_per_s_arithmetic": 3 * row["images_per_s_arithmetic"]}
    other = {**row, "variant": "OPQ 50 %"}
    text = throughput_table(result_of([row, pruned, other]))
    assert [line.split(" | ")[1] for line in text.splitlines()[2:5]] == [DENSE, "OPQ 90 %", "OPQ 50 %"]
    assert "over the first 200 test images" in text and "took 5,400 to 5,400 ms" in text
    assert "HElayers does 357 images/s" in text and "times as many" in text
    shown = readme_table(result_of([row, pruned, other]))
    assert "OPQ 50 %" not in shown and "OPQ 50 %" not in SHOWN
    (line,) = [line for line in shown.splitlines() if "OPQ 90 %" in line]
    assert line.split(" | ")[5] == "3.0"
    for made in (throughput_table, readme_table):
        with pytest.raises(FormatError, match="throughput.json: field .* is missing; run the benchmark again"):
            made(result_of([{**row, "nonzeros": 3}, {"network": "mlp", "variant": DENSE, "tutorial_ms": 1.0}]))


def test_a_stored_network_is_taken_only_with_its_own_recipe(network: Network, tmp_path: Path) -> None:
    assert stored(tmp_path, "mlp", VARIANT) is None
    save_network(network, variant_folder(tmp_path, "mlp", VARIANT))
    assert stored(tmp_path, "mlp", VARIANT) is None


def test_a_recipe_names_teaching_only_where_it_is_one() -> None:
    """Networks that lie in caches were recorded before there was such a part, and stay what they are."""
    recorded = {variant.name: "taught" in _recipe(variant) for variant in VARIANTS}
    assert recorded == {variant.name: variant.taught for variant in VARIANTS} and any(recorded.values())
    assert (
        "convert_epochs" not in _recipe(VARIANT) and _recipe(replace(VARIANT, convert_epochs=3))["convert_epochs"] == 3
    )


def test_every_network_has_the_variants_that_readme_shows() -> None:
    assert len({variant_folder(Path(), "mlp", variant) for variant in VARIANTS}) == len(VARIANTS)
    for name in NETWORKS:
        shown = set(SHOWN) if name == "mlp" else set(SHOWN) - set(MLP_ONLY)
        assert shown <= {variant.name for variant in variants_of(name)}


def test_only_missing_rows_are_measured_and_others_stay(
    row: dict, network: Network, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that does not compile is told of, and has no row."""
    first, *_, last = (variant.name for variant in variants_of("mlp"))
    made = []

    def trained(folder: Path, name: str, variant: Variant) -> Network:
        if variant.name == last:
            raise PrecisionError("fc2", "too many bits")
        return network

    def measured_now(name: str, variant: Variant, *_: object) -> dict:
        made.append(variant.name)
        return {**row, "network": name, "variant": variant.name}

    monkeypatch.setattr("benchmarks.throughput.cp.load_data", lambda name: data)
    monkeypatch.setattr("benchmarks.throughput.trained", trained)
    monkeypatch.setattr("benchmarks.throughput.measured", measured_now)
    monkeypatch.setattr("benchmarks.throughput.reference_tutorial_ms", lambda data: 5400.0)
    monkeypatch.setattr("benchmarks.throughput.load_kernels", lambda: None)
    monkeypatch.setattr("benchmarks.throughput.in_turn", few_in_turn)
    told: list[str] = []
    options: dict = {"networks": ["mlp"], "missing": True, "folder": tmp_path}
    run(tmp_path, variants=[first], **options)
    assert made == [first]
    result = run(tmp_path, progress=lambda label, share: told.append(label), **options)
    names = [variant.name for variant in variants_of("mlp")]
    assert made == names[:-1] == [found["variant"] for found in result["rows"]]
    assert result["kernel_times"].keys() == {"mlp"} and "fitted in the same rounds" in throughput_table(result)
    assert any(line.startswith(f"mlp: {last}: no row: ") and "too many bits" in line for line in told)
