"""The application: the one place that knows which concrete parts a hub is made of, and puts them together."""

import asyncio
import gc
import secrets
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import IO, cast

import structlog
from starlette.types import ASGIApp

from hub.banner import banner, show_secrets, socket_url
from hub.bus import Bus
from hub.bus.errors import CannotOpen as CannotOpenBus
from hub.bus.local import LocalBus
from hub.client.profile import BadProfile, Profile
from hub.core.vouching import Account
from hub.gateway import Gateway
from hub.logs import configure
from hub.parts import make_connection_limits, make_limits, make_policy, make_providers, make_rest
from hub.passwords import hash_password
from hub.providers import Providers
from hub.settings import Settings
from hub.starting import CannotStart, FirstStart, Show, bind, lock, profile_path, taken
from hub.store import Store, Tx
from hub.store.errors import CannotOpen, NoLane
from hub.store.secrets import Secrets, load_peppers
from hub.store.sqlite import SqliteStore
from hub.tracing import make_tracing
from hub.web.addresses import Proxies
from hub.web.edge import Edge, Kinds
from hub.web.routes import make_app, make_figures
from hub.web.server import Server
from hub.web.writes import compiled
from hub.worker import Handed
from protocol.entities import KeyPermission
from protocol.errors import Conflict, StoreUnavailable
from protocol.names import Provider, UserRole

log = structlog.get_logger("hub")

SWITCH_INTERVAL_S = 0.0005
"""How long a thread may keep the interpreter while another one wants it. The log's writer waits this long after each of
its statements when the loop is busy; Python's own 5 ms would make durable messages a third as fast."""

COLLECT_AFTER = (50_000, 20, 100)
"""When Python looks for garbage in cycles. A turn makes thousands of objects and frees them by itself: with Python's
own 700 objects the collector took 30 % of the time of an insert, and looked through every connection each time."""

EXIT_OK, EXIT_COULD_NOT_START = 0, 3


class Hub:
    """A whole hub in this process.

    ``await start()`` it inside a running loop, ``await stop()`` it there; :func:`serve` does both for a process of its
    own. Tests and programs that embed a hub use this class.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        handed: Handed | None = None,
        show: Show = lambda first: None,
    ) -> None:
        """
        Args:
            handed: what a worker among others of the same hub has from the process that started it.
            show: called with the secrets that a first start makes, as soon as they are in the database: whatever keeps
                the hub from starting after that, nobody could learn them again.
        """
        self.settings = settings
        self.first_start: FirstStart | None = None
        self.store: Store = make_store(settings)
        self._handed = handed
        self._show = show
        self.tracing = make_tracing(settings, worker=self._number) if settings.tracing else None
        make = Gateway if self.tracing is None else self.tracing.make_gateway
        self.gateway = make(self.store, make_bus(settings), policy=make_policy(settings))
        self.gateway.logins.ask_provider = Providers(
            make_providers(settings), account=partial(account_at, self.gateway)
        )
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
            kinds=Kinds() if self.tracing is None else self.tracing.kinds,
        )
        self._server: Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._lock: IO[bytes] | None = None

    @property
    def _number(self) -> int:
        return 1 if self._handed is None else self._handed.number

    @property
    def port(self) -> int:
        """The port that is really listened on."""
        assert self._server is not None, "the hub was started"
        return self._server.port

    @property
    def url(self) -> str:
        """The WebSocket address that clients append ``/client`` or ``/device`` to."""
        return socket_url(self.settings, self.port)

    async def start(self, *, signals: bool = False) -> None:
        """Open the store, prepare a first start, listen. Returns when connections are taken.

        Args:
            signals: whether SIGTERM and SIGINT stop this hub.

        Raises:
            CannotStart: the port is taken, the database cannot be opened, a certificate cannot be read.
        """
        listening, aside = self._bind()
        try:
            server = self._make_server(aside)
            self._lock = lock(self.settings)
            await self.store.open()
            self.first_start = await self._prepare()
            if self.first_start is not None:
                write_profile(self.settings, socket_url(self.settings, listening.getsockname()[1]), self.first_start)
                self._show(self.first_start)
            await self.gateway.start()
            self.edge.wheel.start()
        except BaseException as exc:
            for bound in (listening, aside):
                if bound is not None:
                    bound.close()
            await self.store.close()
            self._unlock()
            if isinstance(exc, CannotOpen | CannotOpenBus | NoLane | StoreUnavailable):
                raise CannotStart(str(exc)) from exc
            raise
        self._server = server
        run = server.run_until_stopped if signals else server.run_quietly
        self._task = asyncio.create_task(run([listening]), name="server")
        while not server.started:
            if self._task.done():
                await self._fail_to_listen()
            await asyncio.sleep(0.005)
        write_profile(self.settings, self.url, self.first_start)

    def _bind(self) -> tuple[socket.socket, socket.socket | None]:
        """The sockets that peers and that whoever reads the metrics connect to."""
        if self._handed is not None:
            return self._handed.listening, self._handed.aside
        host, aside = self.settings.host, self.settings.worker_metrics_port
        listening = bind(host, self.settings.port)
        try:
            return listening, None if aside is None else bind(host, aside + 1)
        except CannotStart:
            listening.close()
            raise

    async def _prepare(self) -> FirstStart | None:
        try:
            return await self.store.transact(lambda tx: prepare(tx, self.settings))
        except Conflict:  # Another worker has made the administrator at this very moment.
            return await self.store.transact(lambda tx: prepare(tx, self.settings))

    def _make_server(self, aside: socket.socket | None) -> Server:
        settings, number, rest = self.settings, self._number, make_rest(self.settings)
        app = make_app(self.edge, metrics=settings.metrics, worker=number, rest=rest, around_rest=self._around_rest)
        try:
            return Server(
                app,
                self.edge,
                aside=None if aside is None else (aside, make_figures(self.edge, worker=number)),
                drain_s=settings.drain_s,
                flush=self._close,
                ssl_certfile=settings.tls_certificate,
                ssl_keyfile=settings.tls_key,
            )
        except OSError as exc:
            raise CannotStart(f"the TLS certificate or key cannot be read: {exc}") from exc

    def _around_rest(self, api: ASGIApp) -> ASGIApp:
        return api if self.tracing is None else self.tracing.follow_rest(api, self.gateway)

    async def run(self) -> None:
        """Wait until the hub has stopped."""
        assert self._task is not None, "the hub was started"
        await self._task

    def begin_stop(self) -> None:
        """Begin to stop; :meth:`run` returns when it is done."""
        assert self._server is not None, "the hub was started"
        self._server.stop()

    async def stop(self) -> None:
        """Drain, flush the log last, let go of everything."""
        if self._server is not None and self._task is not None:
            self._server.stop()
            await self._task

    async def _close(self) -> None:
        self.edge.wheel.stop()
        try:
            await self.gateway.stop()
        finally:
            await self.store.close()
            self._unlock()
            if self.tracing is not None:
                await self.tracing.telemetry.stop()

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


def account_at(gateway: Gateway, provider: Provider) -> Account:
    """What an identity provider knows this hub as: configuration rows that an administrator has written."""
    row = gateway.configuration.get
    return Account(row(f"{provider}.identity.client.id", ""), row(f"{provider}.identity.client.secret", ""))


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


def write_profile(settings: Settings, url: str, first: FirstStart | None) -> None:
    """Leave or mend the connection profile: the key is the first start's, the rest is this one's."""
    path = profile_path(settings)
    known: Profile | None = None
    login: str | None
    try:
        if first is not None:
            key, login = first.access_key, first.login
        elif path.exists():
            known = Profile.read(path)
            key, login = known.access_key, known.login
        else:
            return
        now = Profile(url, key, login, settings.limits, settings.durability)
        if now != known:
            now.write(path)
    except (OSError, BadProfile) as exc:
        log.warning("the connection profile could not be written", reason=str(exc))


# --- a process of its own ---------------------------------------------------------------------------------------------


def serve(settings: Settings, handed: Handed | None = None) -> int:
    """Run a hub, or one worker of it, until it is told to stop. Returns the process's exit code."""
    configure(level=settings.log_level, form=settings.log_format, worker=None if handed is None else handed.number)
    for warning in settings.warnings() if handed is None else ():
        log.warning(warning)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(*COLLECT_AFTER)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        try:
            return runner.run(_serve(settings, handed))
        except (CannotStart, CannotOpen) as exc:
            if handed is None:
                print(f"hub: {exc}", file=sys.stderr)
            else:
                handed.cannot_start(str(exc))
            return EXIT_COULD_NOT_START


async def _serve(settings: Settings, handed: Handed | None) -> int:
    hub = Hub(settings, handed=handed, show=partial(show_secrets, settings) if handed is None else handed.has_made)
    await hub.start(signals=True)
    if handed is None:
        print(banner(settings, hub.port), flush=True)
    else:
        handed.is_ready()
        handed.when_orphaned(hub.begin_stop)
    gc.collect()
    gc.freeze()  # What is there now stays: no collection needs to look at it again.
    log.info("started", url=hub.url, database=str(settings.database_url), connections_limit=settings.connection_limit)
    await hub.run()
    log.info("stopped")
    return EXIT_OK


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop's loops where it is installed, asyncio's otherwise."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return cast(Callable[[], asyncio.AbstractEventLoop], uvloop.new_event_loop)
