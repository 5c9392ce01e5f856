"""The application: the one place that knows which concrete parts a hub is made of, and puts them together."""

import asyncio
import fcntl
import gc
import secrets
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

import structlog

from hub.bus import Bus
from hub.bus.errors import CannotOpen as CannotOpenBus
from hub.bus.local import LocalBus
from hub.client.profile import FILE_NAME, BadProfile, Profile
from hub.core.connection import ConnectionLimits
from hub.gateway import Gateway
from hub.gateway.policy import Policy, Registration
from hub.logs import configure
from hub.passwords import hash_password
from hub.settings import Settings
from hub.store import Store, Tx
from hub.store.errors import CannotOpen, NoLane
from hub.store.secrets import Secrets, load_peppers
from hub.store.sqlite import SqliteStore
from hub.web.addresses import Proxies
from hub.web.edge import Edge, EdgeLimits
from hub.web.routes import make_app
from hub.web.server import Server
from hub.web.writes import compiled
from protocol.entities import KeyPermission
from protocol.errors import Conflict
from protocol.names import UserRole

log = structlog.get_logger("hub")

SWITCH_INTERVAL_S = 0.0005
"""How long a thread may keep the interpreter while another one wants it. The log's writer waits this long after each of
its statements when the loop is busy; Python's own 5 ms would make durable messages a third as fast."""

COLLECT_AFTER = (50_000, 20, 100)
"""When Python looks for garbage in cycles. A turn makes thousands of objects and frees them by itself: with Python's
own 700 objects the collector took 30 % of the time of an insert, and looked through every connection each time."""

EXIT_OK, EXIT_COULD_NOT_START = 0, 3


@dataclass(frozen=True, slots=True)
class FirstStart:
    """What the first start has made. The secrets in it are shown once."""

    login: str
    password: str | None = field(repr=False)
    access_key: str = field(repr=False)


class CannotStart(Exception):
    """The hub could not start; the text says why and what to do."""


class Hub:
    """A whole hub in this process.

    ``await start()`` it inside a running loop, ``await stop()`` it there; :func:`serve` does both for a process of its
    own. Tests and programs that embed a hub use this class.
    """

    def __init__(self, settings: Settings, *, listening: socket.socket | None = None) -> None:
        """
        Args:
            listening: a socket that is bound already, instead of one at the settings' address.
        """
        self.settings = settings
        self.first_start: FirstStart | None = None
        self.store: Store = make_store(settings)
        self.gateway = Gateway(self.store, make_bus(settings), policy=make_policy(settings))
        self._listening = listening
        self.edge = Edge(
            self.gateway,
            limits=make_limits(settings),
            connection_limits=make_connection_limits(settings),
            context_paths=settings.context_paths,
            allowed_origins=settings.allowed_origins,
            proxies=Proxies(settings.trusted_proxies),
            deflate=settings.deflate,
            public_url=settings.public_url,
            send=compiled(),
        )
        self._server: Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._lock: IO[bytes] | None = None

    @property
    def port(self) -> int:
        """The port that is really listened on."""
        assert self._server is not None, "the hub was started"
        return self._server.port

    @property
    def url(self) -> str:
        """The WebSocket address that clients append ``/client`` or ``/device`` to."""
        return f"{'wss' if self.settings.tls else 'ws'}://{self._authority()}{self.settings.context_paths[0]}/websocket"

    def _authority(self) -> str:
        host = self.settings.host
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
        return f"{shown}:{self.port}"

    async def start(self, *, signals: bool = False) -> None:
        """Open the store, prepare a first start, listen. Returns when connections are taken.

        Args:
            signals: whether SIGTERM and SIGINT stop this hub.

        Raises:
            CannotStart: the port is taken, the database cannot be opened, a certificate cannot be read.
        """
        listening = self._listening or bind(self.settings.host, self.settings.port)
        try:
            self._lock = lock(self.settings)
            await self.store.open()
            self.first_start = await self._prepare()
            await self.gateway.start()
            self.edge.wheel.start()
            self._server = self._make_server()
        except BaseException as exc:
            listening.close()
            await self.store.close()
            self._unlock()
            if isinstance(exc, CannotOpen | CannotOpenBus | NoLane):
                raise CannotStart(str(exc)) from exc
            raise
        run = self._server.run_until_stopped if signals else self._server.run_quietly
        self._task = asyncio.create_task(run([listening]), name="server")
        while not self._server.started:
            if self._task.done():
                await self._fail_to_listen()
            await asyncio.sleep(0.005)
        write_profile(self)

    async def _prepare(self) -> FirstStart | None:
        try:
            return await self.store.transact(lambda tx: prepare(tx, self.settings))
        except Conflict:  # Another worker has made the administrator at this very moment.
            return await self.store.transact(lambda tx: prepare(tx, self.settings))

    def _make_server(self) -> Server:
        settings = self.settings
        try:
            return Server(
                make_app(self.edge, metrics=settings.metrics),
                self.edge,
                drain_s=settings.drain_s,
                flush=self._close,
                ssl_certfile=settings.tls_certificate,
                ssl_keyfile=settings.tls_key,
            )
        except OSError as exc:
            raise CannotStart(f"the TLS certificate or key cannot be read: {exc}") from exc

    async def run(self) -> None:
        """Wait until the hub has stopped."""
        assert self._task is not None, "the hub was started"
        await self._task

    async def stop(self) -> None:
        """Drain, flush the log last, let go of everything."""
        if self._server is not None and self._task is not None:
            self._server.stop()
            await self._task

    async def _close(self) -> None:
        self.edge.wheel.stop()
        await self.gateway.stop()
        await self.store.close()
        self._unlock()

    async def _fail_to_listen(self) -> None:
        assert self._task is not None, "it has just ended"
        await self._close()
        try:
            self._task.result()
        except OSError as exc:
            raise taken(self.settings.host, self.settings.port, exc) from exc
        raise CannotStart("the server ended before it began")

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


# --- the parts --------------------------------------------------------------------------------------------------------


def make_store(settings: Settings) -> Store:
    """The store that the settings name."""
    if settings.database_url.scheme != "sqlite":
        return _make_postgres(settings)
    path = settings.database_path
    if path is None:
        raise CannotStart("a hub needs a database file: HUB_DATABASE_URL=sqlite:///hub.db")
    given = settings.pepper.get_secret_value() if settings.pepper is not None else None
    if given is None and path.exists() and not settings.pepper_path.exists():
        raise CannotStart(
            f"the pepper file {settings.pepper_path} is missing, and without it no key in {path} works: bring it back "
            "from a backup, or set HUB_PEPPER; to start anew, move the database away"
        )
    peppers = load_peppers(settings.pepper_path, given)
    kept = Secrets(peppers, readable=settings.access_keys_readable)
    # Less than the callers' patience, so that "locked" is what they hear, not "no answer".
    wait_s = settings.database_wait_s
    return SqliteStore(path, kept, wait_s=wait_s, busy_timeout_s=wait_s * 0.8, shared=settings.bus_url is not None)


def _make_postgres(settings: Settings) -> Store:
    from hub.store.postgres import PostgresStore  # late: a hub on SQLite needs none of it

    given = settings.pepper.get_secret_value() if settings.pepper is not None else None
    kept = Secrets(load_peppers(settings.pepper_path, given), readable=settings.access_keys_readable)
    url, wait_s = settings.database_url.text, settings.database_wait_s
    return PostgresStore(url, kept, wait_s=wait_s, pool=settings.database_pool)


def make_bus(settings: Settings) -> Bus:
    """The bus that the settings name; in-process where they name none."""
    if settings.bus_url is None:
        return LocalBus()
    from hub.bus.redis import RedisBus  # late: a hub that is alone needs none of it

    return RedisBus(settings.bus_url.text, prefix=settings.bus_prefix, buffer_bytes=settings.bus_buffer_bytes)


def make_policy(settings: Settings) -> Policy:
    return Policy(
        api_version=settings.api_version,
        public_url=settings.public_url,
        durable_notifications=settings.durability == "commit",
        anonymous_registration=Registration(settings.anonymous_registration),
        network_auto_create=settings.network_auto_create,
        devices_gateway_mode=settings.devices_gateway_mode,
        devices_notify_offline=settings.devices_notify_offline,
        devices_self_unblock=settings.devices_self_unblock,
        cross_endpoint=settings.auth_cross_endpoint,
        lifetime_enforced=settings.command_lifetime == "enforce",
        login_lockout_after=settings.login_lockout_after,
        login_last_timeout_ms=settings.login_last_timeout_ms,
        session_timeout_ms=settings.session_timeout_ms,
        offline_check_s=settings.devices_offline_check_s,
        retention_notifications_s=settings.retention_notifications_s,
        retention_commands_s=settings.retention_commands_s,
        retention_rows=settings.retention_rows_per_device,
        devices_per_subscription=settings.devices_per_subscription,
        hold_bytes=settings.outbox_bytes // 4,
        device_cache=settings.device_cache,
        replays_at_once=settings.replays_at_once,
        replay_page=settings.replay_page,
        change_poll_s=settings.change_poll_s,
        password_workers=settings.password_workers,
        password_queue=settings.password_queue,
        failed_logins=settings.failed_logins_per_minute,
        failed_logins_per_block=settings.failed_logins_per_block_per_minute,
        accepts_per_key_per_s=settings.accepts_per_key_per_s,
        accept_burst_per_key=settings.accept_burst_per_key,
        connections_per_address=settings.connections_per_address,
        connections_per_user=settings.connections_per_user,
        connections_per_device=settings.connections_per_device,
        pending_writes=settings.pending_writes,
        pending_write_bytes=settings.pending_write_bytes,
        open_commands=settings.open_commands_per_device,
        equipment=settings.equipment_per_class,
        heartbeat_s=settings.heartbeat_s,
        lease_s=settings.lease_s,
        bus_poll_s=settings.bus_poll_s,
        replay_overlap_s=settings.replay_overlap_s,
    )


def make_limits(settings: Settings) -> EdgeLimits:
    silence_ms = settings.websocket_ping_timeout_ms
    return EdgeLimits(
        message_bytes=settings.message_bytes,
        message_bytes_anonymous=settings.message_bytes_anonymous,
        json_depth=settings.json_depth,
        json_nodes=settings.json_nodes,
        messages_per_s=settings.messages_per_s,
        message_burst=settings.message_burst,
        message_bytes_per_s=settings.message_bytes_per_s,
        throttled_s=settings.throttled_s,
        fragments=settings.fragments,
        handshake_s=settings.handshake_s,
        authenticate_client_s=settings.authenticate_client_s,
        authenticate_device_s=settings.authenticate_device_s,
        ping_interval_s=settings.ping_interval_s,
        ping_timeout_s=settings.ping_timeout_s,
        silence_s=silence_ms / 1000 if silence_ms is not None else None,
        pings_per_s=settings.pings_per_s,
        ping_burst=settings.ping_burst,
        pong_backlog_bytes=settings.pong_backlog_bytes,
        outbox_wait_s=settings.outbox_wait_s,
        write_wait_s=settings.write_wait_s,
        close_wait_s=settings.close_wait_s,
        in_flight_requests=settings.in_flight_requests,
        messages_per_turn=settings.messages_per_turn,
        header_bytes=settings.http_header_bytes,
        headers=settings.http_headers,
        connections=settings.connection_limit,
        accepts_per_s=settings.accepts_per_s,
        accept_burst=settings.accept_burst,
        send_memory_bytes=settings.send_memory_limit,
        drain_share_per_s=settings.drain_share_per_s,
        profile=settings.limits,
    )


def make_connection_limits(settings: Settings) -> ConnectionLimits:
    return ConnectionLimits(
        outbox_bytes=settings.outbox_bytes,
        anonymous_requests=settings.anonymous_requests,
        subscriptions=settings.subscriptions_per_connection,
        listeners=settings.listeners_per_connection,
    )


def bind(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """A socket that has the address, before anything else is touched; it listens only when the hub is ready.

    Args:
        reuse_port: whether other sockets may have the same address, if they say so too.

    Raises:
        CannotStart: the address cannot be had.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if host == "::":
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # All addresses means those of IPv4, too.
        bound.bind((host, port))
    except OSError as exc:
        bound.close()
        raise taken(host, port, exc) from exc
    return bound


def taken(host: str, port: int, exc: OSError) -> CannotStart:
    hint = "is another hub running? try --port" if port else "try --host"
    return CannotStart(f"cannot listen on {host}:{port}: {exc.strerror or exc}; {hint}")


def lock(settings: Settings) -> IO[bytes] | None:
    """Keep hubs away from a SQLite database that do not know of each other: they would give out the same ids.

    Raises:
        CannotStart: another hub has it.
    """
    if settings.database_path is None:
        return None
    path = settings.data_directory / f"{settings.database_path.name}.lock"
    try:
        file = path.open("ab")
    except OSError as exc:
        raise CannotStart(f"cannot write beside the database: {path}: {exc.strerror}") from exc
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if settings.bus_url is None else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError as exc:
        file.close()
        raise CannotStart(
            f"another hub runs on {settings.database_path}; several share it only with a bus between them (HUB_BUS_URL "
            "for each)"
        ) from exc
    return file


# --- the first start --------------------------------------------------------------------------------------------------


def prepare(tx: Tx, settings: Settings) -> FirstStart | None:
    """Make the administrator of a new installation, with an access key. None: there are users already."""
    _check_pepper(tx)
    if tx.users():
        return None
    given = settings.admin_password.get_secret_value() if settings.admin_password is not None else None
    password = given or secrets.token_urlsafe(15)
    user = tx.insert_user(login=settings.admin_login, role=UserRole.ADMIN, password_hash=hash_password(password))
    key = tx.insert_key(user_id=user.id, label="first start", permissions=[KeyPermission()])
    if settings.compat:
        _seed(tx)
    return FirstStart(user.login, None if given else password, key.secret)


def _check_pepper(tx: Tx) -> None:
    """Notice at the start that no key in the database would work."""
    if not tx.has_pepper():
        raise CannotStart(
            "the pepper is not the one of this database, and with it no key works: every hub on a database needs the "
            "same HUB_PEPPER or HUB_PEPPER_FILE"
        )


def _seed(tx: Tx) -> None:
    """What DeviceHive begins with, less the parts whose secrets are public."""
    tx.insert_class(name="Sample VirtualLed Device", version="1.0", offline_timeout_s=600)
    tx.insert_network(name="VirtualLed Sample Network", description="A DeviceHive network for VirtualLed sample")
    rows = {
        "debugMode": "true",
        "google.identity.allowed": "false",
        "facebook.identity.allowed": "false",
        "github.identity.allowed": "false",
        "cassandra.rest.endpoint": "http://127.0.0.1:8080/cassandra",
    }
    for name, value in rows.items():
        tx.put_configuration(name, value)


def profile_path(settings: Settings) -> Path:
    """Where the first start leaves what the command line needs to reach the hub."""
    return settings.data_directory / FILE_NAME


def write_profile(hub: Hub) -> None:
    """Leave or mend the connection profile: the key is the first start's, the rest is this one's."""
    path = profile_path(hub.settings)
    known: Profile | None = None
    login: str | None
    try:
        if hub.first_start is not None:
            key, login = hub.first_start.access_key, hub.first_start.login
        elif path.exists():
            known = Profile.read(path)
            key, login = known.access_key, known.login
        else:
            return
        now = Profile(hub.url, key, login, hub.settings.limits, hub.settings.durability)
        if now != known:
            now.write(path)
    except (OSError, BadProfile) as exc:
        log.warning("the connection profile could not be written", reason=str(exc))


# --- a process of its own ---------------------------------------------------------------------------------------------


def serve(settings: Settings) -> int:
    """Run a hub until it is told to stop. Returns the process's exit code."""
    configure(level=settings.log_level, form=settings.log_format)
    for warning in settings.warnings():
        log.warning(warning)
    tune()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        try:
            return runner.run(_serve(settings))
        except (CannotStart, CannotOpen) as exc:
            print(f"hub: {exc}", file=sys.stderr)
            return EXIT_COULD_NOT_START


def tune() -> None:
    """Set what belongs to the interpreter and not to a hub in it."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(*COLLECT_AFTER)


async def _serve(settings: Settings) -> int:
    hub = Hub(settings)
    await hub.start(signals=True)
    print(banner(hub), flush=True)
    await run_started(hub)
    return EXIT_OK


async def run_started(hub: Hub) -> None:
    """Run a hub that has just started, in a process of its own, until it has stopped."""
    settings = hub.settings
    gc.collect()
    gc.freeze()  # What is there now stays: no collection needs to look at it again.
    log.info("started", url=hub.url, database=str(settings.database_url), connections_limit=settings.connection_limit)
    await hub.run()
    log.info("stopped")


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop's loops where it is installed, asyncio's otherwise."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return cast(Callable[[], asyncio.AbstractEventLoop], uvloop.new_event_loop)


def banner(hub: Hub) -> str:
    """What the terminal shows at the start: where it listens, and what to try."""
    scheme = "https" if hub.settings.tls else "http"
    lines = [f"The hub listens on {scheme}://{hub._authority()} and {hub.url}"]
    if hub.settings.workers > 1:
        lines.append(f"{hub.settings.workers} workers serve it.")
    lines += [f"WARNING: {warning}" for warning in hub.settings.warnings() if hub.settings.limits != "default"]
    first = hub.first_start
    if first is not None:
        password = first.password if first.password is not None else "(as set in HUB_ADMIN_PASSWORD)"
        lines += [
            "",
            "First start. These are shown once; the access key is also in " + str(profile_path(hub.settings)),
            f"  administrator   {first.login}",
            f"  password        {password}",
            f"  access key      {first.access_key}",
        ]
    lines += ["", "Try, in other terminals, from this folder:", *(f"  {line}" for line in things_to_try())]
    return "\n".join(lines)


def things_to_try() -> list[str]:
    """Commands that show a hub at work, as they have to be typed here."""
    folder = Path(sys.executable).parent
    on_path = shutil.which("hub") == str(folder / "hub")
    shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    prefix = "" if on_path else f"{shown}/"
    lines = [f"{prefix}hub tail"]
    if Path("examples/thermostat.py").exists():
        lines.append(f"{prefix}python examples/thermostat.py")
        lines.append(f"{prefix}hub send thermostat set target=23")
    else:
        lines.append(f"{prefix}hub --help")
    return lines
