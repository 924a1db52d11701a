"""One small network, taken down the whole road once a session."""

import pytest

from tests.small_road import Road, take_road


@pytest.fixture(autouse=True)
def no_progress_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine any command may take long enough to write one; test_output.py is about them."""
    monkeypatch.setattr("cipherpress.commands.console.SECONDS_BETWEEN_LINES", float("inf"))


@pytest.fixture(scope="session")
def road(tmp_path_factory: pytest.TempPathFactory) -> Road:
    return take_road(tmp_path_factory.mktemp("road"))
