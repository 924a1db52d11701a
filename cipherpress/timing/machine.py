"""What a measurement of kernel times depends on: the processor, the packages that compute, and our own kernels."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType

#: Packages whose code runs inside an operation, or compiles the code that does.
PACKAGES = ("tenseal", "numba", "llvmlite", "numpy")
#: Sources of what is timed and of how it is counted. Times fitted under other counts would predict wrongly.
SOURCES = (
    "secure/engine",
    "secure/kernels/counts.py",
    "secure/kernels/engine.py",
    "secure/kernels/requests.py",
    "secure/kernels/seal.py",
    "secure/parties/encryptor.py",
    "secure/residues",
    "secure/seal/saved.py",
    "secure/seeded",
    "cipherpress/timing",
)


def cpu_model() -> str:
    """The processor's name from Linux."""
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def package_version(name: str) -> str:
    """Version of an installed package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


@lru_cache(maxsize=1)
def identity() -> Mapping[str, str]:
    """What must be equal for times to be valid: processor, Python, packages, and a sha256 over our sources."""
    packages = {name: package_version(name) for name in PACKAGES}
    return MappingProxyType(
        {"cpu": cpu_model(), "python": platform.python_version(), **packages, "sources": _sources_digest()}
    )


def _sources_digest() -> str:
    root = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for source in SOURCES:
        path = root / source
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
