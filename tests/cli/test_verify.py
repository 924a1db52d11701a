"""`cipherpress verify` on a bundle that keeps its bound, and on one whose bound was lowered."""

import json
from dataclasses import replace
from pathlib import Path

import cipherpress as cp
from secure.bundle.client_checks import least_error
from tests.small_road import Road, call, call_json

FEW = ("--images", 20, "--encrypted", 2, "--steps", 3)


def test_a_compiled_bundle_keeps_its_bound_near_its_data(road: Road) -> None:
    found = call_json("verify", road.path("bundle"), "--data", road.data, *FEW)
    assert found["holds"] is True
    assert 0 < found["largest_error"] <= found["bound"]
    assert found["least_headroom_bits"] > 0
    assert call_json("verify", road.path("bundle"), "--data", road.data, *FEW)["rows"][1]["simulated_error"] > 0


def test_a_broken_bound_ends_with_status_1_and_one_line(road: Road, tmp_path: Path) -> None:
    bundle, broken = cp.load(road.path("bundle")), tmp_path / "bundle"
    client = replace(bundle.client, predicted_logit_error=1.01 * least_error(bundle.client))
    cp.save(replace(bundle, client=client), broken)
    result = call("verify", broken, "--data", road.data, *FEW, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["holds"] is False
    assert result.stderr.startswith("error: the bound is broken") and result.stderr.count("\n") == 1


def test_anything_but_a_bundle_is_refused(road: Road) -> None:
    result = call("verify", road.path("friendly"), "--data", road.data)
    assert result.exit_code == 1
    assert "not a bundle; make one with `cipherpress compile`" in result.stderr
