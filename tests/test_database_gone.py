"""A hub whose database has gone, as a process: it stays, says so once, and can be told to end."""

import json
import signal
from collections import Counter

import pytest

from tests import postgres
from tests.examples.conftest import make_place
from tests.fault.process import free_port
from tests.waiting import WAIT_S, until

pytestmark = pytest.mark.slow

PEPPER = "a pepper that nobody else has 0123456789"
NO_BUS_THERE = "redis://127.0.0.1:1"


@pytest.fixture
def place(tmp_path):
    """A directory to start hubs in."""
    with make_place(tmp_path) as place:
        yield place


KILLED = "kill", "start", "a duty was put off", {}
SILENT = "pause", "resume", "the store does not answer; writes are refused until it does", {"HUB_BUS_URL": NO_BUS_THERE}


@pytest.mark.parametrize(("goes", "comes_back", "noticed", "bus"), [KILLED, SILENT], ids=["killed", "silent"])
async def test_a_hub_whose_database_has_gone_ends_in_good_order(place, goes, comes_back, noticed, bus):
    """The exit code is 0, what could not be done is said, and nothing is said twice."""
    with postgres.running() as server, server.database() as url:
        database = server.address(postgres.name_of(url))
        environ = {"HUB_DATABASE_URL": database, "HUB_PEPPER": PEPPER, **bus}
        hub = place.start("hub", "serve", HUB_PORT=str(free_port()), HUB_LOG_FORMAT="json", **environ)
        await hub.prints("hub tail\n")

        async def is_noticed():
            return noticed in {line["event"] for line in lines(hub)}

        getattr(server, goes)()
        try:
            await until(is_noticed, within_s=3 * WAIT_S)
            hub.process.send_signal(signal.SIGTERM)
            await hub.ends(0)
        finally:
            getattr(server, comes_back)()

    said = Counter((line["event"], line.get("duty")) for line in lines(hub))
    assert said["the lane could not be given back", None] == 1
    assert said["stopped", None] == 1
    assert set(said.values()) == {1}
    assert "Traceback" not in hub.err


def lines(hub):
    """What it has logged so far."""
    whole, _, _ = hub.err.rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]
