"""``hub serve --workers N`` as whoever runs it sees it: its start, its end, and the replacement of its workers."""

import asyncio
import json
import os
import signal
import socket
from contextlib import closing, suppress
from pathlib import Path

import pytest

from hub.client import Registration, connect
from tests.bus.servers import Server
from tests.examples.programs import START_S, InTerminal, Place
from tests.fault.ledger import Ledger
from tests.fault.peers import Follower, Producer, running
from tests.waiting import WAIT_S, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

HURRY = {"HUB_ACCEPTS_PER_S": "0", "HUB_ACCEPTS_PER_KEY_PER_S": "0", "HUB_LOG_FORMAT": "json"}
"""Clients here come back as fast as they can, with the same few keys."""


def children(pid: int) -> list[int]:
    """The processes that a process has started and not buried."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # It has ended meanwhile.
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
    return sorted(found)


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


class Crew:
    """A hub of several workers.

    Attributes:
        served: what its start has shown.
    """

    def __init__(self, place: Place, bus: str) -> None:
        self._place = place
        self._bus = bus
        self._seen: set[int] = set()

    async def start(self, workers: int = 2, **environ: str) -> "Crew":
        said = ["--workers", str(workers), "--bus", self._bus]
        self.served = await self._place.serve(*said, **{**HURRY, **environ})
        assert len(self.workers) == workers
        return self

    @property
    def process(self):
        return self.served.program.process

    @property
    def workers(self) -> list[int]:
        """Their process ids."""
        now = children(self.process.pid)
        self._seen.update(now)
        return now

    def logged(self, event: str) -> list[dict[str, object]]:
        """The lines of this event."""
        lines = [json.loads(line) for line in self.served.program.err.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    async def logs(self, event: str, times: int = 1) -> None:
        """Wait until it has logged this."""

        async def logged() -> bool:
            return len(self.logged(event)) >= times

        await until(logged, within_s=2 * START_S)

    async def ask(self) -> str | None:
        """One request over a connection of its own; None if it is answered, what was wrong otherwise."""
        try:
            async with asyncio.timeout(WAIT_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.served.port)
                with closing(writer):
                    writer.write(b"GET /livez HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n")
                    answer = await reader.read()
        except (OSError, TimeoutError) as exc:
            return repr(exc)
        return None if answer.startswith(b"HTTP/1.1 200 ") else f"answered {answer[:100]!r}"

    async def gone(self) -> None:
        """Wait until no worker is left, whether the supervisor lives or not."""

        async def ended() -> bool:
            return not any(lives(pid) for pid in self._seen)

        await until(ended, within_s=2 * WAIT_S)

    async def close(self) -> None:
        """End whatever is left of it."""
        if self.served.program.code is None:
            assert self.workers is not None, "those that live now are known"
            await self.served.stop()
        await self.gone()


@pytest.fixture
async def crew(tmp_path):
    """A hub of several workers with a Redis of its own: ``await crew.start()``. It ends with the test."""
    here, logs = tmp_path / "here", tmp_path / "logs"
    here.mkdir()
    logs.mkdir()
    redis = Server(tmp_path)
    with closing(Place(here, logs)) as place:
        try:
            await redis.start()
            crew = Crew(place, redis.url)
            yield crew
            if hasattr(crew, "served"):
                await crew.close()
        finally:
            await redis.kill()


async def saved_devices(crew: Crew, *guids: str) -> None:
    await crew._place.run("hub", "network", "create", "home")
    async with connect(crew.served.url, access_key=crew.served.key) as client:
        for guid in guids:
            await client.save_device(guid, Registration(name=guid, device_class="thing", network="home"), key=guid)


# --- the start --------------------------------------------------------------------------------------------------------


async def test_a_first_start_makes_one_administrator_and_shows_one_banner(crew):
    """One worker prepares the database before the others look at it; its key is the profile's, and works."""
    await crew.start(workers=3)

    shown = crew.served.program.out
    profile = json.loads((crew._place.path / "hub-profile.json").read_text())
    assert (shown.count("The hub listens on"), shown.count("administrator"), shown.count("3 workers")) == (1, 1, 1)
    assert (profile["accessKey"], profile["url"]) == (crew.served.key, crew.served.url)
    assert crew.served.key not in crew.served.program.err
    async with connect(crew.served.url, login=crew.served.login, password=crew.served.password) as client:
        assert await client.server_info()


async def test_a_worker_is_told_no_secret_by_its_arguments(crew):
    """Everybody on the host may read them."""
    await crew.start()

    arguments = Path(f"/proc/{crew.workers[0]}/cmdline").read_text().split("\0")

    assert "redis" not in " ".join(arguments)


async def test_workers_that_cannot_start_end_the_hub_with_a_reason(crew):
    """At once: what a single hub says of its settings is as true of several workers."""
    await crew.start()
    await crew.close()
    (crew._place.path / "hub.pepper").unlink()

    done = await crew._place.run("hub", "serve", "--workers", "2", "--bus", crew._bus, code=3, HUB_PORT="0")

    assert done.err.splitlines()[-1].startswith("hub: the pepper file")
    assert not done.out


# --- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_all_workers(crew, number):
    """Each closes its sockets as a single hub does, and the exit code is 0."""
    await crew.start()
    assert crew.workers
    closes = []
    async with connect(crew.served.url, access_key=crew.served.key) as client:
        assert client.connected

        crew.process.send_signal(number)
        await crew.served.program.ends(0)
        closes = crew.logged("draining")

    await crew.gone()
    assert sum(line["connections"] for line in closes) == 1
    assert {1, 2} == {line["worker"] for line in crew.logged("stopped")}


async def test_a_terminal_that_goes_away_ends_the_hub(crew):
    """Its SIGHUP is nobody's wish for new workers; a hub without workers ends, too."""
    said = ["--workers", "2", "--bus", crew._bus]
    program = crew._place.start("hub", "serve", *said, of=InTerminal, HUB_PORT="0", HUB_DRAIN_S="0", **HURRY)
    await program.prints("hub tail")
    workers = children(program.process.pid)

    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), program._ours)
    program.process.send_signal(signal.SIGHUP)
    await program.ends(0)

    assert not any(lives(pid) for pid in workers)


async def test_a_signal_during_the_start_ends_it(crew):
    """What has started the workers waits for nobody who has not begun."""
    program = crew._place.start("hub", "serve", "--workers", "2", "--bus", crew._bus, HUB_PORT="0", **HURRY)

    async def begun() -> list[int]:
        return children(program.process.pid)

    workers = await until(begun, within_s=START_S)
    program.process.send_signal(signal.SIGTERM)
    await program.ends(0)

    assert not any(lives(pid) for pid in workers)


# --- replacement ------------------------------------------------------------------------------------------------------


async def test_sighup_replaces_all_workers_and_refuses_nobody(crew):
    """Clients that connect all the time notice nothing."""
    await crew.start()
    before, troubles, asked = crew.workers, [], 0

    async def visit() -> None:
        nonlocal asked
        while True:
            trouble = await crew.ask()
            asked += 1
            if trouble is not None:
                troubles.append(trouble)

    async with running(visit, visit, visit):
        crew.process.send_signal(signal.SIGHUP)
        await crew.logs("a worker was replaced", times=2)

    assert not troubles, (asked, troubles[:5])
    assert asked > 100
    assert not set(before) & set(crew.workers)


async def test_what_was_acknowledged_reaches_a_dashboard_across_replacements(crew):
    """Device and dashboard are sent away by worker after worker, come back, and nothing is missing."""
    await crew.start()
    await saved_devices(crew, "lamp", "fan")
    book, port, who = Ledger(), crew.served.port, {"accessKey": crew.served.key}
    producer = Producer(book, port, "notification", ["lamp", "fan"], **who)
    producer.pause_s = 0.005
    dashboard = Follower(book, "dashboard", port, "notification", by="since", **who)

    async def produced(count: int) -> None:
        async def enough() -> bool:
            return len(book.acknowledged) >= count

        await until(enough, within_s=3 * WAIT_S)

    async with running(producer.run, dashboard.run) as (producing, _):
        for rolls in (1, 2):
            await produced(len(book.acknowledged) + 50)
            crew.process.send_signal(signal.SIGHUP)
            await crew.logs("a worker was replaced", times=2 * rolls)
        await produced(len(book.acknowledged) + 50)
        producer.stop()
        await asyncio.wait_for(producing, WAIT_S)

        async def caught_up() -> bool:
            return not book.missing("dashboard", ["lamp", "fan"])

        await until(caught_up, within_s=3 * WAIT_S)

    assert not producer.refused
    assert dashboard.connections > 1


async def test_a_successor_that_cannot_start_changes_nothing(crew):
    """A mistake in what is read anew is told, and the workers that run go on."""
    await crew.start()
    before = crew.workers
    (crew._place.path / "hub.toml").write_text("no_such_setting = 1\n")

    crew.process.send_signal(signal.SIGHUP)
    await crew.logs("a worker could not be replaced and stays", times=2)

    assert before == crew.workers
    assert await crew.ask() is None


def test_a_slot_of_a_dead_worker_takes_connections():
    """The queue belongs to the socket that the supervisor keeps, not to the process that listened on it."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        with kept.dup() as inherited:
            inherited.listen()

        with socket.create_connection(kept.getsockname(), timeout=WAIT_S) as waiting:
            taken, address = kept.accept()

            assert address == waiting.getsockname()
            taken.close()
