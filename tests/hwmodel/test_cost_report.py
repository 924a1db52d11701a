"""compare: the modes of each machine, the table, the JSON keys, the picture."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from compress.errors import ConfigError, CostModelError, OverwriteError
from compress.network import Network
from hwmodel.architecture_file import list_architectures, load_architecture
from hwmodel.counts import plain_workload
from hwmodel.plots import save_plot
from hwmodel.report import compare, estimate
from secure.bundle.specs import Bundle, ServerSpec
from secure.plan import Kind, Plan
from tests.secure.plans import small_bundle

ALL = ["cpu-seal", "eyeriss", "craterlake"]


@pytest.fixture
def bundle(make_plan: Callable[..., Plan], tiny_network: Network) -> Bundle:
    plan = make_plan([(Kind.ROTATE, "conv"), (Kind.MULTIPLY_PLAIN, "conv"), (Kind.RESCALE, "fc")])
    report = {"plain_workload": json.loads(json.dumps(plain_workload(tiny_network).to_json()))}
    return Bundle(client=small_bundle().client, server=ServerSpec(bundle_id="", plan=plan), report=report)


def test_a_bundle_is_priced_in_every_mode_a_machine_has(bundle: Bundle) -> None:
    comparison = compare(bundle, ALL)
    found = [(report.architecture, report.mode) for report in comparison.reports]
    assert found == [
        ("cpu-seal", "plain"),
        ("cpu-seal", "encrypted"),
        ("eyeriss", "plain"),
        ("craterlake", "encrypted"),
    ]
    plain, encrypted = comparison.reports[:2]
    assert comparison.privacy_overhead == {"cpu-seal": encrypted.latency_ms / plain.latency_ms}


def test_the_json_has_the_keys_of_the_interface_and_says_what_figures_rest_on(bundle: Bundle) -> None:
    document = json.loads(json.dumps(compare(bundle, ALL).to_json()))
    first = document["estimates"][0]
    assert {"latency_ms", "energy_mj", "architecture", "mode", "low", "high", "kind", "basis", "layers"} == set(first)
    assert first["low"]["latency_ms"] <= first["latency_ms"] <= first["high"]["latency_ms"]
    assert first["kind"] == "modelled"
    assert first["basis"] == {"latency_ms": ["measured"], "energy_mj": ["measured", "modelled"]}
    assert sum(layer["latency_ms"] for layer in first["layers"]) == pytest.approx(first["latency_ms"])


def test_no_estimate_claims_more_than_its_weakest_coefficient(bundle: Bundle) -> None:
    basis = {(r.architecture, r.mode): (r.latency_basis, r.energy_basis) for r in compare(bundle, ALL).reports}
    assert basis["eyeriss", "plain"] == (("cited", "derived"), ("cited", "derived"))
    assert basis["craterlake", "encrypted"] == (("cited", "derived", "modelled"), ("cited", "derived", "modelled"))


def test_the_table_names_machines_modes_and_that_everything_is_modelled(bundle: Bundle) -> None:
    text = str(compare(bundle, ALL))
    assert "cpu-seal      encrypted" in text and "craterlake    encrypted" in text
    assert "every figure is modelled" in text
    assert "cpu-seal: encrypted takes" in text


def test_networks_and_plans_can_be_compared_without_a_bundle(bundle: Bundle, tiny_network: Network) -> None:
    assert compare([tiny_network, bundle.server.plan], ALL) == compare(bundle, ALL)
    assert [report.mode for report in compare(tiny_network, ["cpu-seal"]).reports] == ["plain"]


def test_a_machine_that_can_do_nothing_with_the_subject_is_an_error(bundle: Bundle) -> None:
    message = "'eyeriss' prices plain work, this has encrypted work only; choose another architecture"
    with pytest.raises(CostModelError, match=message):
        compare(replace(bundle, report={}), ["eyeriss"])


def test_a_mode_that_a_machine_lacks_is_an_error(bundle: Bundle, tiny_network: Network) -> None:
    with pytest.raises(CostModelError, match="'eyeriss' has no encrypted mode; it prices plain work; choose another"):
        estimate(bundle.server.plan, "eyeriss")
    with pytest.raises(CostModelError, match="'craterlake' has no plain mode; it prices encrypted work"):
        estimate(tiny_network, load_architecture("craterlake"))


def test_an_estimate_of_a_bundle_is_that_of_its_plan(bundle: Bundle) -> None:
    assert estimate(bundle, "cpu-engine") == estimate(bundle.server.plan, "cpu-engine")
    assert estimate(bundle, "cpu-engine").mode == "encrypted"


NOTHING_TO_PRICE = [(nn.Linear(2, 2), "Linear"), (None, "NoneType"), ("mlp", "str"), ([], "list")]
PRICED = (
    "allowed: a Network or PlainWorkload, priced in clear, or a Plan, EncryptedWorkload or Bundle, priced encrypted; "
    "convert a torch module first"
)


@pytest.mark.parametrize(("wrong", "name"), NOTHING_TO_PRICE)
def test_what_cannot_be_priced_is_refused(wrong: Any, name: str) -> None:
    with pytest.raises(ConfigError) as refused:
        estimate(wrong, "cpu-engine")
    assert str(refused.value) == f"work: got '{name}'; {PRICED}"
    for subject in (wrong, [wrong]):
        with pytest.raises(ConfigError) as refused:
            compare(subject, ["cpu-engine"])
        assert str(refused.value) == f"subject: got '{name}'; {PRICED}"


def test_one_architecture_need_not_stand_in_a_list(bundle: Bundle) -> None:
    assert compare(bundle, "eyeriss") == compare(bundle, ["eyeriss"])
    assert compare(bundle, load_architecture("eyeriss")) == compare(bundle, ["eyeriss"])


@pytest.mark.parametrize("nothing", [[], (), None])
def test_a_comparison_needs_an_architecture(bundle: Bundle, nothing: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        compare(bundle, nothing)
    allowed = f"one or more of {', '.join(list_architectures())}, or paths of YAML files"
    assert str(refused.value) == f"architectures: got {nothing!r}; allowed: {allowed}"


def test_the_plot_is_written_whole_and_never_over_another_file(bundle: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    comparison = compare(bundle, ALL)
    path = tmp_path / "cost.png"
    save_plot(comparison, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OverwriteError, match="cost.png exists"):
        save_plot(comparison, path)
    save_plot(comparison, path, force=True)
    assert [item.name for item in tmp_path.iterdir()] == ["cost.png"]


def test_a_plot_without_matplotlib_says_what_to_install(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(CostModelError, match=r"cost.png: plots need matplotlib; install cipherpress\[plots\]"):
        save_plot(compare(bundle, ALL), tmp_path / "cost.png")


def test_a_plot_format_that_is_not_known_is_an_error(bundle: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(CostModelError, match=r"cost.doc: a plot is written as .pdf, .png or .svg; choose one of them"):
        save_plot(compare(bundle, ALL), tmp_path / "cost.doc")
    assert not list(tmp_path.iterdir())
