"""No test sees kernel times that the user running it has measured: they steer which plan is chosen."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def no_measured_times(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("CIPHERPRESS_CACHE")
    os.environ["CIPHERPRESS_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["CIPHERPRESS_CACHE"]
    else:
        os.environ["CIPHERPRESS_CACHE"] = before
