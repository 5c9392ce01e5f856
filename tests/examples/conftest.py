"""Places to start programs in."""

from contextlib import closing

import pytest

from tests.examples.programs import Place


def make_place(path):
    """An empty directory, to be closed in the end; what programs print is kept beside it."""
    here, logs = path / "here", path / "logs"
    here.mkdir()
    logs.mkdir()
    return closing(Place(here, logs))


@pytest.fixture
def place(tmp_path):
    """An empty directory; what is started in it ends with the test."""
    with make_place(tmp_path) as place:
        yield place


@pytest.fixture(scope="module")
def common(tmp_path_factory):
    """A directory with a hub in it, for tests that leave both as they are."""
    with make_place(tmp_path_factory.mktemp("common")) as place:
        yield place


@pytest.fixture
async def started(common):
    """The hub in the common directory, as its first start has shown itself."""
    if common.served is None:
        await common.serve()
    return common.served
