"""--mode throughput by the real commands: a user's network as a batch, with a server that needs no key."""

from pathlib import Path

import numpy as np
import pytest

import cipherpress as cp
from tests.promised import check_answers, check_round_trip
from tests.small_road import Road, call, call_json

COMPILED = {"mode", "log2_q", "limbs", "parts", "evaluation_key_bytes", "nonzeros", "layers", "predicted_logit_error"}
MEASURED = {
    "images", "accuracy_compressed", "accuracy_encrypted", "agreement", "max_logit_error", "predicted_logit_error",
    "images_per_s", "client_images_per_s", "batch", "upload_bytes", "download_bytes", "evaluation_key_bytes",
    "server_ms", "client_encrypt_ms", "client_decrypt_ms", "peak_rss_bytes", "threads",
}  # fmt: skip


@pytest.fixture(scope="module")
def bundle(road: Road, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The road's network, compiled for throughput."""
    folder = tmp_path_factory.mktemp("throughput") / "bundle"
    found = call_json("compile", road.path("friendly"), "--data", road.data, "--mode", "throughput", "-o", folder)
    assert found.keys() >= COMPILED
    assert (found["mode"], found["evaluation_key_bytes"], found["security_bits"]) == ("throughput", 0, 128)
    return folder


def test_all_test_images_come_back_with_their_classes(road: Road, bundle: Path, tmp_path: Path) -> None:
    images = np.load(road.data)["x_test"]
    np.save(tmp_path / "x.npy", images)
    secret = ("--key", tmp_path / "keys/secret.key")
    call_json("keygen", bundle, "-o", tmp_path / "keys")
    call_json("encrypt", bundle, *secret, "--input", tmp_path / "x.npy", "-o", tmp_path / "x.ct")
    call_json("run", bundle, "--input", tmp_path / "x.ct", "-o", tmp_path / "y.ct")
    found = call_json("decrypt", bundle, *secret, "--input", tmp_path / "y.ct", "-o", tmp_path / "y.npy")
    clear, scores = cp.load(road.path("friendly")).run(images), np.load(tmp_path / "y.npy")
    check_answers(cp.load(bundle), scores, clear)
    assert found["classes"] == scores.argmax(axis=1).tolist()
    for name, kind in (("x.ct", "batch_request"), ("y.ct", "batch_reply")):
        shown = call_json("inspect", tmp_path / name)
        assert (shown["kind"], shown["images"], shown["blocks"]) == (kind, len(images), 1)
        assert shown["bytes"] == (tmp_path / name).stat().st_size


def test_infer_reports_every_documented_measurement(road: Road, bundle: Path) -> None:
    found = call_json("infer", bundle, "--data", road.data, "--images", 80)
    assert found.keys() >= MEASURED
    assert (found["backend"], found["images"], found["threads"]) == ("engine", 80, 1)
    check_round_trip(cp.load(bundle), found, cp.load(road.path("friendly")).run(np.load(road.data)["x_test"]))
    clear = call_json("infer", bundle, "--data", road.data, "--images", 80, "--backend", "clear")
    assert (clear["backend"], clear["accuracy_compressed"]) == ("clear", found["accuracy_compressed"])
    assert "accuracy_encrypted" not in clear
    refused = call("infer", bundle, "--data", road.data, "--images", 2, "--backend", "seal")
    assert refused.exit_code == 1 and "'seal' cannot run a bundle for throughput" in refused.stderr


def test_inspect_and_explain_say_what_the_plan_is(bundle: Path) -> None:
    found = call_json("inspect", bundle)
    assert (found["kind"], found["mode"]) == ("bundle", "throughput")
    assert {"log2_q", "limbs", "parts", "evaluation_key_bytes"} <= found.keys()
    assert sum(layer.get("nonzeros", 0) for layer in found["layers"]) == found["nonzeros"]
    shown = call("inspect", bundle).stdout
    for said in ("for throughput", "keys      none on the server", "log2 Q", "non-zeros", "images per second"):
        assert said in shown


def test_estimate_prices_one_image_of_a_full_block(road: Road, bundle: Path) -> None:
    machines = ("--arch", "cpu-engine", "--arch", "craterlake", "--arch", "cpu-seal")
    found = call_json("estimate", bundle, *machines, "--mode", "throughput")
    rows = {(row["architecture"], row["mode"]): row for row in found["estimates"]}
    assert set(rows) == {
        ("cpu-engine", "plain"), ("cpu-engine", "encrypted"), ("craterlake", "encrypted"), ("cpu-seal", "plain"),
    }  # fmt: skip
    batch = call_json("inspect", bundle)["batch"]
    for machine in ("cpu-engine", "craterlake"):
        row = rows[machine, "encrypted"]
        assert row["batch"] == batch
        assert row["images_per_s"] == pytest.approx(1e3 / row["latency_ms"])
        assert row["low"]["latency_ms"] <= row["latency_ms"] <= row["high"]["latency_ms"]
    assert "derived" in rows["craterlake", "encrypted"]["basis"]["latency_ms"]
    assert "batch" not in rows["cpu-engine", "plain"]
    assert "one image of a full block" in call("estimate", bundle, "--arch", "cpu-engine").stdout
    assert call("estimate", bundle).exit_code == 0
    for model in (road.path("bundle"), road.path("friendly")):
        refused = call("estimate", model, "--mode", "throughput")
        assert refused.exit_code == 1 and "compile it with --mode throughput first" in refused.stderr


def test_report_shows_the_mode(bundle: Path, road: Road, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(call("infer", bundle, "--data", road.data, "--images", 20, "--json").stdout)
    options = ("--arch", "cpu-engine", "--measured", tmp_path / "run.json")
    assert call("report", bundle, *options, "-o", tmp_path / "page.html").exit_code == 0
    page = (tmp_path / "page.html").read_text()
    for said in ("images per second, server", "parts of an answer", "log2 of the whole modulus", "needs no key at all"):
        assert said in page


def test_press_goes_all_the_way(road: Road, tmp_path: Path) -> None:
    options = ("--model", road.factory, "--data", road.data, "--no-augment", "--finetune-epochs", 0)
    found = call_json(
        "press", road.path("plain"), *options, "--convert-epochs", 1, "--mode", "throughput", "-o", tmp_path / "bundle"
    )
    assert found["mode"] == "throughput" and found["about"]["accuracy_after"] > 0.5
    assert isinstance(cp.load(tmp_path / "bundle"), cp.BatchBundle)


def test_what_the_mode_does_not_have_is_refused(road: Road, bundle: Path, tmp_path: Path) -> None:
    friendly = (road.path("friendly"), "--data", road.data, "--mode", "throughput", "-o", tmp_path / "out")
    for command, code, said in (
        (("verify", bundle, "--data", road.data), 1, "verify takes one for latency"),
        (("compile", *friendly, "--objective", "round-trip"), 1, "objective: got 'round-trip'"),
        (("compile", *friendly, "--backends", "both"), 1, "backends: got 'both'"),
        (("compile", bundle, "--data", road.data, "-o", tmp_path / "out"), 1, "it is compiled already"),
    ):  # fmt: skip
        refused = call(*command)
        assert refused.exit_code == code and said in refused.stderr
    assert not (tmp_path / "out").exists()
