"""Energy of the processor's packages by the platform's counter (RAPL through Linux' powercap), where there is one.

A counter covers whole packages and everything that runs on them. It is read before and after a window, and nothing is
subtracted. Without a readable counter there is no figure: nothing is estimated here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POWERCAP = Path("/sys/class/powercap")
METHOD = "rapl_package"


@dataclass(frozen=True)
class Zone:
    """One package: its counter in microjoules, and the value after which the counter starts again at zero."""

    counter: Path
    range_uj: int

    def read(self) -> int:
        return int(self.counter.read_text())


def package_zones(root: Path = POWERCAP) -> tuple[Zone, ...]:
    """The packages whose counters this process may read."""
    zones = []
    for folder in sorted(root.glob("*:[0-9]*")):
        try:
            if not (folder / "name").read_text().startswith("package"):
                continue
            zone = Zone(folder / "energy_uj", int((folder / "max_energy_range_uj").read_text()))
            zone.read()
        except (OSError, ValueError):  # another kind of zone, or one that only the administrator may read
            continue
        zones.append(zone)
    return tuple(zones)


@contextmanager
def measured_energy(found: dict[str, Any], root: Path = POWERCAP) -> Iterator[None]:
    """Put the joules of the window and the method into `found`; leave it as it is where there is no counter.

    The window must be shorter than the time after which a counter starts again (minutes to hours).
    """
    zones = package_zones(root)
    before = [zone.read() for zone in zones]
    yield
    if zones:
        used = [(zone.read() - start) % (zone.range_uj + 1) for zone, start in zip(zones, before, strict=True)]
        found["package_energy_j"] = sum(used) * 1e-6
        found["energy_method"] = METHOD
