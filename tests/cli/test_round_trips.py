"""--objective and --link-mbit-s of compile, and --row of encrypt."""

from pathlib import Path

import numpy as np
import pytest

from tests.small_road import Road, call, call_json


def test_compile_takes_an_objective_and_a_link(road: Road, tmp_path: Path) -> None:
    common = ("compile", road.path("friendly"), "--data", road.data)
    server = call_json(*common, "-o", tmp_path / "server")
    trip = call_json(*common, "--objective", "round-trip", "--link-mbit-s", 10, "-o", tmp_path / "trip")
    assert (server["objective"], trip["objective"]) == ("server", "round-trip")
    assert (server["request"]["link_mbit_s"], trip["request"]["link_mbit_s"]) == (100, 10)
    assert server["predicted_server_ms"] <= trip["predicted_server_ms"]
    link = {name: report["request"]["upload_ms"] for name, report in (("server", server), ("trip", trip))}
    sent = {name: report["request"]["upload_bytes"] for name, report in (("server", server), ("trip", trip))}
    assert link["server"] == pytest.approx(sent["server"] * 8e-3 / 100)
    assert link["trip"] == pytest.approx(sent["trip"] * 8e-3 / 10)
    shown = call("inspect", tmp_path / "trip")
    assert "ms from input to answer (predicted)" in shown.stdout and "at 10 Mbit/s" in shown.stdout


def test_another_objective_or_a_link_without_speed_is_refused(road: Road, tmp_path: Path) -> None:
    common = ("compile", road.path("friendly"), "--data", road.data, "-o", tmp_path / "out")
    wrong = call(*common, "--objective", "latency")
    assert wrong.exit_code == 2 and "'latency' is not one of 'server', 'round-trip'" in wrong.stderr
    still = call(*common, "--link-mbit-s", 0)
    assert still.exit_code == 1 and "link_mbit_s: got 0.0; allowed: a number above 0" in still.stderr


def test_encrypt_takes_a_row_of_a_batch(road: Road, tmp_path: Path) -> None:
    images = np.load(road.data)["x_test"][:3]
    batch, alone = tmp_path / "batch.npy", tmp_path / "alone.npy"
    np.save(batch, images)
    np.save(alone, images[2])
    key = road.path("keys/secret.key")
    common = ("encrypt", road.path("bundle"), "--key", key)
    refused = call(*common, "--input", batch, "-o", tmp_path / "x.ct")
    assert (
        refused.exit_code == 1 and "a batch of 3 inputs; a request carries one: choose it with --row" in refused.stderr
    )
    scores = []
    for name, source in (("row", ("--input", batch, "--row", 2)), ("alone", ("--input", alone))):
        request, reply = tmp_path / f"{name}.ct", tmp_path / f"{name}.reply.ct"
        call_json(*common, *source, "-o", request)
        evaluation = road.path("keys/evaluation.key")
        call_json("run", road.path("bundle"), "--key", evaluation, "--input", request, "-o", reply)
        scores.append(call_json("decrypt", road.path("bundle"), "--key", key, "--input", reply)["scores"])
    bound = road.results["compile"]["predicted_logit_error"]
    assert np.abs(np.subtract(*scores)).max() < 2 * bound
