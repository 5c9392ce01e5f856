"""Places to start programs in."""

import pytest

from tests.examples.programs import Place


@pytest.fixture
def place(tmp_path):
    """An empty directory; what is started in it ends with the test."""
    here, logs = tmp_path / "here", tmp_path / "logs"
    here.mkdir()
    logs.mkdir()
    place = Place(here, logs)
    yield place
    place.close()
