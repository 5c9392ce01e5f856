"""Hubs that start on one database: at the same time, with different secrets, and with nothing between them."""

import asyncio

import pytest

from hub.client import connect
from tests import postgres
from tests.examples.conftest import make_place
from tests.fault.process import free_port

pytestmark = pytest.mark.slow

PEPPER = "a pepper that nobody else has 0123456789"
NO_BUS_THERE = "redis://:geheim@127.0.0.1:1"


@pytest.fixture
def place(tmp_path):
    """A directory to start hubs in."""
    with make_place(tmp_path) as place:
        yield place


@pytest.fixture(scope="module")
def server():
    with postgres.running() as server:
        yield server


@pytest.fixture
def database(server):
    """The address of an empty database, with a password in it."""
    with server.database() as url:
        yield server.address(postgres.name_of(url))


def serve(place, **environ):
    return place.start("hub", "serve", **{"HUB_PORT": str(free_port()), "HUB_DRAIN_S": "0", **environ})


async def test_hubs_that_start_at_once_make_one_administrator(place, database):
    """Exactly one of them shows a key, and it opens all of them; the password of no address is said."""
    environ = {"HUB_DATABASE_URL": database, "HUB_PEPPER": PEPPER, "HUB_BUS_URL": NO_BUS_THERE}
    hubs = [serve(place, **environ) for _ in range(3)]
    said = await asyncio.gather(*(hub.prints("hub tail\n") for hub in hubs))

    (first,) = [text for text in said if "First start" in text]
    key = first.partition("access key      ")[2].split()[0]
    for text in said:
        async with connect(text.partition(" and ")[2].split()[0], access_key=key) as hub:
            assert await hub.server_info()
    everything = "".join([*said, *(hub.err for hub in hubs)])
    assert not [secret for secret in (postgres.PASSWORD.replace(" ", "%20"), "geheim") if secret in everything]


async def test_a_hub_with_another_pepper_does_not_start(place, database):
    """It would refuse every key; it says what it needs instead."""
    first = serve(place, HUB_DATABASE_URL=database, HUB_PEPPER=PEPPER)
    await first.prints("hub tail\n")

    second = serve(place, HUB_DATABASE_URL=database, HUB_PEPPER=PEPPER[::-1], HUB_BUS_URL=NO_BUS_THERE)
    await second.ends(3)

    assert "the pepper is not the one of this database" in second.err
    assert "Traceback" not in second.err


async def test_commands_work_on_postgresql(place, database):
    """Migrate, doctor, and changes beside a hub."""
    environ = {"HUB_DATABASE_URL": database, "HUB_PEPPER": PEPPER, "HUB_PORT": str(free_port())}

    looked = await place.run("hub", "migrate", "--check", code=1, **environ)
    early = await place.run("hub", "doctor", code=0, **environ)
    migrated = await place.run("hub", "migrate", **environ)
    again = await place.run("hub", "migrate", "--check", **environ)
    hub = serve(place, **environ)
    await hub.prints("hub tail\n")
    await place.run("hub", "network", "create", "home", **environ)
    networks = await place.run("hub", "network", "list", **environ)
    doctor = await place.run("hub", "doctor", **environ)

    assert "the schema is empty" in looked.out
    assert "empty; its tables will be made" in early.out
    assert "from empty to" in migrated.out
    assert "nothing is to be done" in again.out
    assert "home" in networks.out
    assert "postgresql 1" in doctor.out
    assert "they were made with this pepper" in doctor.out
    assert "geheim" not in doctor.out


async def test_without_a_pepper_commands_on_postgresql_make_none(place, database):
    """Its keys would be worthless."""
    told = await place.run("hub", "user", "list", code=1, HUB_DATABASE_URL=database)

    assert "hub.pepper is missing" in told.err
    assert not (place.path / "hub.pepper").exists()


async def test_a_postgresql_that_is_away_is_told(place):
    """Where it was sought, without the password, and exit code 3."""
    hub = serve(place, HUB_DATABASE_URL="postgresql://hub:geheim@127.0.0.1:1/hub", HUB_PEPPER=PEPPER)
    await hub.ends(3)

    assert "127.0.0.1:1/hub cannot be opened" in hub.err
    assert "geheim" not in hub.err
    assert "Traceback" not in hub.err


@pytest.mark.parametrize("buses", [("", NO_BUS_THERE), (NO_BUS_THERE, "")], ids=["alone first", "alone second"])
async def test_a_hub_without_a_bus_shares_its_sqlite_database_with_nobody(place, buses):
    """Whichever comes first: they would not hear of each other."""
    first = serve(place, HUB_BUS_URL=buses[0])
    await first.prints("hub tail\n")

    second = serve(place, HUB_BUS_URL=buses[1])
    await second.ends(3)

    assert "another hub runs on hub.db" in second.err
    assert "HUB_BUS_URL" in second.err


async def test_hubs_with_a_bus_share_a_sqlite_database(place):
    """On one host, each on an address of its own."""
    hubs = [serve(place, HUB_BUS_URL=NO_BUS_THERE) for _ in range(2)]

    said = await asyncio.gather(*(hub.prints("hub tail\n") for hub in hubs))

    assert sum("First start" in text for text in said) == 1
