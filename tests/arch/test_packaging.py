"""An installed wheel holds what a checkout holds, and the version is the same everywhere."""

import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
from arch.rooms import INSTALLED, ROOT

import cipherpress as cp

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_a_wheel_adds_our_packages_and_the_command_and_nothing_else(tmp_path: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    source = tmp_path / "source"
    for name in filter(None, tracked.stdout.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = f"from setuptools import build_meta\nprint(build_meta.build_wheel({str(tmp_path)!r}))"
    done = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in names} == {*INSTALLED, "cli.py"}
    present = {
        path.relative_to(ROOT).as_posix()
        for package in INSTALLED
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == present | {"cli.py"}


def test_the_facade_refuses_a_name_it_does_not_have() -> None:
    with pytest.raises(AttributeError, match="module 'cipherpress' has no attribute 'prune'"):
        _ = cp.prune


def test_the_package_and_the_project_file_state_the_same_version() -> None:
    assert cp.__version__ == PROJECT["project"]["version"]
    assert PROJECT["project"]["scripts"]["cipherpress"] == "cli:main"
