"""Several workers on one address, as processes: they are replaced, and nobody who connects is refused."""

import asyncio
import os
import re
import signal
import socket
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from tests.bus.servers import Server, need
from tests.edge_client import Wire, request
from tests.examples.programs import Program
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
    assert "2 workers take turns there" in workers.log
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


# --- workers end ------------------------------------------------------------------------------------------------------


async def test_a_killed_worker_is_replaced_and_its_callers_wait(workers):
    """Who connects meanwhile is served by the successor or by another worker; nobody is refused."""
    before = workers.pids()
    os.kill(min(before), signal.SIGKILL)

    async with AsyncExitStack() as stack:
        await asyncio.gather(*(workers.connected(stack) for _ in range(SOCKETS)))

        await workers.says("a worker was started again")
        after = workers.pids()
    assert len(after) == WORKERS
    assert len(after & before) == WORKERS - 1
    assert "signal SIGKILL" in workers.log


async def test_sigterm_drains_all_workers(workers):
    """Every socket hears 1012, the exit code is 0, and no process is left."""
    pids = workers.pids()
    async with AsyncExitStack() as stack:
        sockets = [await workers.connected(stack) for _ in range(SOCKETS)]

        code = await workers.hub.stop()

        assert {await close_code(one) for one in sockets} == {1012}
    assert code == 0
    await gone(pids)
    assert "Traceback" not in workers.log


async def close_code(one):
    async with asyncio.timeout(WAIT_S):
        await one.wait_closed()
    return one.close_code


async def test_workers_end_when_nobody_looks_after_them(workers):
    """The process that started them was killed: they drain by themselves."""
    pids = workers.pids()
    async with AsyncExitStack() as stack:
        sockets = [await workers.connected(stack) for _ in range(4)]

        await workers.hub.kill()

        assert {await close_code(one) for one in sockets} == {1012}
    await gone(pids)


# --- workers that cannot start ----------------------------------------------------------------------------------------


def serve(place, **environ):
    return place.start("hub", "serve", **{"HUB_WORKERS": "2", "HUB_BUS_URL": "redis://127.0.0.1:1", **environ})


@pytest.fixture
def place(tmp_path):
    from tests.examples.conftest import make_place

    with make_place(tmp_path) as place:
        yield place


async def test_a_taken_address_is_told_before_anything_is_done(place):
    """There is no worker yet, and no database."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = serve(place, HUB_PORT=str(port))
        await program.ends(3)

    assert f"cannot listen on 127.0.0.1:{port}" in program.err
    assert not (place.path / "hub.db").exists()


async def test_a_worker_that_cannot_start_ends_the_hub_with_its_reason(place):
    """Once, in its own words, without a traceback and without a banner."""
    program = serve(place, HUB_PORT="0", HUB_DATABASE_URL="sqlite:///nowhere/hub.db")
    await program.ends(3)

    assert "nowhere" in program.err
    assert program.err.count("hub: ") == 1
    assert "Traceback" not in program.err
    assert "listens" not in program.out


async def test_another_hub_of_several_workers_does_not_share_the_address(place):
    """The kernel would let it, and each would get half of the other's connections."""
    first = serve(place, HUB_PORT=str(free_port()))
    out = await first.prints("hub tail\n")
    port = re.search(r"http://127\.0\.0\.1:(\d+)", out)[1]

    second = serve(place, HUB_PORT=port)
    await second.ends(3)

    assert f"cannot listen on 127.0.0.1:{port}" in second.err


async def test_without_its_bus_a_hub_of_several_workers_starts_all_the_same(place):
    """Redis is away: its workers are ready, and say so. Ctrl-C reaches all of them at once, and ends them in order."""
    program: Program = serve(place, HUB_PORT=str(free_port()), HUB_DRAIN_S="0")
    out = await program.prints("hub tail\n")
    port = int(re.search(r"http://127\.0\.0\.1:(\d+)", out)[1])
    wire = await Wire.connect(port)
    await wire.write(request("/ready", [("Host", "hub"), ("Connection", "close")]))
    answer = await wire.response()
    wire.close()

    os.killpg(program.process.pid, signal.SIGINT)
    await program.ends(0)

    assert (answer.status, answer.json()["bus"]) == (200, "away")
    assert out.count("First start") == 1
    assert "Traceback" not in program.err
