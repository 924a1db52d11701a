"""From a user's own network to a decrypted class, by the real commands."""

import json
import stat
from pathlib import Path

import numpy as np
import pytest

import cipherpress as cp
from cli import main
from tests.promised import check_answers, check_round_trip, settled
from tests.small_road import ROOT, Road, call, call_json, process

COMPILED = {
    "poly_modulus_degree",
    "log2_qp",
    "coeff_modulus_bits",
    "security_bits",
    "depth",
    "rotations",
    "plain_multiplications",
    "ciphertext_multiplications",
    "rescales",
    "predicted_logit_error",
}
MEASURED = {
    "images",
    "accuracy_compressed",
    "accuracy_encrypted",
    "agreement",
    "max_logit_error",
    "client_encrypt_ms",
    "server_ms",
    "client_decrypt_ms",
    "upload_bytes",
    "download_bytes",
    "evaluation_key_bytes",
    "peak_rss_bytes",
}
COUNTED = {"parameters", "nonzeros", "sparsity", "bits", "compression_rate"}


def test_every_step_says_what_it_did(road: Road) -> None:
    results = road.results
    assert results["train"]["accuracy_plain"] > 0.9
    assert results["compress"].keys() >= COUNTED | {"images", "accuracy_plain", "accuracy_compressed", "layers"}
    assert all(layer.keys() >= COUNTED for layer in results["compress"]["layers"])
    assert results["compress"]["sparsity"] == pytest.approx(0.5, abs=0.02)
    assert results["compress"]["accuracy_plain"] == results["train"]["accuracy_plain"]
    assert results["convert"].keys() >= {"images", "accuracy_before", "accuracy_after", "replaced"}
    assert results["convert"]["accuracy_before"] == results["compress"]["accuracy_compressed"]
    assert results["compile"].keys() >= COMPILED
    assert results["compile"]["security_bits"] >= 128
    assert results["keygen"]["evaluation_key_bytes"] == Path(road.path("keys/evaluation.key")).stat().st_size
    assert results["encrypt"]["upload_bytes"] == Path(road.path("x.ct")).stat().st_size
    assert results["run"]["download_bytes"] == Path(road.path("y.ct")).stat().st_size


@pytest.mark.parametrize("rate", [8.0, 10.0])
def test_one_shot_reaches_the_requested_rate(road: Road, tmp_path: Path, rate: float) -> None:
    options = ("--data", road.data, "--bits", 4, "--target-rate", rate, "--epochs", 0, "--one-shot")
    found = call_json("compress", road.path("plain"), "--model", road.factory, *options, "-o", tmp_path / "out")
    assert rate <= found["compression_rate"] < 1.2 * rate


def test_only_the_owner_may_read_the_secret_key(road: Road) -> None:
    assert stat.S_IMODE(Path(road.path("keys/secret.key")).stat().st_mode) == 0o600


def test_the_decrypted_class_equals_the_class_in_clear(road: Road) -> None:
    network, bundle = cp.load(road.path("friendly")), cp.load(road.path("bundle"))
    clear = network.run(np.load(road.path("x.npy"))[None])
    scores = np.load(road.path("y.npy"))
    check_answers(bundle, scores[None], clear)
    assert settled(clear, bundle.client.predicted_logit_error).all()
    assert road.results["decrypt"]["class"] == int(clear.argmax()) == int(scores.argmax())
    assert road.results["decrypt"]["scores"] == scores.tolist()


@pytest.mark.parametrize("backend", ["engine", "clear"])
def test_infer_reports_every_documented_measurement(road: Road, backend: str) -> None:
    found = call_json("infer", road.path("bundle"), "--data", road.data, "--images", 3, "--backend", backend)
    assert (found["images"], found["backend"]) == (3, backend)
    if backend == "clear":
        assert found.keys() >= {"images", "accuracy_compressed"}
        assert "accuracy_encrypted" not in found
    else:
        assert found.keys() >= MEASURED | COMPILED
        clear = cp.load(road.path("friendly")).run(np.load(road.data)["x_test"][:3])
        check_round_trip(cp.load(road.path("bundle")), found, clear)
        # keys are compressed, so two of them differ slightly in size
        assert found["evaluation_key_bytes"] == pytest.approx(road.results["keygen"]["evaluation_key_bytes"], rel=1e-3)


def test_a_request_runs_on_the_given_number_of_threads(
    road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1})
    monkeypatch.setattr(
        "cipherpress.commands.command.limit_threads", lambda threads: None
    )  # torch's threads, for the rest of this process
    files = ("--key", road.path("keys/evaluation.key"), "--input", road.path("x.ct"))
    found = call_json("run", road.path("bundle"), *files, "-o", tmp_path / "y.ct", "--threads", 2)
    assert (road.results["run"]["threads"], found["threads"]) == (1, 2)
    assert (tmp_path / "y.ct").read_bytes() == Path(road.path("y.ct")).read_bytes()
    assert call_json("infer", road.path("bundle"), "--data", road.data, "--images", 2, "--threads", 2)["threads"] == 2
    refused = call("run", road.path("bundle"), *files, "-o", tmp_path / "z.ct", "--threads", 3)
    assert refused.exit_code == 1
    assert "threads: got 3; allowed: 1 to 2, the cores that this process may use" in refused.stderr
    assert not (tmp_path / "z.ct").exists()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("plain", "weights"),
        ("small", "compressed"),
        ("friendly", "network"),
        ("bundle", "bundle"),
        ("keys/secret.key", "secret_key"),
        ("keys/evaluation.key", "evaluation_key"),
        ("x.ct", "request"),
        ("y.ct", "reply"),
    ],
)
def test_inspect_knows_every_artifact(road: Road, name: str, kind: str) -> None:
    found = call_json("inspect", road.path(name))
    assert found["kind"] == kind
    shown = call("inspect", road.path(name))
    assert shown.exit_code == 0
    assert shown.stdout
    assert shown.stderr == ""


def test_inspect_counts_a_compressed_model_when_given_its_network(road: Road, tmp_path: Path) -> None:
    small = Path(road.path("small"))
    found = call_json("inspect", small, "--model", road.factory)
    account = found["account"]
    assert found["saved_bytes"] == sum(file.stat().st_size for file in small.iterdir())
    assert account["compression_rate"] == road.results["compress"]["compression_rate"]
    assert [row["multiplications_dense"] for row in account["layers"]] == [64 * 16, 16 * 4]
    assert [row["multiplications"] for row in account["layers"]] == [row["nonzeros"] for row in account["layers"]]
    pytest.importorskip("matplotlib")
    plot = tmp_path / "allocation.png"
    assert call("inspect", small, "--model", road.factory, "--plot", plot).exit_code == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    again = call("inspect", small, "--model", road.factory, "--plot", plot)
    assert again.exit_code == 1 and "allocation.png exists" in again.stderr


def test_a_plot_of_something_without_an_allocation_is_refused(road: Road, tmp_path: Path) -> None:
    for name in ("small", "bundle"):
        result = call("inspect", road.path(name), "--plot", tmp_path / "x.png")
        assert result.exit_code == 2 and "--plot" in result.stderr
    assert not (tmp_path / "x.png").exists()


def test_estimate_prices_network_and_bundle(road: Road) -> None:
    found = call_json(
        "estimate", road.path("bundle"), "--arch", "cpu-seal", "--arch", "eyeriss", "--arch", "craterlake"
    )
    modes = {(entry["architecture"], entry["mode"]) for entry in found["estimates"]}
    assert modes == {
        ("cpu-seal", "plain"),
        ("cpu-seal", "encrypted"),
        ("eyeriss", "plain"),
        ("craterlake", "encrypted"),
    }
    for entry in found["estimates"]:
        for key in ("latency_ms", "energy_mj"):
            assert entry["low"][key] <= entry[key] <= entry["high"][key]
    plain = call_json("estimate", road.path("friendly"), "--arch", "eyeriss")
    assert [entry["mode"] for entry in plain["estimates"]] == ["plain"]


def test_models_and_architectures_are_listed() -> None:
    models = call_json("models")["models"]
    assert {"name", "task", "input_shape", "parameters", "accuracy_plain"} <= models[0].keys()
    assert "mlp" in {row["name"] for row in models}
    assert {"cpu-seal", "eyeriss", "craterlake"} <= {row["name"] for row in call_json("architectures")["architectures"]}


def test_four_processes_share_nothing_but_files(road: Road, tmp_path: Path) -> None:
    cli, bundle, keys = ROOT / "cli.py", road.path("bundle"), tmp_path / "keys"
    secret, evaluation, request, reply = (
        keys / "secret.key",
        keys / "evaluation.key",
        tmp_path / "x.ct",
        tmp_path / "y.ct",
    )
    steps = [
        ("keygen", bundle, "-o", keys),
        ("encrypt", bundle, "--key", secret, "--input", road.path("x.npy"), "-o", request),
        ("run", bundle, "--key", evaluation, "--input", request, "-o", reply),
        ("decrypt", bundle, "--key", secret, "--input", reply, "--json"),
    ]
    for step in steps:
        done = process(cli, *step)
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["class"] == road.results["decrypt"]["class"]


def test_the_server_process_loads_no_torch(road: Road, tmp_path: Path) -> None:
    code = (
        "import sys, cli\n"
        "try: cli.main()\n"
        "except SystemExit as stopped: assert stopped.code == 0, stopped.code\n"
        "print(sorted({'torch', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    key, source = road.path("keys/evaluation.key"), road.path("x.ct")
    done = process("-c", code, "run", road.path("bundle"), "--key", key, "--input", source, "-o", tmp_path / "y.ct")
    assert done.returncode == 0, done.stderr
    saved, loaded = done.stdout.splitlines()
    assert saved.startswith(f"saved {tmp_path / 'y.ct'}") and saved.endswith("ms by engine")
    assert loaded == "[]"
    assert (tmp_path / "y.ct").is_file()


@pytest.mark.parametrize("name", sorted(main.commands))
def test_help_of_every_command_ends_with_an_example(name: str) -> None:
    shown = call(name, "--help")
    assert shown.exit_code == 0
    assert f"cipherpress {name}" in shown.stdout.rpartition("Example:")[2]
