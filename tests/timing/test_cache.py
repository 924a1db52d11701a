"""Measured kernel times: saved whole, refused when damaged or from another machine, used by later compilations."""

import json
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

import cipherpress as cp
from cipherpress.timing.cache import cache_path, current_times, default_times, load_times, save_times
from cipherpress.timing.machine import identity
from compress.errors import FormatError
from compress.network import Dense, Input, Network, Weights
from hwmodel.architecture import kernel_times
from hwmodel.architecture_file import load_architecture
from secure.kernels.counts import KernelTimes
from secure.kernels.requests import TYPICAL_REQUEST_TIMES, StepTimes
from secure.residues.times import TYPICAL_RESIDUE_TIMES
from tests.small_road import call, call_json

ENGINE = KernelTimes(butterfly_ns=1.5, product_ns=0.25, addition_ns=0.5, call_us=4.0)
SEAL = KernelTimes(butterfly_ns=2.5, product_ns=3.25, addition_ns=1.0, call_us=0.0)
REQUESTS = replace(TYPICAL_REQUEST_TIMES, load=StepTimes(ciphertext_us=1.5, coefficient_ns=0.25, residue_ns=8.0))
RESIDUES = replace(TYPICAL_RESIDUE_TIMES, dense_ps=41.5)
DAY = date(2026, 11, 25)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CIPHERPRESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def data():
    """Images of four features."""
    images, labels = np.random.default_rng(0).random((512, 4), dtype=np.float32), np.zeros(512, np.int64)
    return cp.Dataset("random", images, labels, images, labels)


def small_network():
    rng = np.random.default_rng(0)
    weights = Weights(rng.normal(size=(3, 4)), np.array(1.0))
    dense = Dense(name="fc", inputs=("x",), shape=(3,), weights=weights, bias=rng.normal(size=3))
    return Network(nodes=(Input(name="x", inputs=(), shape=(4,)), dense))


def test_the_committed_table_is_used_where_nothing_was_measured():
    found = current_times()
    assert found == default_times()
    assert found.engine == kernel_times(load_architecture("cpu-engine"))
    assert found.seal == kernel_times(load_architecture("cpu-seal"))
    assert (found.requests, found.residues) == (TYPICAL_REQUEST_TIMES, TYPICAL_RESIDUE_TIMES)
    assert found.origin == "default table"


def test_measured_times_come_back_exactly(folder):
    path = save_times(ENGINE, SEAL, REQUESTS, RESIDUES, DAY)
    assert path == cache_path() and path.parent == folder
    found = current_times()
    assert (found.engine, found.seal, found.requests, found.residues) == (ENGINE, SEAL, REQUESTS, RESIDUES)
    assert found.origin == "calibrated on this machine, 2026-11-25"
    save_times(SEAL, ENGINE, REQUESTS, RESIDUES, DAY)
    assert current_times().engine == SEAL
    assert [file.name for file in folder.iterdir()] == [path.name]  # no temporary file is left beside it


def test_the_file_name_depends_on_the_processor_and_versions(monkeypatch):
    here = cache_path()
    for field in identity():
        monkeypatch.setattr("cipherpress.timing.cache.identity", lambda field=field: {**identity(), field: "another"})
        assert cache_path() != here
    assert set(identity()) >= {"cpu", "python", "tenseal", "numba", "numpy", "sources"}


@pytest.mark.parametrize(
    ("own", "xdg", "wanted"),
    [
        ("/own", "/xdg", Path("/own")),
        ("", "/xdg", Path("/xdg/cipherpress")),
        ("", "relative", Path.home() / ".cache" / "cipherpress"),
        ("", "", Path.home() / ".cache" / "cipherpress"),
    ],
)
def test_the_folder_follows_the_environment(monkeypatch, own, xdg, wanted):
    monkeypatch.setenv("CIPHERPRESS_CACHE", own)
    monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    assert cache_path().parent == wanted


DAMAGES = [
    ({"kind": "cipherpress-client"}, "field 'kind'"),
    ({"version": 2}, "field 'version' is 2, this program reads 3"),
    ({"machine": None}, "field 'machine' is not this machine"),
    ({"date": "yesterday"}, "field 'date' is missing or malformed"),
    ({"date": None}, "field 'date' is missing or malformed"),
    ({"engine": None}, "field 'engine' does not hold butterfly_ns"),
    ({"seal": {**asdict(SEAL), "more": 1.0}}, "field 'seal' does not hold butterfly_ns"),
    ({"seal": {**asdict(SEAL), "product_ns": -1.0}}, "field 'seal.product_ns' is -1.0, which cannot be a time"),
    ({"seal": {**asdict(SEAL), "product_ns": "3"}}, "field 'seal.product_ns' is '3', which cannot be a time"),
    ({"seal": {**asdict(SEAL), "product_ns": True}}, "field 'seal.product_ns' is True, which cannot be a time"),
    ({"engine": {**asdict(ENGINE), "call_us": float("nan")}}, "NaN is no number of JSON"),
    ({"engine": {**asdict(ENGINE), "call_us": 1e9}}, "field 'engine.call_us' is 1000000000.0, which cannot be a time"),
    ({"engine": dict.fromkeys(asdict(ENGINE), 0)}, "field 'engine' says that nothing takes time"),
    ({"residues": None}, "field 'residues' does not hold dense_ps"),
    ({"residues": {**asdict(RESIDUES), "run_ps": "1"}}, "field 'residues.run_ps' is '1', which cannot be a time"),
    ({"requests": None}, "field 'requests' does not hold encrypt, load"),
    ({"requests": {**asdict(REQUESTS), "more": {}}}, "field 'requests' does not hold encrypt, load"),
    ({"requests": {**asdict(REQUESTS), "load": {}}}, "field 'requests.load' does not hold ciphertext_us"),
    (
        {"requests": {**asdict(REQUESTS), "write": {**asdict(REQUESTS.write), "residue_ns": -1}}},
        "field 'requests.write.residue_ns' is -1, which cannot be a time",
    ),
]


@pytest.mark.parametrize(("changes", "message"), DAMAGES)
def test_a_damaged_or_foreign_file_is_refused_and_says_what_to_do(changes, message):
    path = save_times(ENGINE, SEAL, REQUESTS, RESIDUES, DAY)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(FormatError, match=f"{message}.*calibrate --force`, or delete the file"):
        current_times()


@pytest.mark.parametrize("content", [b"", b"{", b"[1, 2]", b"\xff\xfe"])
def test_a_file_that_is_no_json_object_is_refused(content):
    path = save_times(ENGINE, SEAL, REQUESTS, RESIDUES, DAY)
    path.write_bytes(content)
    with pytest.raises(FormatError, match="measure again with `cipherpress calibrate --force`"):
        load_times(path)


def test_times_of_another_machine_are_refused():
    path = save_times(ENGINE, SEAL, REQUESTS, RESIDUES, DAY)
    found = json.loads(path.read_text())
    found["machine"]["cpu"] = "Another CPU"
    path.write_text(json.dumps(found))
    with pytest.raises(FormatError, match="field 'machine' is not this machine with its versions"):
        current_times()


def without_effort(bundle):
    """The report without what compiling itself took, which differs from run to run."""
    effort = ("compile_seconds", "compile_peak_bytes", "peak_bytes_before_compile")
    assert bundle.report["compile_seconds"] > 0
    assert bundle.report["compile_peak_bytes"] >= bundle.report["peak_bytes_before_compile"] > 1e7
    return {key: value for key, value in bundle.report.items() if key not in effort}


def test_a_compilation_uses_measured_times_and_says_so():
    network = small_network()
    default = cp.compile(network, data(), cp.Limits(max_error=0.5))
    assert default.report["times"] == "default table"
    assert "default table" in default.explain()
    slow = replace(ENGINE, butterfly_ns=1000 * ENGINE.butterfly_ns)
    save_times(slow, SEAL, REQUESTS, RESIDUES, DAY)
    first, second = (cp.compile(network, data(), cp.Limits(max_error=0.5)) for _ in range(2))
    assert first.report["times"] == "calibrated on this machine, 2026-11-25"
    assert first.report["predicted_server_ms"] > 100 * default.report["predicted_server_ms"]
    assert without_effort(first) == without_effort(second) and first.client.bundle_id == second.client.bundle_id
    cache_path().write_text("{}")
    with pytest.raises(FormatError, match="calibrate --force"):
        cp.compile(network, data(), cp.Limits(max_error=0.5))


def test_the_command_shows_what_was_measured_before_and_refuses_damage():
    path = save_times(ENGINE, SEAL, REQUESTS, RESIDUES, DAY)
    found = call_json("calibrate")
    assert found == {
        "path": str(path),
        "measured": False,
        "times": "calibrated on this machine, 2026-11-25",
        "engine": asdict(ENGINE),
        "seal": asdict(SEAL),
        "requests": asdict(REQUESTS),
        "residues": asdict(RESIDUES),
    }
    path.write_text("{}")
    result = call("calibrate")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ") and "calibrate --force" in result.stderr


@pytest.mark.slow
def test_the_command_measures_and_replaces_damage():
    cache_path().parent.mkdir(parents=True)
    cache_path().write_text("{}")
    found = call_json("calibrate", "--force")
    assert found["measured"] and found["times"] == f"calibrated on this machine, {date.today().isoformat()}"
    assert asdict(current_times().engine) == found["engine"]
    assert asdict(current_times().requests) == found["requests"]
    assert asdict(current_times().residues) == found["residues"]
    assert set(found["mean_relative_error"]) == {"engine", "seal", "requests", "residues"}
    assert call_json("calibrate")["engine"] == found["engine"]
