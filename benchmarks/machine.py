"""The machine that a result was measured on."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from datetime import date

from cipherpress.timing.machine import cpu_model, package_version


@dataclass(frozen=True)
class Machine:
    """Processor, memory, versions, date and load (one minute) when the measurement began."""

    cpu: str
    cores: int
    memory_bytes: int
    python: str
    packages: dict[str, str]
    date: str
    load_average: float

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def this_machine() -> Machine:
    """This machine, from /proc and the installed packages."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        cpu=cpu_model(),
        cores=os.cpu_count() or 1,
        memory_bytes=pages,
        python=platform.python_version(),
        packages={name: package_version(name) for name in ("tenseal", "torch", "numpy")},
        date=date.today().isoformat(),
        load_average=os.getloadavg()[0],
    )
