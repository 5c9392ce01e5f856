"""compose.yaml: what it says, done with plain processes."""

import asyncio
from contextlib import ExitStack

import pytest

from hub.client import Registration, connect, connect_device
from hub.settings_places import variable
from tests import postgres
from tests.bus.servers import Server, need
from tests.examples import compose
from tests.examples.conftest import make_place
from tests.fault.process import free_port
from tests.waiting import WAIT_S

SERVICES = compose.read()["services"]
SECRETS = {"HUB_PEPPER": "a pepper that nobody else has 0123456789", "POSTGRES_PASSWORD": "geheim"}


def test_no_secret_is_in_it():
    """Whoever has not set both hears which is missing."""
    for name, service in (("HUB_PEPPER", "hub"), ("POSTGRES_PASSWORD", "hub"), ("POSTGRES_PASSWORD", "postgres")):
        rest = {other: value for other, value in SECRETS.items() if other != name}
        with pytest.raises(compose.Unset, match=name):
            [compose.filled_in(value, rest) for value in SERVICES[service]["environment"].values()]


def test_the_hub_s_variables_are_settings():
    """And its command is one."""
    from hub.settings import Settings

    known = {variable(name) for name in Settings.model_fields}

    assert SERVICES["hub"]["environment"].keys() <= known
    assert SERVICES["hub"]["command"] == ["hub", "serve"]


def test_the_hub_waits_for_what_it_needs():
    """Both have a check of their health."""
    needed = SERVICES["hub"]["depends_on"]

    assert needed == {name: {"condition": "service_healthy"} for name in ("postgres", "redis")}
    assert all("healthcheck" in SERVICES[name] for name in needed)


@pytest.fixture(scope="module")
def database():
    """A PostgreSQL with the user, the database and the password of the file."""
    asked = SERVICES["postgres"]["environment"]
    with postgres.running() as server:
        server.do("postgres", f"CREATE DATABASE {asked['POSTGRES_DB']} OWNER {asked['POSTGRES_USER']}")
        server.do("postgres", f"ALTER USER {asked['POSTGRES_USER']} PASSWORD '{SECRETS['POSTGRES_PASSWORD']}'")
        yield server


@pytest.fixture
async def redis(tmp_path):
    """A Redis as the file starts it."""
    program, *options = SERVICES["redis"]["command"]
    need(program)
    (tmp_path / "redis").mkdir()
    server = Server(tmp_path / "redis", *options)
    try:
        await server.start()
        yield server
    finally:
        await server.kill()


@pytest.mark.slow
async def test_a_cluster_comes_up_and_a_message_crosses_it(database, redis, tmp_path):
    """Two of its hubs, as on two hosts: a command goes in at one, and the device at the other answers."""
    environ = {
        name: compose.filled_in(value, SECRETS)
        .replace("@postgres:5432", f"@127.0.0.1:{database.port}")
        .replace("//redis:6379", f"//127.0.0.1:{redis.port}")
        for name, value in SERVICES["hub"]["environment"].items()
    }
    with ExitStack() as stack:
        hubs = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            place = stack.enter_context(make_place(tmp_path / name))
            ports = {"HUB_PORT": str(free_port()), "HUB_WORKER_METRICS_PORT": ""}
            hubs.append(await place.serve(**{**environ, **ports}))
        first, second = hubs

        async with (
            asyncio.timeout(6 * WAIT_S),
            connect(first.url, access_key=first.key) as here,
            connect(second.url, access_key=first.key) as there,
        ):
            lamp = Registration(name="Lamp", device_class="lamp", network="home")
            await there.save_device("lamp", lamp, key="lamp-key")
            async with connect_device(second.url, guid="lamp", key="lamp-key") as device:
                answering = asyncio.create_task(answer(device))
                result = await here.send("lamp", "on", timeout_s=3 * WAIT_S)
                answering.cancel()
        said = "".join(hub.program.out + hub.program.err for hub in hubs)

    assert result.status == "done"
    assert not second.key, "one of them has made the administrator"
    assert not [secret for secret in SECRETS.values() if secret in said]


async def answer(device):
    async for command in device.commands():
        await command.reply("done")
