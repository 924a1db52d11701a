"""The platform's energy counter: it is read where there is one, followed when it starts again, never made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cipherpress.timing.energy import measured_energy, package_zones


def zone(root: Path, folder: str, name: str, energy_uj: int, range_uj: int = 1_000_000) -> Path:
    """A folder as powercap lays it out."""
    path = root / folder
    path.mkdir()
    for file, value in (("name", name), ("energy_uj", energy_uj), ("max_energy_range_uj", range_uj)):
        (path / file).write_text(f"{value}\n")
    return path / "energy_uj"


def test_packages_are_summed_and_their_parts_are_not(tmp_path: Path) -> None:
    first, second = zone(tmp_path, "intel-rapl:0", "package-0", 100), zone(tmp_path, "intel-rapl:1", "package-1", 5)
    core = zone(tmp_path, "intel-rapl:0:0", "core", 50)
    found: dict[str, Any] = {}
    with measured_energy(found, tmp_path):
        first.write_text("400100")
        second.write_text("200005")
        core.write_text("999999")
    assert found == {"package_energy_j": pytest.approx(0.6), "energy_method": "rapl_package"}


def test_a_counter_that_starts_again_is_followed(tmp_path: Path) -> None:
    counter = zone(tmp_path, "intel-rapl:0", "package-0", 999_900, range_uj=999_999)
    found: dict[str, Any] = {}
    with measured_energy(found, tmp_path):
        counter.write_text("400")
    assert found["package_energy_j"] == pytest.approx(500e-6)


def test_without_a_counter_there_is_no_figure(tmp_path: Path) -> None:
    (tmp_path / "intel-rapl:0").mkdir()  # a zone without its files
    found: dict[str, Any] = {}
    with measured_energy(found, tmp_path), measured_energy(found, tmp_path / "nowhere"):
        pass
    assert not found and not package_zones(tmp_path)
