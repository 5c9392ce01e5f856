"""A hub that runs beside the tests, in a thread of its own: runs of ``hub bench`` block."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hub.app import Hub
from hub.bench.plan import Plan, Scenario
from hub.cli.bench_entities import LocalEntities
from hub.cli.local import with_store
from hub.client import Profile
from hub.client.profile import FILE_NAME
from hub.settings import Settings
from hub.store import Tx
from tests.waiting import WAIT_S


@dataclass(frozen=True)
class RunningHub:
    """A hub on a database of its own."""

    settings: Settings
    profile: Profile
    entities: LocalEntities

    def plan(self, scenario: Scenario, **chosen: object) -> Plan:
        """A small plan for this hub: fractions of a second, and no process but one."""
        small = {"duration_s": 0.4, "warmup_s": 0.1, "processes": 1, "drain_s": WAIT_S, "connect_s": WAIT_S}
        given = {"url": self.profile.url, "key": self.profile.access_key, **small, **chosen}
        return Plan(scenario=scenario, **given)  # type: ignore[arg-type]

    def holds(self) -> dict[str, list[str]]:
        """Names of everything that somebody has made in this hub, and how many messages are stored."""

        def look(tx: Tx) -> dict[str, list[str]]:
            return {
                "users": [user.login for user in tx.users()],
                "networks": [network.name for network in tx.networks()],
                "devices": [device.guid for device in tx.devices()],
                "keys": [key.label for key in tx.keys()],  # noqa: SIM118 — not a dict
            }

        with closing(sqlite3.connect(self.settings.data_directory / "hub.db")) as database:
            counts = [database.execute(f"SELECT count(*) FROM {log}").fetchone() for log in ("notification", "command")]
        return with_store(self.settings, lambda store: store.transact(look)) | {"messages": [str(counts)]}


@dataclass
class Watching:
    """A view that remembers."""

    phases: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    samples: list[object] = field(default_factory=list)
    advanced: int = 0

    def phase(self, name: str, total: int | None) -> None:
        self.phases.append(name)

    def advance(self, count: int) -> None:
        self.advanced += count

    def sample(self, sample: object) -> None:
        self.samples.append(sample)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def watching() -> Watching:
    return Watching()


@pytest.fixture(scope="module")
def running_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """One hub for the tests of a module, quick to end connections that are not read."""
    directory: Path = tmp_path_factory.mktemp("hub")
    settings = Settings(
        port=0,
        database_url=f"sqlite:///{directory / 'hub.db'}",
        limits="bench",
        outbox_wait_s=0.5,
        write_wait_s=0.5,
        drain_s=0.0,
        log_level="error",
    )
    started, stopped = threading.Event(), threading.Event()

    async def serve() -> None:
        hub = Hub(settings)
        await hub.start()
        started.set()
        await asyncio.to_thread(stopped.wait)
        await hub.stop()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert started.wait(WAIT_S), "the hub did not start"
        yield RunningHub(settings, Profile.read(directory / FILE_NAME), LocalEntities(settings))
    finally:
        stopped.set()
        thread.join(WAIT_S)
