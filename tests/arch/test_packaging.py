"""An installed wheel holds what a checkout holds, and version and error tree are told once."""

import importlib
import tomllib
from pathlib import Path

import pytest

import cipherpress as cp

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]
LIBRARY = ("compress", "secure", "hwmodel", "timing", "zoo")
NOT_SHIPPED = {"results", "__pycache__"}  # records of runs; what interpreter and numba compiled here


def test_every_package_is_in_the_wheel() -> None:
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in (*LIBRARY, "benchmarks")
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert set(SETUPTOOLS["packages"]) == found
    assert set(SETUPTOOLS["py-modules"]) == {"cipherpress", "cli"}


@pytest.mark.parametrize("package", [*LIBRARY, "benchmarks"])
def test_every_data_file_is_in_the_wheel(package: str) -> None:
    folder = ROOT / package
    shipped = {path for pattern in SETUPTOOLS["package-data"].get(package, []) for path in folder.glob(pattern)}
    present = {
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.suffix not in {".py", ".pyc"}
        and not NOT_SHIPPED & set(path.relative_to(folder).parts)
    }
    assert present == {path for path in shipped if path.is_file()}


def test_the_facade_refuses_a_name_it_does_not_have() -> None:
    with pytest.raises(AttributeError, match="module 'cipherpress' has no attribute 'prune'"):
        _ = cp.prune


def test_one_version() -> None:
    assert cp.__version__ == PROJECT["project"]["version"]
    assert PROJECT["project"]["scripts"]["cipherpress"] == "cli:main"


def test_every_error_can_be_imported_from_the_tree() -> None:
    errors = importlib.import_module("compress.errors")
    tree = [name for name, value in vars(errors).items() if isinstance(value, type)]
    assert all(issubclass(getattr(errors, name), cp.CipherpressError) for name in tree)
    assert all(f"- {name} " in f"{errors.__doc__} " or name in {"CipherpressError", "LayerError"} for name in tree)
