"""Several workers as one hub: a message reaches the sockets of all of them, and each has a port to be watched at."""

import asyncio
import re
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from tests.bus.servers import Server, need
from tests.edge_client import Wire, request
from tests.examples.conftest import make_place
from tests.fault.conftest import install
from tests.fault.peers import socket_to, succeed
from tests.fault.process import free_port
from tests.waiting import WAIT_S, until

__all__ = ["install"]

pytestmark = pytest.mark.slow

WORKERS = 2
SOCKETS = 16
"""So many of them are with one worker only once in 32,768 times."""


@pytest.fixture
async def redis(tmp_path):
    """A Redis for the workers of one test."""
    need("redis-server")
    (tmp_path / "redis").mkdir()
    server = Server(tmp_path / "redis")
    try:
        await server.start()
        yield server
    finally:
        await server.kill()


def free_ports():
    """A port before ports that are free."""
    while True:
        ports = [free_port() for _ in range(WORKERS + 1)]
        if ports[-1] - ports[0] == WORKERS:
            return ports[0]


class Workers:
    """A hub of several workers.

    Attributes:
        hub: the process that started them.
        aside: worker k answers on the port ``aside + k``.
    """

    def __init__(self, installation, aside):
        self.hub = installation.hub
        self.key = installation.key
        self.aside = aside

    @property
    def log(self):
        return self.hub.log

    def pids(self):
        """The processes of the workers, in no order."""
        with suppress(OSError):
            tasks = Path(f"/proc/{self.hub.pid}/task").iterdir()
            return {int(pid) for task in tasks for pid in (task / "children").read_text().split()}
        return set()

    async def ready(self):
        async def all_ready():
            return "listens on" in self.log

        await until(all_ready, within_s=3 * WAIT_S)

    async def says(self, text, times=1):
        async def said():
            return self.log.count(text) >= times

        await until(said, within_s=3 * WAIT_S)

    async def ask(self, number, path="/metrics"):
        """What a worker says on its own port."""
        wire = await Wire.connect(self.aside + number)
        await wire.write(request(path, [("Host", "hub"), ("Connection", "close")]))
        response = await wire.response()
        wire.close()
        return response

    async def metric(self, number, name):
        text = (await self.ask(number)).body.decode()
        return float(re.search(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M)[1])

    async def connected(self, stack):
        """An administrator's socket."""
        one = await stack.enter_async_context(socket_to(self.hub.port, extended=True, open_timeout=3 * WAIT_S))
        await succeed(one, "authenticate", accessKey=self.key)
        return one


@pytest.fixture
async def workers(install, redis):
    """Two workers, on an address of theirs."""
    aside = free_ports()
    installation = await install(
        HUB_WORKERS=str(WORKERS),
        HUB_BUS_URL=redis.url,
        HUB_WORKER_METRICS_PORT=str(aside),
        HUB_HEARTBEAT_S="0.2",
        HUB_LEASE_S="1",
    )
    workers = Workers(installation, aside)
    await workers.ready()
    yield workers
    pids = workers.pids()
    await installation.hub.kill()
    await gone(pids)


async def gone(pids):
    """Wait until these processes have ended."""

    async def ended():
        return not [pid for pid in pids if is_running(pid)]

    await until(ended, within_s=3 * WAIT_S)


def is_running(pid):
    """Zombies do not run; where nobody waits for orphans, they stay."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# --- one address ------------------------------------------------------------------------------------------------------


async def test_connections_are_spread_over_the_workers(workers):
    """Each takes its share of what comes to the one address, and says who it is on a port of its own."""
    async with AsyncExitStack() as stack:
        for _ in range(SOCKETS):
            await workers.connected(stack)

        shares = [await workers.metric(number, "hub_connections") for number in (1, 2)]

    infos = [(await workers.ask(number)).body.decode() for number in (1, 2)]
    lanes = {re.search(r'hub_worker_info{lane="(\d+)",run="\w+",worker="(\d)"}', info).groups() for info in infos}
    assert sum(shares) == SOCKETS
    assert all(shares)
    assert {number for _, number in lanes} == {"1", "2"}
    assert len({lane for lane, _ in lanes}) == 2


async def test_a_message_reaches_the_sockets_of_all_workers(workers):
    """Wherever it comes in, once each."""
    async with AsyncExitStack() as stack:
        sockets = [await workers.connected(stack) for _ in range(SOCKETS)]
        for one in sockets:
            await succeed(one, "notification/subscribe", deviceGuids=["lamp"])
        sender = await workers.connected(stack)

        await succeed(sender, "notification/insert", deviceGuid="lamp", notification={"notification": "light"})

        async with asyncio.timeout(WAIT_S):
            heard = [await one.recv() for one in sockets]
    assert all('"light"' in text for text in heard)


async def test_one_banner_and_numbered_logs(workers):
    """The terminal shows one hub; a line of the log says which worker has written it."""
    assert workers.log.count("The hub listens on") == 1
    assert "2 workers serve it" in workers.log
    await workers.says('"worker": 1')
    await workers.says('"worker": 2')


async def test_a_worker_s_own_port_is_for_watching_it(workers):
    """Health, metrics, the slowest sockets; no WebSockets."""
    assert (await workers.ask(1, "/ready")).json()["bus"] == "up"
    assert (await workers.ask(2, "/slowest?n=100")).json() == {"worker": 2, "slowest": []}
    assert (await workers.ask(1, "/slowest?n=101")).status == 400
    wire = await Wire.connect(workers.aside + 1)
    await wire.write(request("/websocket/client"))
    assert (await wire.response()).status == 404
    wire.close()


# --- without the bus --------------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path):
    """A directory to start a hub in."""
    with make_place(tmp_path) as place:
        yield place


async def test_without_its_bus_a_hub_of_several_workers_starts_all_the_same(place):
    """Redis is away: its workers are ready, and say so."""
    hub = await place.serve("--workers", "2", "--bus", "redis://127.0.0.1:1")
    wire = await Wire.connect(hub.port)
    await wire.write(request("/ready", [("Host", "hub"), ("Connection", "close")]))
    answer = await wire.response()
    wire.close()

    await hub.stop()

    assert (answer.status, answer.json()["bus"]) == (200, "away")
    assert "Traceback" not in hub.program.err
