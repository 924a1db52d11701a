"""Settings of every test.

No test sees kernel times that the user has measured, since they change the plan that is chosen. Hypothesis draws the
same examples in every run, in every order.
"""

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("tests.promised")

#: `--hypothesis-profile explore` draws new examples in every run.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile("ci")


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
