"""Joint quantization from the command line, and what `inspect` reports about the result."""

from pathlib import Path

import pytest

from tests.small_road import Road, call, call_json


def test_inspect_reports_joint_quantization(road: Road, tmp_path: Path) -> None:
    options = ("--model", road.factory, "--data", road.data, "--method", "joint", "--activation-bits", 6)
    found = call_json("compress", road.path("plain"), *options, "-o", tmp_path / "out")
    assert [row["bits"] for row in found["layers"]] == [6, 6]
    assert found["accuracy_compressed"] > 0.9
    seen = call_json("inspect", tmp_path / "out", "--model", road.factory)
    assert seen["account"]["joint"] == {"bits": 6, "quantization_points_before": 3, "quantization_points_after": 2}
    text = call("inspect", tmp_path / "out", "--model", road.factory).output
    assert "jointly quantized at 6 bits: quantization operations 3 -> 2" in text


@pytest.mark.slow
def test_the_zoos_transformer_is_jointly_quantized(tmp_path: Path) -> None:
    found = call_json("compress", "vit", "--data", "mnist", "--method", "joint", "-o", tmp_path / "out")
    assert found["accuracy_plain"] - found["accuracy_compressed"] <= 0.002
    assert found["uncompressed_layers"] == [] and found["compression_rate"] > 3.9
    text = call("inspect", tmp_path / "out").output
    assert "jointly quantized at 8 bits: quantization operations 47 -> 33" in text
    assert call_json("inspect", tmp_path / "out")["account"]["joint"]["bits"] == 8
