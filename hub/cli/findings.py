"""What stands in the way of a hub, and what to do about it: the findings of ``hub doctor``. Imported when needed."""

import os
import resource
import shutil
import socket
import sqlite3
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub.cli.local import existing_store, make_bus
from hub.cli.migrate import look
from hub.cli.output import told_of
from hub.core.identities import PROVIDERS
from protocol.messages import AHEAD_MS
from protocol.names import Kind
from protocol.times import format_ms

if TYPE_CHECKING:
    from hub.settings import Settings
    from hub.store import Store, Tx

MB = 1_000_000
DESCRIPTORS_ENOUGH = 20_000
LIVELY_S = 3.0
"""How long a hub on this port may take to answer."""
BUILT_MS = 1_735_689_600_000
"""2025-01-01: a clock that says less is not set."""


class State(StrEnum):
    """How a finding is meant."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        todo: what to do about it; empty where nothing is to be done.
    """

    state: State
    about: str
    text: str
    todo: str = ""


async def examine(settings: "Settings") -> list[Finding]:
    """Everything that can be found out about an installation, in the order of the report."""
    findings = [Finding(State.WARN, "settings", warning) for warning in settings.warnings()]
    findings += [descriptors(settings), clock(), disk(settings), *files(settings)]
    findings += await _with_database(settings)
    findings += await _with_bus(settings)
    findings.append(await port(settings))
    return findings


# --- the process ------------------------------------------------------------------------------------------------------


def descriptors(settings: "Settings") -> Finding:
    """Whether there are file descriptors for the connections that the settings promise."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = settings.connection_limit
    text = f"{_number(soft)} open files, so {limit} connections"
    raise_it = f"raise the limit of open files: ulimit -n {DESCRIPTORS_ENOUGH}, or LimitNOFILE= in systemd"
    if soft != resource.RLIM_INFINITY and limit > soft * 9 // 10:
        return Finding(State.FAIL, "descriptors", f"{text}: too few for HUB_CONNECTIONS", raise_it)
    if soft != resource.RLIM_INFINITY and soft < DESCRIPTORS_ENOUGH and settings.connections is None:
        return Finding(State.WARN, "descriptors", f"{text} (hard limit {_number(hard)})", raise_it)
    return Finding(State.OK, "descriptors", text)


def _number(limit: int) -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else str(limit)


def clock() -> Finding:
    """Whether the clock is set at all."""
    now_ms = _now_ms()
    text = f"{format_ms(now_ms)[:19]}Z"
    if now_ms < BUILT_MS:
        return Finding(State.FAIL, "clock", f"{text} cannot be right", "set the clock (chrony, systemd-timesyncd)")
    return Finding(State.OK, "clock", text)


def disk(settings: "Settings") -> Finding:
    """Whether there is room for the database to grow."""
    place = _existing(settings.data_directory)
    free, total = shutil.disk_usage(place).free, shutil.disk_usage(place).total
    text = f"{free / MB:,.0f} MB free at {place.resolve()}"
    todo = "make room, or shorten HUB_RETENTION_COMMANDS_S and HUB_RETENTION_NOTIFICATIONS_S"
    if free < 100 * MB:
        return Finding(State.FAIL, "disk", text, todo)
    if free < 1_000 * MB or free < total // 50:
        return Finding(State.WARN, "disk", text, todo)
    if not os.access(place, os.W_OK):
        return Finding(State.FAIL, "disk", f"{place.resolve()} is not writable", "run as the user who owns it")
    return Finding(State.OK, "disk", text)


def _existing(directory: Path) -> Path:
    return next(place for place in (directory.absolute(), *directory.absolute().parents) if place.is_dir())


# --- files that hold secrets ------------------------------------------------------------------------------------------


def files(settings: "Settings") -> Iterable[Finding]:
    """Whether nobody but the owner may read what must stay secret."""
    from hub.client.profile import FILE_NAME

    if settings.pepper is not None:
        yield Finding(State.OK, "pepper", "given by HUB_PEPPER")
    else:
        yield _pepper(settings)
    for about, path in (
        ("database file", settings.database_path),
        ("profile", settings.data_directory / FILE_NAME),
        ("TLS key", settings.tls_key),
    ):
        if path is not None and path.is_file():
            yield _private(about, path, bad=State.WARN)


def _pepper(settings: "Settings") -> Finding:
    path = settings.pepper_path
    if path.is_file():
        return _private("pepper", path, bad=State.FAIL)
    if settings.database_path is None:
        todo = "set HUB_PEPPER, the same for every hub on this database; `openssl rand -base64 32` makes one"
        return Finding(State.WARN, "pepper", f"{path} is missing", todo)
    if settings.database_path is not None and settings.database_path.exists():
        todo = "bring it back from a backup: without it no access key and no device key works"
        return Finding(State.FAIL, "pepper", f"{path} is missing", todo)
    return Finding(State.OK, "pepper", f"{path} will be made at the first start")


def _private(about: str, path: Path, *, bad: State) -> Finding:
    mode = stat.S_IMODE(path.stat().st_mode)
    text = f"{path} has mode {mode:04o}"
    if mode & 0o077:
        return Finding(bad, about, f"{text}: others can read it", f"chmod 600 {path}")
    return Finding(State.OK, about, text)


# --- the database -----------------------------------------------------------------------------------------------------


async def _with_database(settings: "Settings") -> list[Finding]:
    """What the database says of itself; what keeps it from being used is a finding too."""
    is_sqlite, path = settings.database_url.scheme == "sqlite", settings.database_path
    if is_sqlite and (path is None or not path.exists()):
        return [Finding(State.OK, "database", f"{settings.database_url} will be made at the first start")]
    try:
        has_pepper = settings.pepper is not None or settings.pepper_path.exists()
        store = existing_store(settings, uses_keys=is_sqlite or has_pepper)
        findings = [await database(store)]
        # Opening an older one would change it.
        if findings[0].state is State.OK and "will be made" not in findings[0].text:
            await store.open()
            try:
                findings += [await log(store), await administrator(store), *await providers(store)]
                findings += [await pepper(store)] if has_pepper else []
            finally:
                await store.close()
    except Exception as exc:
        return [_unusable(exc, is_sqlite=is_sqlite)]
    return findings


def _unusable(exc: Exception, *, is_sqlite: bool) -> Finding:
    told = (str(exc), None) if isinstance(exc, sqlite3.Error) else told_of(exc)
    if told is None:
        raise exc
    todo = "see that the file is a hub's database, readable, and not locked by another program"
    if not is_sqlite:
        todo = "see that PostgreSQL runs there, that the database exists, and that HUB_DATABASE_URL has its password"
    return Finding(State.FAIL, "database", f"cannot be used: {told[0]}", todo)


async def database(store: "Store") -> Finding:
    """Whether the database is whole, and of this version."""
    found = await look(store)
    if found is None:
        return Finding(State.OK, "database", "empty; its tables will be made at the first start, or by `hub migrate`")
    text = f"{found['kind']} {found['version']}, {found['bytes'] / MB:,.1f} MB, schema {found['schema']}"
    if found["integrity"] != "ok":
        todo = "stop the hub, keep a copy of the file, and go back to the last backup"
        return Finding(State.FAIL, "database", f"{text}, damaged: {found['integrity']}", todo)
    if found["schema"] != found["newest_schema"]:
        todo = "make a backup, then `hub migrate`; the next start of the hub brings an older one up to date as well"
        return Finding(State.WARN, "database", f"{text}; this version has {found['newest_schema']}", todo)
    return Finding(State.OK, "database", f"{text}, whole")


class _Compared(Exception):
    """Takes back the transaction that a comparison was made in: a doctor changes nothing."""

    def __init__(self, *, same: bool) -> None:
        super().__init__(same)
        self.same = same


async def providers(store: "Store") -> list[Finding]:
    """Whether the identity providers that are enabled know this hub."""
    rows = await store.consult(lambda tx: tx.configuration())
    findings = []
    for provider in PROVIDERS:
        if rows.get(f"{provider}.identity.allowed", "").strip().lower() != "true":
            continue
        missing = [name for name in ("client.id", "client.secret") if not rows.get(f"{provider}.identity.{name}")]
        state = State.WARN if missing else State.OK
        text = f"{provider.capitalize()} is enabled{' without ' + ' and '.join(missing) if missing else ''}"
        todo = f"PUT /configuration/{provider}.identity.{missing[0]}" if missing else ""
        findings.append(Finding(state, "identity provider", text, todo))
    return findings


async def pepper(store: "Store") -> Finding:
    """Whether the keys in the database were hashed with the pepper that is here."""

    def compare(tx: "Tx") -> None:
        raise _Compared(same=tx.has_pepper())

    try:
        await store.transact(compare)
    except _Compared as compared:
        if compared.same:
            return Finding(State.OK, "keys", "they were made with this pepper")
    todo = "give every hub on this database the same HUB_PEPPER or HUB_PEPPER_FILE, the one that it was started with"
    return Finding(State.FAIL, "keys", "they were made with another pepper, and none of them works", todo)


async def _with_bus(settings: "Settings") -> list[Finding]:
    """Whether the bus between workers can be reached; without it they hear of each other later."""
    from hub.bus.errors import CannotOpen

    try:
        bus = make_bus(settings)
        found = None if bus is None else await bus.check()
    except (OSError, CannotOpen) as exc:
        todo = "see that Redis runs there and that HUB_BUS_URL has its password; meanwhile the hub polls its database"
        return [Finding(State.FAIL, "bus", f"{settings.bus_url}: {exc or type(exc).__name__}", todo)]
    if found is None:
        return []
    kind = f"{found['kind']} {found['version']}" + (", a cluster" if found.get("cluster") == "yes" else "")
    return [Finding(State.OK, "bus", f"{kind} at {found['place']}")]


async def log(store: "Store") -> Finding:
    """Whether the clock is behind what has been stored already."""
    from hub.store import LogQuery

    now_ms = _now_ms()
    ahead: list[int] = []
    for kind in Kind:
        page = await store.read(LogQuery(kind, newer_than_ms=now_ms + AHEAD_MS, limit=1))
        ahead += [logged.message.timestamp_ms - now_ms for logged in page.messages]
    if not ahead:
        return Finding(State.OK, "log", "no message is newer than the clock")
    text = f"there are messages from {max(ahead) / 1000:,.0f} s after now"
    return Finding(State.WARN, "log", text, "set the clock: it is behind, or was ahead when these were stored")


async def administrator(store: "Store") -> Finding:
    """Whether anybody can manage the hub."""
    count = await store.transact(lambda tx: tx.active_administrators())
    if count == 0:
        todo = "hub user create NAME --role admin, or hub user update NAME --status active"
        return Finding(State.FAIL, "administrators", "none is active", todo)
    return Finding(State.OK, "administrators", f"{count} active")


# --- the port ---------------------------------------------------------------------------------------------------------


async def port(settings: "Settings") -> Finding:
    """Whether the port is free, or a hub has it already."""
    where = f"{settings.host}:{settings.port}"
    if settings.port == 0:
        return Finding(State.OK, "port", "any free one")
    problem = _bind(settings.host, settings.port)
    if problem is None:
        return Finding(State.OK, "port", f"{where} is free")
    version = await _hub_version(settings)
    if version is not None:
        return Finding(State.OK, "port", f"a hub answers at {where} (API {version})")
    return Finding(State.FAIL, "port", f"{where}: {problem}", "stop what has it, or choose another HUB_PORT")


def _bind(host: str, number: int) -> str | None:
    """Why nobody could listen there now; None: it is free."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as exc:
        return exc.strerror or str(exc)
    return None


async def _hub_version(settings: "Settings") -> str | None:
    """The API version of the hub that answers on the port; None: no hub does."""
    from hub.client import ClientError, Options, connect

    options = Options(open_timeout_s=LIVELY_S, timeout_s=LIVELY_S, ssl=_unverified() if settings.tls else None)
    try:
        async with connect(_own_url(settings), options=options) as hub:
            return str((await hub.server_info()).get("apiVersion"))
    except (ClientError, OSError, ValueError):
        return None


def _own_url(settings: "Settings") -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    scheme = "wss" if settings.tls else "ws"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}{settings.context_paths[0]}/websocket"


def _unverified() -> Any:
    """Nothing secret is said on this connection; whether somebody answers is all that matters."""
    import ssl

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
