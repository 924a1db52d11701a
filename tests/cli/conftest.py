"""One small network and all its artifacts, made once per session by the real commands."""

import pytest

from tests.small_road import Road, take_road


@pytest.fixture(autouse=True)
def no_progress_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine any command may take long enough to print a progress line; test_output.py tests those lines."""
    monkeypatch.setattr("cipherpress.commands.console.SECONDS_BETWEEN_LINES", float("inf"))


@pytest.fixture(scope="session")
def road(tmp_path_factory: pytest.TempPathFactory) -> Road:
    return take_road(tmp_path_factory.mktemp("road"))
