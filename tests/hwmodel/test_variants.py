"""Versions of a network side by side, the roofline, the node, and the page that shows them."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.errors import CostModelError
from compress.network import Network
from hwmodel.architecture import PlainArray
from hwmodel.architecture_file import list_architectures, load_architecture
from hwmodel.charts import energy_by_component, latency_by_component
from hwmodel.counts import plain_workload
from hwmodel.node import at_node
from hwmodel.page import report_page
from hwmodel.plots import save_energy_plot, save_pareto_plot, save_roofline_plot, save_waterfall_plot
from hwmodel.report import compare, estimate
from hwmodel.roofline import roofline
from hwmodel.shapes import shape_workload
from hwmodel.svg import log_bars, log_points, stacked_shares
from hwmodel.variants import VariantTable, compare_variants
from secure.plan import Kind, Plan

MACHINES = ["cpu-seal", "eyeriss", "sharp"]


@pytest.fixture
def table(make_plan: Callable[..., Plan], tiny_network: Network) -> VariantTable:
    """A dense version with two rotations, and a pruned version with one rotation that is slightly less accurate."""
    dense = make_plan([(Kind.ROTATE, "conv"), (Kind.ROTATE, "conv"), (Kind.MULTIPLY_PLAIN, "fc")])
    pruned = make_plan([(Kind.ROTATE, "conv"), (Kind.MULTIPLY_PLAIN, "fc")])
    return compare_variants(
        {"dense": [tiny_network, dense], "pruned": [tiny_network, pruned], "worse": [tiny_network, dense]},
        MACHINES,
        {"dense": 0.99, "pruned": 0.98, "worse": 0.97},
    )


def test_savings_are_against_the_first_version_on_the_same_machine_and_mode(table: VariantTable) -> None:
    savings = {(s.label, s.architecture, s.mode): s for s in table.savings()}
    assert savings["dense", "sharp", "encrypted"].times_faster == 1
    assert savings["pruned", "cpu-seal", "encrypted"].times_faster > 1.5
    assert savings["pruned", "eyeriss", "plain"].times_faster == 1  # the network in clear is the same


def test_overhead_is_encrypted_over_plain_for_every_version(table: VariantTable) -> None:
    overhead = table.privacy_overhead("cpu-seal", "cpu-seal")
    assert overhead["pruned"] < overhead["dense"] == overhead["worse"]
    assert table.privacy_overhead("sharp", "sharp") == {}
    assert table.privacy_overhead("eyeriss", "sharp").keys() == overhead.keys()


def test_the_front_leaves_out_what_another_version_beats(table: VariantTable) -> None:
    assert [(point.label, point.on_front) for point in table.pareto("cpu-seal")] == [
        ("dense", True), ("pruned", True), ("worse", False),
    ]  # fmt: skip


def test_the_waterfall_goes_from_dense_in_clear_to_the_last_encrypted(table: VariantTable) -> None:
    steps = dict(table.waterfall("eyeriss", "cpu-seal"))
    assert list(steps) == ["dense, in clear", "worse, in clear", "dense, encrypted", "worse, encrypted"]
    assert steps["dense, encrypted"] == table.variants[0].comparison.reports[1].latency_ms


def test_the_table_is_readable_and_converts_to_json(table: VariantTable) -> None:
    assert "against dense; every figure is modelled" in str(table)
    assert json.loads(json.dumps(table.to_json()))["variants"][1]["accuracy"] == 0.98


def test_a_table_without_versions_is_an_error() -> None:
    with pytest.raises(CostModelError, match="variants: none given; give at least the baseline"):
        compare_variants({}, MACHINES)


@pytest.mark.parametrize("name", [name for name in list_architectures() if not name.startswith("cpu-")])
def test_no_layer_lies_above_its_roof(name: str, make_plan: Callable[..., Plan]) -> None:
    machine = load_architecture(name)
    work: Any = shape_workload("deit-s")
    if "plain" not in machine.modes:
        work = make_plan([(Kind.ROTATE, "a"), (Kind.MULTIPLY_PLAIN, "a"), (Kind.SQUARE, "b"), (Kind.RELINEARIZE, "b")])
    roof = roofline(estimate(work, machine), machine)
    assert roof is not None and roof.points
    for point in roof.points:
        assert point.operations_per_s <= roof.peak_operations_per_s * (1 + 1e-9)
        if point.operations_per_byte is not None:
            assert point.operations_per_s <= roof.attainable(point.operations_per_byte) * (1 + 1e-9)


def test_a_cpu_has_no_roofline(tiny_network: Network) -> None:
    assert roofline(estimate(tiny_network, "cpu-seal"), load_architecture("cpu-seal")) is None


def test_components_sum_to_the_report(table: VariantTable) -> None:
    for report in table.variants[0].comparison.reports:
        assert sum(energy_by_component(report).values()) == pytest.approx(report.energy_mj)
        assert sum(latency_by_component(report).values()) == pytest.approx(report.latency_ms)


def test_a_smaller_node_saves_energy_on_the_chip_and_leaves_time_and_dram() -> None:
    array = cast(PlainArray, load_architecture("tpu-v1"))
    here, there = (estimate(shape_workload("resnet20"), machine) for machine in (array, at_node(array, 7)))
    assert here.latency_ms == there.latency_ms
    assert energy_by_component(there)["DRAM"] == energy_by_component(here)["DRAM"]
    assert energy_by_component(there)["multiply-accumulate"] < energy_by_component(here)["multiply-accumulate"]
    assert "modelled" in there.energy_basis
    assert at_node(array, 28).mac_energy_pj.band == array.mac_energy_pj.band


def test_a_measured_machine_is_not_scaled() -> None:
    with pytest.raises(
        CostModelError, match="'cpu-seal': its coefficients were measured, so there is no node to scale from"
    ):
        at_node(load_architecture("cpu-seal"), 7)


positive = st.floats(1e-6, 1e6)


@settings(max_examples=40)
@given(values=st.lists(st.tuples(positive, positive), min_size=1, max_size=6))
def test_charts_escape_what_they_are_given_and_stay_within_their_width(values: list[tuple[float, float]]) -> None:
    bars = [("<b>", value, value / 2, value * 2) for value, _ in values]
    points = [("a&b", x, y) for x, y in values]
    for chart in (
        log_bars(bars, "ms"),
        stacked_shares([("<i>", {"part": value}) for value, _ in values], "mJ"),
        log_points(points, ("x", "y"), (1e6, 1.0)),
    ):
        parser = _Tags()
        parser.feed(chart)
        assert parser.tags[0] == "svg" and not {"b", "i", "script"} & set(parser.tags)
        assert all(-1 <= x <= 761 for x in parser.places)


def test_charts_of_nothing_are_empty() -> None:
    assert log_bars([], "ms") == stacked_shares([], "mJ") == log_points([], ("x", "y")) == ""


class _Tags(HTMLParser):
    """Tags in order, positions of rectangles and points, and everything that would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.places: list[float] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = {name: value or "" for name, value in attrs}
        self.fetched += [values[name] for name in ("src", "href", "srcset", "data") if name in values]
        if tag in ("rect", "circle"):
            self.places += [float(values[name]) for name in ("x", "cx") if name in values]


def test_the_page_fetches_nothing_and_says_what_is_modelled(
    make_plan: Callable[..., Plan], tiny_network: Network
) -> None:
    comparison = compare([tiny_network, make_plan([(Kind.ROTATE, "conv"), (Kind.ADD, "fc")])], MACHINES)
    report = {
        "about": {
            "source": {"name": "<tiny>"}, "accuracy_before": 0.9, "accuracy_after": 0.89, "test_images": 100,
            "history": [{"method": "opq", "options": {"sparsity": 0.5}}],
        },
        "poly_modulus_degree": 8192, "security_bits": 128, "rotations": 3,
        "plain_workload": json.loads(json.dumps(plain_workload(tiny_network).to_json())),
        "layers": [{"layer": "conv", "level": 3, "rotate": 2, "conjugate": 1, "predicted_ms": 1.5}],
    }  # fmt: skip
    page = report_page(report, comparison, [load_architecture(name) for name in MACHINES])
    parser = _Tags()
    parser.feed(page)
    assert parser.fetched == [] and "script" not in parser.tags and "@import" not in page and "url(" not in page
    assert parser.tags.count("svg") == 4  # latency, energy, shares, eyeriss' roofline; sharp's data stays on its chip
    for text in (
        "&lt;tiny&gt;",
        "90.00%",
        "opq",
        "sparsity 0.5",
        "8,192",
        "128-bit security",
        "No energy was measured",
        "<td>rotations, conjugations included</td><td>3</td>",
        "<td>conv</td><td>3</td><td>3</td>",
    ):
        assert text in page


def test_a_bundle_without_its_workload_still_has_a_page(make_plan: Callable[..., Plan]) -> None:
    comparison = compare(make_plan([(Kind.ADD, "fc")]), ["sharp"])
    assert "<h2>Costs" in report_page({}, comparison, [load_architecture("sharp")])


def test_pictures_are_written(table: VariantTable, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    comparison = table.variants[0].comparison
    machines = {name: load_architecture(name) for name in MACHINES}
    save_energy_plot(comparison, tmp_path / "energy.png")
    save_roofline_plot(comparison, machines, tmp_path / "roofline.png")
    save_pareto_plot(table, "sharp", tmp_path / "pareto.png")
    save_waterfall_plot(table, "eyeriss", "sharp", tmp_path / "waterfall.png")
    names = {path.name for path in tmp_path.iterdir() if path.read_bytes().startswith(b"\x89PNG")}
    assert names == {"energy.png", "roofline.png", "pareto.png", "waterfall.png"}


def test_a_picture_of_nothing_is_an_error(table: VariantTable, tiny_network: Network, tmp_path: Path) -> None:
    with pytest.raises(
        CostModelError, match="no machine here moves bytes for a layer, so there is no roofline; add an array"
    ):
        cpu = compare(tiny_network, ["cpu-seal"])
        save_roofline_plot(cpu, {"cpu-seal": load_architecture("cpu-seal")}, tmp_path / "r.png")
    with pytest.raises(CostModelError, match="no version has both an accuracy and an encrypted latency on 'eyeriss'"):
        save_pareto_plot(table, "eyeriss", tmp_path / "p.png")
