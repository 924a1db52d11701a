"""Every committed table is made from the JSON beside it, and the architecture files hold the committed calibrations."""

import json
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import (
    blocks,
    calibrate_cpu_engine,
    calibrate_cpu_seal,
    calibrating,
    compression,
    compression_rates,
    compression_times,
)
from benchmarks.browser import browser_table
from benchmarks.compiling import compiling_table
from benchmarks.costmodel import costmodel_table
from benchmarks.costmodel_methods import methods_table
from benchmarks.depth import depth_table
from benchmarks.detection import detection_table
from benchmarks.faces import faces_table
from benchmarks.fhe_suite.suite import suite_table
from benchmarks.fixed_plans import plans_table
from benchmarks.hybrid import hybrid_table
from benchmarks.joint import joint_table
from benchmarks.keep_bits import keep_bits_table
from benchmarks.key_trade import key_trade_table
from benchmarks.native import native_table
from benchmarks.noise import noise_table
from benchmarks.objective import table as objective_table
from benchmarks.page import page_table
from benchmarks.products import products_table
from benchmarks.promises import promises_table
from benchmarks.ray_nodes import ray_table
from benchmarks.report import has_row, read_result, table_head, table_row, with_note, write_result
from benchmarks.requests import requests_table
from benchmarks.savings import savings_table
from benchmarks.selftest import selftest_table
from benchmarks.service_table import service_table
from benchmarks.table import README, peers_table, with_figures
from benchmarks.threads import threads_table
from benchmarks.throughput_table import throughput_table, with_throughput
from hwmodel.architecture_file import ARCHITECTURES
from tests.fuzz.mutations_table import mutations_table

RESULTS = Path(calibrating.__file__).parent / "results"
TABLES = {
    "blocks": blocks.tables,
    "browser": browser_table,
    "compression-rates": compression_rates.table,
    "compression-times": compression_times.table,
    "compiling": compiling_table,
    "costmodel": costmodel_table,
    "costmodel-methods": methods_table,
    "depth": depth_table,
    "detection": detection_table,
    "faces": faces_table,
    "fhe-suite": suite_table,
    "hybrid": hybrid_table,
    "joint": joint_table,
    "keep-bits": keep_bits_table,
    "key-trade": key_trade_table,
    "native": native_table,
    "noise": noise_table,
    "objective": objective_table,
    "peers": peers_table,
    "plans": plans_table,
    "products": products_table,
    "promises": promises_table,
    "requests": requests_table,
    "savings": savings_table,
    "selftest": selftest_table,
    "threads": threads_table,
    "mutations": mutations_table,
    "page": page_table,
    "ray-nodes": ray_table,
    "service": service_table,
    "throughput": throughput_table,
    **{f"compression-{part}": table for part, table in compression.TABLES.items()},
}


def test_every_committed_table_is_known() -> None:
    assert {path.stem for path in RESULTS.glob("*.md")} == TABLES.keys()


@pytest.mark.parametrize("name", TABLES)
def test_a_committed_table_is_made_from_the_committed_result(name: str) -> None:
    table = TABLES[name](json.loads((RESULTS / f"{name}.json").read_bytes()))
    assert table == (RESULTS / f"{name}.md").read_text(encoding="utf-8")


def test_the_readme_shows_the_committed_figures() -> None:
    text = README.read_text(encoding="utf-8")
    result = json.loads((RESULTS / "peers.json").read_bytes())
    assert with_figures(text, result) == text, "run python -m benchmarks.table"
    assert with_figures(text, {**result, "images": 31}) != text
    batches = json.loads((RESULTS / "throughput.json").read_bytes())
    assert with_throughput(text, batches) == text, "run python -m benchmarks.throughput_table"
    assert with_throughput(text, {**batches, "command": "another"}) != text


def test_a_result_is_written_with_its_table_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "toy.json"
    assert read_result(path) == {"rows": []}
    result = {"rows": [{"network": "mlp", "bits": 4, "accuracy": 0.9}]}
    table = with_note([*table_head(("network", "bits")), table_row(("mlp", "4"))], "A note.")
    write_result(path, result, "older")
    write_result(path, result, table)
    assert read_result(path) == result
    assert path.with_suffix(".md").read_text() == "| network | bits |\n|---|---|\n| mlp | 4 |\n\nA note.\n"
    assert has_row(result, {"network": "mlp", "bits": 4})
    assert not has_row(result, {"network": "mlp", "bits": 5})


@pytest.mark.parametrize(("module", "name"), [(calibrate_cpu_engine, "cpu-engine"), (calibrate_cpu_seal, "cpu-seal")])
def test_architecture_files_hold_the_committed_calibration(module: ModuleType, name: str) -> None:
    text = (ARCHITECTURES / f"{name}.yaml").read_text(encoding="utf-8")
    block = module.yaml_block(json.loads(module.RESULT.read_bytes()))
    assert calibrating.with_block(text, block) == text
    assert calibrating.with_block(text, "other\n") != text


def test_a_band_holds_the_residuals_and_the_speeds_of_the_machine() -> None:
    assert calibrating.spread([1.0] * 9 + [11.0]) == pytest.approx((1.0, 2.0))
    assert calibrating.band_factors((0.8, 1.1), (0.5, 2.0)) == pytest.approx((0.4, 2.2))
    assert calibrating.band_factors((1.2, 1.3), (1.0, 0.5)) == (1.0, 1.0)
    assert calibrating.band(1.23456, (0.5, 2.0)) == {"value": 1.235, "low": 0.6173, "high": 2.469}
