"""One small network, taken down the whole road once a session."""

import pytest

from tests.small_road import Road, take_road


@pytest.fixture(scope="session")
def road(tmp_path_factory: pytest.TempPathFactory) -> Road:
    return take_road(tmp_path_factory.mktemp("road"))
