"""Architecture files: all shipped ones load, and errors in a file are named."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from compress.errors import CostModelError
from hwmodel.architecture import KINDS, kernel_times
from hwmodel.architecture_file import ARCHITECTURES, list_architectures, load_architecture, parse_architecture


@pytest.fixture
def eyeriss() -> dict[str, Any]:
    return copy.deepcopy(yaml.safe_load((ARCHITECTURES / "eyeriss.yaml").read_text(encoding="utf-8")))


def test_every_shipped_architecture_loads_and_every_coefficient_has_a_source() -> None:
    assert set(list_architectures()) == {
        "a100", "a100-ckks", "ark", "cortex-a76", "cpu-engine", "cpu-seal", "craterlake", "eie", "eyeriss", "sharp",
        "tpu-v1",
    }  # fmt: skip
    for name in list_architectures():
        machine = load_architecture(name)
        assert machine.name == name
        for coefficient in machine.coefficients().values():
            assert coefficient.source and coefficient.kind in KINDS
            assert coefficient.low <= coefficient.value <= coefficient.high


def test_a_users_own_file_loads_by_path(tmp_path: Path, eyeriss: dict[str, Any]) -> None:
    eyeriss["name"] = "mine"
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(eyeriss), encoding="utf-8")
    assert load_architecture(path).name == "mine"


def test_kernel_times_are_the_values_of_the_file() -> None:
    machine = load_architecture("cpu-seal")
    assert kernel_times(machine).butterfly_ns == machine.coefficients()["butterfly_ns"].value > 0


def test_only_a_cpu_has_kernel_times() -> None:
    with pytest.raises(CostModelError, match="'eyeriss': family 'plain-array' has no kernel times; use one of family"):
        kernel_times(load_architecture("eyeriss"))


def test_an_unknown_name_is_refused_with_the_list_of_names() -> None:
    with pytest.raises(
        CostModelError, match="'warp-drive' is unknown; use one of .*eyeriss.* or the path of a YAML file"
    ):
        load_architecture("warp-drive")


def test_a_file_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("a: [1, 2", encoding="utf-8")
    with pytest.raises(CostModelError, match="broken.yaml: not a readable YAML file"):
        load_architecture(path)


def _drop_field(document: dict[str, Any]) -> None:
    del document["coefficients"]["clock_hz"]


def _unknown_field(document: dict[str, Any]) -> None:
    document["coefficients"]["clock_mhz"] = document["coefficients"]["clock_hz"]


def _swap_units(document: dict[str, Any]) -> None:
    first, second = document["coefficients"]["clock_hz"], document["coefficients"]["mac_energy_pj"]
    first["unit"], second["unit"] = second["unit"], first["unit"]


def _coefficient(name: str, **changes: object) -> Any:
    return lambda document: document["coefficients"][name].update(changes)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_drop_field, "f.yaml: coefficients: missing field 'clock_hz'; the section needs .*utilization"),
        (_unknown_field, "f.yaml: coefficients: unknown field 'clock_mhz'; the section allows .*clock_hz"),
        (_swap_units, "f.yaml: coefficients.clock_hz: unit: got 'pJ/MAC'; allowed: 'Hz'; convert value, low and high"),
        (lambda d: d.update(family="quantum"), "f.yaml: family: got 'quantum'; allowed: plain-array, cpu-seal"),
        (lambda d: d.update(format=2), "f.yaml: format: got 2; this version reads 1"),
        (lambda d: d.update(title=""), "f.yaml: title: got ''; allowed: a text that is not empty"),
        (lambda d: d.update(extra=1), "f.yaml: unknown field 'extra'; the file allows"),
        (
            lambda d: d.update(coefficients=[1]),
            "f.yaml: coefficients: the section must be a mapping of names, got list",
        ),
        (
            _coefficient("clock_hz", kind="guessed"),
            "clock_hz: kind: got 'guessed'; allowed: measured, cited, derived, modelled",
        ),
        (_coefficient("clock_hz", source=" "), "clock_hz: source: got ' '; allowed: a text that is not empty"),
        (_coefficient("clock_hz", value="200e6"), "clock_hz: value: got '200e6'; allowed: a finite number"),
        (_coefficient("clock_hz", value=-1.0), "clock_hz: value: got -1.0; allowed: a finite number, at least 0"),
        (_coefficient("clock_hz", low=3e8), "clock_hz: got low 3e.08, value 2e.08.*allowed: low <= value <= high"),
        (_coefficient("clock_hz", low=0), "coefficients.clock_hz: low: got 0; work is divided by it, allowed: above 0"),
        (_coefficient("packs_weights", value=0.5, high=1), "packs_weights: got 0.5; a flag is 0 or 1"),
        (_coefficient("utilization", high=1.5), "utilization: high: got 1.5; a share is at most 1"),
        (
            lambda d: d.update(mapping="snake"),
            "mapping: got 'snake'; allowed: row-stationary, weight-stationary, vector",
        ),
        (_coefficient("clock_hz", note="x"), "clock_hz: unknown field 'note'; the coefficient allows high, kind, low"),
    ],
)
def test_a_wrong_file_is_refused_with_the_field_and_what_is_allowed(
    damage: Any, message: str, eyeriss: dict[str, Any]
) -> None:
    damage(eyeriss)
    with pytest.raises(CostModelError, match=message):
        parse_architecture(eyeriss, "f.yaml")


def test_a_file_that_holds_no_mapping_is_refused() -> None:
    with pytest.raises(CostModelError, match="f.yaml: the file must be a mapping of names, got list"):
        parse_architecture([], "f.yaml")
