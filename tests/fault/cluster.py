"""A cluster to break: gateways, PostgreSQL and Redis as processes, and the cables between them.

PostgreSQL writes through to the disk (``fsync=on``), for it is killed here. Each cable that a test wants to pull is a
:class:`FaultProxy`; the others are not there, and cost nothing.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from hub.settings import Settings
from hub.store import LogQuery
from protocol.names import Kind
from tests import postgres
from tests.bus.servers import Server as Redis
from tests.fault.process import HubProcess
from tests.fault.proxy import FaultProxy
from tests.waiting import WAIT_S, until
from tests.websocket.conftest import PEPPER, opened, settings_for
from tests.websocket.world import Secrets, fill

HOME, AWAY = "home", "away"
"""The networks; whoever is in the one must get nothing of the other."""

FOREIGN = "stranger"
"""The device of the other network."""

CABLES = frozenset({"bus", "database", "clients"})


def world(devices: int) -> dict[str, Any]:
    """An administrator, a member of each network, a key for each of them, and devices."""
    given = {"status": None, "data": None, "blocked": False}
    people = (("admin", "ADMIN", []), ("member", "CLIENT", [HOME]), ("outsider", "CLIENT", [AWAY]))
    places = [(guid, HOME) for guid in names(devices)] + [(FOREIGN, AWAY)]
    return {
        "networks": [{"name": HOME}, {"name": AWAY}],
        "users": [
            {"login": login, "password": f"{login}-pw", "role": role, "status": "ACTIVE", "networks": networks}
            for login, role, networks in people
        ],
        "deviceClass": {"name": "Sensor", "version": "1", "isPermanent": False, "offlineTimeout": None, "data": None},
        "devices": [
            {"guid": guid, "key": f"{guid}-key", "name": guid, "network": network, **given} for guid, network in places
        ],
        "accessKeys": [{"name": login, "owner": login, "permissions": [{}]} for login, _, _ in people],
    }


def names(devices: int) -> list[str]:
    """The devices of the home network."""
    return [f"device-{number}" for number in range(devices)]


class Gateway:
    """A hub process and its cables.

    Attributes:
        cables: by name: ``bus``, ``database``, ``clients``.
    """

    def __init__(self, process: HubProcess, cables: dict[str, FaultProxy]) -> None:
        self.process = process
        self.cables = cables

    @property
    def port(self) -> int:
        """Where clients connect."""
        return self.cables["clients"].port if "clients" in self.cables else self.process.port

    async def metrics(self, http: httpx.AsyncClient | None = None) -> dict[str, float]:
        """What it tells of itself, by name; over a connection of its own, or over this one."""
        async with nullcontext(http) if http else httpx.AsyncClient(trust_env=False, timeout=WAIT_S) as asking:
            text = (await asking.get(f"http://127.0.0.1:{self.process.port}/metrics")).text
        rows = [line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, value in rows}

    async def is_ready(self) -> bool:
        with suppress(httpx.HTTPError):
            async with httpx.AsyncClient(trust_env=False, timeout=1) as http:
                return (await http.get(f"http://127.0.0.1:{self.process.port}/readyz")).status_code == 200
        return False


class Cluster:
    """Gateways on one database and one bus.

    Attributes:
        database: a PostgreSQL; None where the gateways share a file.
        secrets: of the access keys ``admin``, ``member`` and ``outsider``.
        devices: of the home network.
    """

    def __init__(
        self, gateways: list[Gateway], database: postgres.Server | None, redis: Redis, settings: Settings
    ) -> None:
        self.gateways = gateways
        self.database = database
        self.redis = redis
        self.settings = settings
        self.secrets: Secrets = {}
        self.devices: list[str] = []

    @property
    def ports(self) -> list[int]:
        return [gateway.port for gateway in self.gateways]

    async def start(self) -> None:
        """Start all gateways, and wait until they have heard of each other."""
        await asyncio.gather(*(gateway.process.start() for gateway in self.gateways))
        for gateway in self.gateways:
            await until(gateway.is_ready, within_s=3 * WAIT_S)

    async def kill_database(self) -> None:
        assert self.database is not None, "this cluster has one"
        await asyncio.to_thread(self.database.kill)

    async def start_database(self) -> None:
        assert self.database is not None, "this cluster has one"
        await asyncio.to_thread(self.database.start)

    async def sql(self, statement: str) -> str:
        """What PostgreSQL says to an operator."""
        assert self.database is not None, "this cluster has one"
        return await asyncio.to_thread(self.database.do, "hub", statement)

    async def kill_backend(self, number: int) -> None:
        """``kill -9`` one of the processes that serve the gateways; PostgreSQL then starts all of them anew."""
        found = await self.sql(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            " ORDER BY pid"
        )
        pids = [int(line) for line in found.split()]
        if pids:
            with suppress(ProcessLookupError):  # Its gateway may have been killed in this moment, too.
                os.kill(pids[number % len(pids)], signal.SIGKILL)

    async def log(self) -> dict[str, set[int]]:
        """The ids in the log, by the names of the messages."""
        found: dict[str, set[int]] = {}
        async with opened(self.settings) as store:
            for kind in Kind:
                query, complete = LogQuery(kind), False
                while not complete:
                    page = await store.read(query)
                    for logged in page.messages:
                        found.setdefault(logged.message.name, set()).add(logged.message.id)
                    query, complete = LogQuery(kind, after=page.read_to), page.complete
        return found

    def complaints(self) -> list[str]:
        """Log lines of gateways that tell of an error that nobody expected."""
        lines = [line for gateway in self.gateways for line in gateway.process.log.splitlines()]
        return [line for line in lines if "Traceback" in line or '"exception"' in line]


@asynccontextmanager
async def cluster(
    directory: Path,
    *,
    gateways: int = 2,
    devices: int = 6,
    place: str = "postgres",
    cables: Iterable[str] = (),
    module: str = "hub",
    **environ: str,
) -> AsyncIterator[Cluster]:
    """A cluster that was started, with a world in it.

    Args:
        place: of the log: ``postgres`` or ``sqlite``.
        cables: which of them can be pulled.
        module: what is run instead of the hub.
        environ: further settings, as ``HUB_…`` variables.
    """
    assert set(cables) <= CABLES
    async with AsyncExitStack() as stack:
        redis = Redis(directory)
        stack.push_async_callback(redis.kill)
        await redis.start()
        database = stack.enter_context(postgres.running("-c", "fsync=on")) if place == "postgres" else None
        settings = settings_for(directory)
        if database is not None:
            await asyncio.to_thread(database.do, "postgres", "CREATE DATABASE hub")
            settings = settings_for(directory, database_url=database.url("hub"))
        made = Cluster([], database, redis, settings)
        made.devices = names(devices)
        async with opened(settings) as store:
            made.secrets = await store.transact(lambda tx: fill(tx, world(devices)))
        common = {"HUB_PEPPER": PEPPER, "HUB_LIMITS": "bench", "HUB_DRAIN_S": "0", "HUB_BUS_PREFIX": uuid4().hex[:8]}
        # Whatever is acknowledged is looked for in the log at the end: none of it is to have been pruned by then.
        common["HUB_RETENTION_ROWS_PER_DEVICE"] = "10000000"
        for number in range(gateways):
            wires = await _wires(stack, made, cables)
            home = directory / f"gateway-{number}"
            home.mkdir()
            where = _where(made, directory, wires)
            process = HubProcess(home, module=module, **{**common, **where, **environ})
            if "clients" in cables:
                wires["clients"] = await stack.enter_async_context(FaultProxy(process.port))
            stack.push_async_callback(_end, process)
            made.gateways.append(Gateway(process, wires))
        await made.start()
        yield made


async def _wires(stack: AsyncExitStack, made: Cluster, cables: Iterable[str]) -> dict[str, FaultProxy]:
    wires: dict[str, FaultProxy] = {}
    if "bus" in cables:
        wires["bus"] = await stack.enter_async_context(FaultProxy(made.redis.port))
    if "database" in cables:
        assert made.database is not None, "a file has no cable"
        wires["database"] = await stack.enter_async_context(FaultProxy(made.database.port))
    return wires


def _where(made: Cluster, directory: Path, wires: dict[str, FaultProxy]) -> dict[str, str]:
    bus = wires["bus"].port if "bus" in wires else made.redis.port
    if made.database is None:
        database = f"sqlite:///{directory / 'hub.db'}"
    else:
        direct = made.database.address("hub")
        database = (
            direct.replace(f":{made.database.port}/", f":{wires['database'].port}/") if "database" in wires else direct
        )
    return {"HUB_BUS_URL": f"redis://127.0.0.1:{bus}", "HUB_DATABASE_URL": database}


async def _end(process: HubProcess) -> None:
    with suppress(AssertionError):
        process.resume()
        await process.kill()
