"""estimate and report from the command line: shapes, several models, another node, one page."""

from __future__ import annotations

import json
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest

import cipherpress as cp
from hwmodel.encrypted_counts import encrypted_workload
from secure.kernels.counts import KernelCounts, operation_kernels
from tests.secure.counting import counted_operations
from tests.small_road import Road, call, call_json, process


def children_s() -> float:
    """Processor seconds of the processes that ended. Other processes on the machine do not count."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("shape", ["deit-b", "resnet20", "vgg16"])
def test_a_shape_is_priced_in_seconds_without_being_run(shape: str) -> None:
    started = children_s()
    done = process("-m", "cli", "estimate", shape, "--json")
    assert done.returncode == 0, done.stderr
    assert children_s() - started < 10
    assert '"mode": "plain"' in done.stdout and '"mode": "encrypted"' not in done.stdout


def test_several_models_are_compared_with_the_first(road: Road) -> None:
    found = call_json("estimate", "resnet20", "vgg16", "--arch", "tpu-v1")
    labels = [(row["label"], row["times_faster"] < 1) for row in found["savings"]]
    assert labels == [("resnet20", False), ("vgg16", True)]
    both = call_json("estimate", road.path("bundle"), road.path("bundle"), "--arch", "sharp")
    assert both["estimates"][0]["mode"] == "encrypted"  # a model that is named twice counts once


def test_another_node_changes_energy_and_not_time() -> None:
    here, there = (
        call_json("estimate", "resnet20", "--arch", "eyeriss", *node)["estimates"][0] for node in ((), ("--node", "28"))
    )
    assert there["latency_ms"] == here["latency_ms"] and there["energy_mj"] < here["energy_mj"]


@pytest.mark.parametrize(
    ("models", "picture", "message"),
    [
        (("resnet20", "vgg16"), "energy", "--picture energy takes one MODEL"),
        (("resnet20",), "pareto", "--picture pareto takes several MODELs"),
    ],
)
def test_a_picture_for_the_wrong_number_of_models_is_a_usage_error(
    tmp_path: Path, models: tuple[str, ...], picture: str, message: str
) -> None:
    result = call("estimate", *models, "--plot", tmp_path / "x.png", "--picture", picture)
    assert result.exit_code == 2 and message in result.stderr


@pytest.mark.parametrize("picture", ["costs", "energy", "roofline"])
def test_every_picture_of_one_model_is_written(tmp_path: Path, picture: str) -> None:
    pytest.importorskip("matplotlib")
    plot = tmp_path / "x.png"
    call_json("estimate", "resnet20", "--plot", plot, "--picture", picture)
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("picture", ["waterfall", "pareto"])
def test_every_picture_of_several_bundles_is_written(road: Road, tmp_path: Path, picture: str) -> None:
    pytest.importorskip("matplotlib")
    plot, other = tmp_path / "x.png", tmp_path / "other"
    shutil.copytree(road.path("bundle"), other)
    call_json("estimate", road.path("bundle"), other, "--plot", plot, "--picture", picture)
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_report_is_one_page_that_fetches_nothing(road: Road, tmp_path: Path) -> None:
    output = tmp_path / "report.html"
    found = call_json("report", road.path("bundle"), "-o", output)
    page = output.read_text(encoding="utf-8")
    assert found == {"path": str(output), "bytes": len(page.encode())}
    for heading in ("Accuracy", "Network", "Compression", "Plan", "Security", "Costs of one image"):
        assert f"<h2>{heading}" in page
    assert "<svg" in page and not [word for word in ("http:", "https:", "src=", "<script") if word in page]
    assert call("report", road.path("bundle"), "-o", output).exit_code == 1  # nothing is replaced without --force


def test_a_real_run_stands_beside_the_estimates(road: Road, tmp_path: Path) -> None:
    measured, output = tmp_path / "run.json", tmp_path / "report.html"
    result = call_json("infer", road.path("bundle"), "--data", road.data, "--images", "2")
    measured.write_text(json.dumps(result), encoding="utf-8")
    call_json("report", road.path("bundle"), "--measured", measured, "-o", output)
    page = output.read_text(encoding="utf-8")
    assert "<h2>The real run" in page and f"<td>server, ms</td><td>{result['server_ms']:.4g}</td><td>measured" in page


@pytest.mark.parametrize(
    ("text", "message"), [("{", "run.json: not valid JSON"), ("{}", "run.json: field server_ms is missing; save what")]
)
def test_a_file_that_is_not_a_run_is_refused(road: Road, tmp_path: Path, text: str, message: str) -> None:
    measured = tmp_path / "run.json"
    measured.write_text(text, encoding="utf-8")
    result = call("report", road.path("bundle"), "--measured", measured, "-o", tmp_path / "report.html")
    assert result.exit_code == 1 and message in result.stderr
    assert not (tmp_path / "report.html").exists()


def test_a_report_of_anything_but_a_bundle_is_refused(road: Road, tmp_path: Path) -> None:
    result = call("report", road.path("friendly"), "-o", tmp_path / "report.html")
    assert result.exit_code == 1
    assert "not a bundle; make one with `cipherpress compile`" in result.stderr
    assert not list(tmp_path.iterdir())


def test_the_counts_are_those_of_the_real_run(road: Road) -> None:
    """SEAL's operations, counted from its ciphertexts and converted to kernels, are the kernels that are priced."""
    bundle = cp.load(road.path("bundle"))
    assert isinstance(bundle, cp.Bundle)
    client = cp.Client(bundle.client)
    request = client.encrypt(np.load(road.path("x.npy")))
    done = counted_operations(bundle.server, client.evaluation_key, request)
    workload = encrypted_workload(bundle.server.plan)
    assert dict(workload.operations) == done
    degree = bundle.client.params.poly_modulus_degree
    counted = sum(
        (operation_kernels(kind, level, degree) for (kind, level), n in done.items() for _ in range(n)), KernelCounts()
    )
    assert counted.butterflies == workload.kernels.butterflies > 0
    assert counted.products == workload.kernels.products > 0
    assert counted.key_bytes == workload.kernels.key_bytes > 0
