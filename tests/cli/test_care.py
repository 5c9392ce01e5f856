"""``hub backup``, ``hub doctor`` and ``hub config``: looking after an installation."""

import asyncio
import json
import resource
import socket
import sqlite3
import time

import pytest

from hub.cli import findings
from hub.cli.findings import State
from hub.settings import Settings
from hub.store.sqlite import SqliteStore
from protocol.messages import Notification
from tests.client.scripted import scripted, within

# --- backup -----------------------------------------------------------------------------------------------------------


def test_a_backup_is_a_whole_database(installation):
    """It opens, and has in it what was there; the pepper is mentioned."""
    installation.hub("network", "create", "home")

    done = installation.hub("backup", "copy.db")

    (installation.path / "copy.pepper").write_bytes((installation.path / "hub.pepper").read_bytes())
    (network,) = installation.hub("network", "list", "--json", "--database", "sqlite:///copy.db").json
    assert network["name"] == "home"
    assert "wrote copy.db" in done.out
    assert "pepper" in done.err


def test_a_backup_in_json(installation):
    """File and size."""
    told = installation.hub("backup", "copy.db", "--json").json

    assert told == {"file": "copy.db", "bytes": (installation.path / "copy.db").stat().st_size}


def test_a_backup_overwrites_nothing(installation):
    """Neither a file nor the database itself; a directory must be there."""
    before = (installation.path / "hub.db").read_bytes()

    assert "exists already" in installation.hub("backup", "hub.db", code=1).err
    assert "there is no directory" in installation.hub("backup", "nowhere/copy.db", code=1).err
    assert (installation.path / "hub.db").read_bytes() == before


def test_a_backup_of_postgresql_is_pg_dump_s(nowhere, monkeypatch):
    """The command is printed, and no password is in it."""
    monkeypatch.setenv("HUB_DATABASE_URL", "postgresql://hub:geheim@db:5433/hub?sslmode=require")

    told = nowhere.hub("backup", "copy.dump", code=1).err

    assert "pg_dump --format=custom --file=copy.dump 'postgresql://hub@db:5433/hub?sslmode=require'" in told
    assert "geheim" not in told


# --- migrate ----------------------------------------------------------------------------------------------------------


def make_older(installation):
    """A database as the first version left it."""
    from alembic import command
    from sqlalchemy import create_engine

    from hub.store.migrations import _config

    (installation.path / "hub.db").unlink()
    engine = create_engine(f"sqlite:///{installation.path}/hub.db")
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()


def test_what_is_up_to_date_is_left_alone(installation):
    """There is nothing to do, and that is no failure."""
    assert "nothing is to be done" in installation.hub("migrate").out
    assert installation.hub("migrate", "--check", "--json").json["migrated"] is False


def test_an_older_database_is_brought_up_to_date(installation):
    """Looking first changes nothing, and says so by its exit code."""
    make_older(installation)

    looked = installation.hub("migrate", "--check", "--json", code=1).json
    done = installation.hub("migrate", "--json").json

    assert (looked["before"], looked["migrated"]) == ("0001", False)
    assert (done["before"], done["migrated"]) == ("0001", True)
    assert installation.hub("migrate", "--json").json["before"] == looked["newest"]


def test_migrating_needs_no_pepper_and_makes_none(installation):
    """Keys have no part in it."""
    (installation.path / "hub.pepper").unlink()

    installation.hub("migrate")

    assert not (installation.path / "hub.pepper").exists()


def test_a_database_that_is_not_there_is_not_migrated(nowhere):
    """A hub makes one, a command does not."""
    assert "there is no database at hub.db" in nowhere.hub("migrate", code=1).err
    assert list(nowhere.path.iterdir()) == []


# --- doctor -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def free_port(monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    monkeypatch.setenv("HUB_PORT", str(number))
    return number


def report(installation, *, code=0):
    """The findings by what they are about; with several about the same, the last."""
    return {line["about"]: line for line in installation.hub("doctor", "--json", code=code).json}


def test_a_healthy_installation(installation, free_port):
    """Every line is ok, and says what was found."""
    found = report(installation)

    states = {about: line["state"] for about, line in found.items() if about not in ("descriptors", "disk")}
    assert set(states.values()) == {"ok"}
    assert set(states) == {"clock", "pepper", "database file", "database", "log", "administrators", "keys", "port"}
    assert "whole" in found["database"]["text"]
    assert found["port"]["text"] == f"127.0.0.1:{free_port} is free"
    assert "ok   administrators: 1 active" in installation.hub("doctor").out


def test_before_the_first_start(nowhere, free_port):
    """There is nothing wrong with a directory in which no hub has started, and it stays as it is."""
    found = report(nowhere)

    assert "will be made at the first start" in found["database"]["text"]
    assert "will be made at the first start" in found["pepper"]["text"]
    assert list(nowhere.path.iterdir()) == []


def test_secrets_that_others_can_read(installation, free_port):
    """A readable pepper fails; what to do is said."""
    (installation.path / "hub.pepper").chmod(0o644)
    (installation.path / "hub.db").chmod(0o640)

    found = report(installation, code=1)

    assert (found["pepper"]["state"], found["database file"]["state"]) == ("fail", "warn")
    assert found["pepper"]["todo"] == "chmod 600 hub.pepper"


def test_a_missing_pepper(installation, free_port):
    """A hub could start, but no key would work."""
    (installation.path / "hub.pepper").unlink()

    assert report(installation, code=1)["pepper"]["text"] == "hub.pepper is missing"


def test_another_pepper(installation, free_port):
    """A hub would refuse to start; the doctor says what to look for, and changes nothing."""
    installation.transact(lambda tx: tx.has_pepper())
    (installation.path / "hub.pepper").write_bytes(bytes(range(32)))

    assert "made with another pepper" in report(installation, code=1)["keys"]["text"]


def test_a_bus_that_is_away(installation, free_port, monkeypatch):
    """The address is told without its password."""
    monkeypatch.setenv("HUB_BUS_URL", f"redis://:geheim@127.0.0.1:{free_port}")

    found = report(installation, code=1)["bus"]

    assert found["state"] == "fail"
    assert f"redis://:***@127.0.0.1:{free_port}" in found["text"]
    assert "geheim" not in found["text"] + found["todo"]


def test_postgresql_that_is_away(nowhere, free_port, monkeypatch):
    """So is that of the database."""
    monkeypatch.setenv("HUB_DATABASE_URL", f"postgresql://hub:geheim@127.0.0.1:{free_port}/hub")
    monkeypatch.setenv("HUB_PEPPER", "a pepper that nobody guesses so soon")

    told = nowhere.hub("doctor", "--json", code=1)

    (found,) = (line for line in told.json if line["about"] == "database")
    assert found["state"] == "fail"
    assert f"127.0.0.1:{free_port}/hub" in found["text"]
    assert "geheim" not in told.out + told.err


def test_the_settings_are_shown_without_passwords(nowhere, monkeypatch):
    """Of addresses as of everything else."""
    monkeypatch.setenv("HUB_DATABASE_URL", "postgresql://hub:geheim@db/hub")
    monkeypatch.setenv("HUB_BUS_URL", "redis://:geheim@bus")

    shown = nowhere.hub("config", "show", "--changed").out + nowhere.hub("config", "show", "--json").out

    assert "postgresql://hub:***@db/hub" in shown
    assert "geheim" not in shown


def test_no_administrator(installation, free_port):
    """Nobody could manage the hub."""
    installation.transact(lambda tx: tx.delete_user(1))

    assert report(installation, code=1)["administrators"]["state"] == "fail"


def test_a_provider_that_does_not_know_the_hub(installation, free_port):
    """Enabled without an id or a secret, it vouches for nobody; what is not enabled is not spoken of."""
    rows = {"google.identity.allowed": "true", "google.identity.client.id": "x", "facebook.identity.allowed": "false"}
    github = {f"github.identity.{name}": "true" for name in ("allowed", "client.id", "client.secret")}

    def write(tx):
        for name, value in {**rows, **github}.items():
            tx.put_configuration(name, value)

    installation.transact(write)
    lines = installation.hub("doctor", "--json").json

    found = [(line["state"], line["text"]) for line in lines if line["about"] == "identity provider"]
    assert found == [("warn", "Google is enabled without client.secret"), ("ok", "Github is enabled")]


def test_what_is_no_database(installation, free_port):
    """Whatever else is in the file is left alone."""
    (installation.path / "hub.db").write_text("not a database, but long enough to be taken for one" * 50)

    assert report(installation, code=1)["database"]["text"].startswith("cannot be used: ")


def test_an_older_database_is_not_touched(installation, free_port):
    """Looking changes nothing; the next start would."""
    connection = sqlite3.connect(installation.path / "hub.db")
    connection.execute("UPDATE alembic_version SET version_num = '0000'")
    connection.commit()

    found = report(installation)

    assert (found["database"]["state"], "log" in found) == ("warn", False)
    assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0000",)
    connection.close()


def test_a_damaged_database(installation, free_port, monkeypatch):
    """The store's check decides."""
    checked = {"kind": "sqlite", "version": "3", "bytes": 1, "schema": "1", "newest_schema": "1", "integrity": "row 7"}

    async def check(_):
        return checked

    monkeypatch.setattr(SqliteStore, "check", check)

    assert "damaged: row 7" in report(installation, code=1)["database"]["text"]


def test_a_clock_that_stands_behind_the_log(installation, free_port):
    """Messages from the future mean that one of the two clocks was wrong."""
    installation.hub("device", "create", "lamp")
    ahead_ms = int(time.time() * 1000) + 3_600_000
    far_id = (ahead_ms - 1_577_836_800_000) * 1_000

    def work(tx):
        lamp = tx.device("lamp")
        tx.append(Notification(far_id, lamp.id, "lamp", "x", ahead_ms), lamp)

    installation.transact(work)

    found = report(installation)["log"]

    assert found["state"] == "warn"
    assert "there are messages from 3,6" in found["text"]


def test_a_clock_that_was_never_set(monkeypatch):
    """1970 cannot be right."""
    monkeypatch.setattr(time, "time_ns", lambda: 5)

    assert findings.clock().state is State.FAIL


@pytest.mark.parametrize(
    ("limits", "settings", "state"),
    [
        ((20_000, 20_000), {}, State.OK),
        ((1_024, 4_096), {}, State.WARN),
        ((1_024, 4_096), {"connections": 100}, State.OK),
        ((1_024, 4_096), {"connections": 1_000}, State.FAIL),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), {}, State.OK),
    ],
)
def test_descriptors(monkeypatch, limits, settings, state):
    """Enough of them for the connections that are promised."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)

    assert findings.descriptors(Settings(**settings)).state is state


@pytest.mark.parametrize(
    ("free", "state"), [(10**8 - 1, State.FAIL), (5 * 10**8, State.WARN), (10**9, State.WARN), (10**11, State.OK)]
)
def test_disk(monkeypatch, tmp_path, free, state):
    """Too little for an hour is a failure, too little for comfort a warning."""
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": free, "total": 10**12})())

    assert findings.disk(Settings(database_url=f"sqlite:///{tmp_path}/not/yet/hub.db")).state is state


def test_a_port_that_somebody_else_has(installation, monkeypatch):
    """Whoever answers there is no hub."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("HUB_PORT", str(taken.getsockname()[1]))
        monkeypatch.setattr(findings, "LIVELY_S", 0.1)

        assert report(installation, code=1)["port"]["state"] == "fail"


async def test_a_port_that_a_hub_has():
    """That is what one expects beside a running hub."""
    async with scripted() as hub:
        number = int(hub.url.split(":")[2].split("/")[0])
        looking = asyncio.create_task(findings.port(Settings(port=number)))
        peer = await hub.peer()
        await peer.answer(await peer.request("server/info"), info={"apiVersion": "2.0.6"})
        found = await within(looking)

    assert (found.state, found.text) == (State.OK, f"a hub answers at 127.0.0.1:{number} (API 2.0.6)")


def test_any_port_is_free():
    """Port 0 is whatever the system gives."""
    assert findings._own_url(Settings(host="::", port=1)) == "ws://[::1]:1/api/websocket"
    assert findings._own_url(Settings(host="0.0.0.0", port=1)) == "ws://127.0.0.1:1/api/websocket"


def test_warnings_of_the_settings_are_findings(installation, free_port, monkeypatch):
    """The doctor repeats what the start was loud about."""
    monkeypatch.setenv("HUB_LIMITS", "bench")

    assert report(installation)["settings"]["state"] == "warn"


# --- config -----------------------------------------------------------------------------------------------------------


def test_config_shows_values_and_where_they_come_from(nowhere, monkeypatch):
    """By the names of the environment; secrets only as being set."""
    monkeypatch.setenv("HUB_ADMIN_PASSWORD", "hunter2 hunter2")
    monkeypatch.setenv("HUB_COMPAT", "devicehive")
    (nowhere.path / "hub.toml").write_text("session.timeout = 5000\n")

    shown = nowhere.hub("config", "show", "--json")
    table = nowhere.hub("config", "show", "--changed").out

    assert "hunter2" not in shown.out + table
    values = {name: (line["value"], line["source"]) for name, line in shown.json.items()}
    assert values["HUB_SESSION_TIMEOUT"] == (5000, "hub.toml")
    assert values["HUB_ADMIN_PASSWORD"] == ("********", "environment")
    assert values["HUB_ANONYMOUS_REGISTRATION"] == ("open", "HUB_COMPAT")
    assert values["HUB_PORT"] == (8080, "default")
    assert values["HUB_PEPPER_FILE"] == (None, "default")
    assert "HUB_SESSION_TIMEOUT" in table
    assert "HUB_PORT" not in table


def test_config_check(nowhere, monkeypatch):
    """0 when a hub could start with them, 2 when not; warnings are told either way."""
    monkeypatch.setenv("HUB_DURABILITY", "queued")
    good = nowhere.hub("config", "check")
    monkeypatch.setenv("HUB_PORT", "many")
    bad = nowhere.hub("config", "check", code=2)

    assert "ok" in good.out
    assert "HUB_DURABILITY=queued" in good.err
    assert bad.err == "error: HUB_PORT (environment): must be a whole number\n"


def test_the_whole_table_can_be_read(nowhere):
    """Every setting is in it, lists and switches as an environment writes them."""
    table = nowhere.hub("config", "show").out

    assert "/api,/dh," in table
    assert all(f"HUB_{name}" in table for name in ("HOST", "METRICS", "RETENTION_ROWS_PER_DEVICE"))
    assert json.loads(nowhere.hub("config", "show", "--changed", "--json").out) == {}
