"""Settings of every test.

Kernels are compiled once for all workers (`tests.compiled_once`), and tests that need none go first meanwhile. No test
sees kernel times that the user has measured, since they change the plan that is chosen. Hypothesis draws the
same examples in every run, in every order.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.compiled_once import WITHOUT_KERNELS, begin, compile_in_turn

pytest.register_assert_rewrite("tests.promised")

#: `--hypothesis-profile explore` draws new examples in every run.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile("ci")


#: The environment variable that tells workers where the lock files lie.
LOCKS = "CIPHERPRESS_TESTS_LOCKS"
COMPILING = pytest.StashKey[subprocess.Popen[bytes]]()


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        compile_in_turn(Path(os.environ[LOCKS]))
    elif config.getoption("numprocesses", None):
        os.environ[LOCKS] = tempfile.mkdtemp(prefix="cipherpress-locks-")
        config.stash[COMPILING] = begin(Path(os.environ[LOCKS]))


def pytest_unconfigure(config: pytest.Config) -> None:
    compiling = config.stash.get(COMPILING, None)
    if compiling is not None:
        compiling.kill()
        compiling.wait()
        shutil.rmtree(os.environ.pop(LOCKS), ignore_errors=True)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several workers, tests without kernels first; among them, and among the others, the order stays."""
    if hasattr(config, "workerinput"):
        here = Path(__file__).parent
        items.sort(key=lambda item: item.path.relative_to(here).parts[0] not in WITHOUT_KERNELS)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """A network that a test makes without a seed starts from the same weights in every order of the tests."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def no_measured_times(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("CIPHERPRESS_CACHE")
    os.environ["CIPHERPRESS_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["CIPHERPRESS_CACHE"]
    else:
        os.environ["CIPHERPRESS_CACHE"] = before
