"""The database, opened directly: commands about entities work beside a running hub and without one.

Every change leaves a trace that a running hub looks for twice a second, so it takes effect there within a second.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from hub.cli.output import fail

if TYPE_CHECKING:
    from hub.bus import Bus
    from hub.settings import Settings
    from hub.store import Store, Tx

T = TypeVar("T")


def load_settings(**command_line: object) -> "Settings":
    """The settings of this directory and environment, with what the command line says on top."""
    from hub.settings import Settings

    return Settings.load(command_line)


def existing_store(settings: "Settings", *, uses_keys: bool = True) -> "Store":
    """The store of an installation that has started before; not opened yet.

    Args:
        uses_keys: whether keys will be looked at or made; without, the pepper need not be there.

    Raises:
        Failure: there is no database. A command must not make an empty one by standing in the wrong directory.
    """
    path = settings.database_path
    if settings.database_url.scheme == "sqlite":
        if path is None:
            fail("the database is in the memory of the hub (HUB_DATABASE_URL); commands cannot reach it")
        if not path.exists():
            fail(f"there is no database at {path}: start the hub once with `hub serve`, or set HUB_DATABASE_URL")
    if uses_keys and settings.pepper is None and not settings.pepper_path.exists():
        fail(
            f"the pepper file {settings.pepper_path} is missing: without it no key works; bring it back from a backup, "
            "or set HUB_PEPPER to what the hub has"
        )
    return _make_store(settings, uses_keys=uses_keys)


def _make_store(settings: "Settings", *, uses_keys: bool) -> "Store":
    """The one place here that knows which kinds of store there are."""
    import secrets

    from hub.store.secrets import PEPPER_BYTES, Secrets, load_peppers

    given = settings.pepper.get_secret_value() if settings.pepper is not None else None
    # One that is thrown away: it must not be made a file that is taken for the hub's later.
    peppers = load_peppers(settings.pepper_path, given) if uses_keys else (secrets.token_bytes(PEPPER_BYTES),)
    kept, wait_s = Secrets(peppers, readable=settings.access_keys_readable), settings.database_wait_s
    if settings.database_path is None:
        from hub.store.postgres import PostgresStore

        return PostgresStore(settings.database_url.text, kept, wait_s=wait_s, pool=2)
    from hub.store.sqlite import SqliteStore

    # Less than the caller's patience, so that "locked" is what it hears, not "no answer".
    return SqliteStore(settings.database_path, kept, wait_s=wait_s, busy_timeout_s=wait_s * 0.8)


def newest_schema() -> str:
    """The revision of the schema that this version of the hub works on."""
    from hub.store.schema import REVISION

    return REVISION


def make_bus(settings: "Settings") -> "Bus | None":
    """The bus of the settings, not opened; None: they name none."""
    if settings.bus_url is None:
        return None
    from hub.bus.redis import RedisBus

    return RedisBus(settings.bus_url.text, prefix=settings.bus_prefix)


def transact(work: "Callable[[Tx], T]", *, database: str | None = None) -> T:
    """Run one piece of work in a transaction of the installation's database and return what it returns.

    Args:
        database: the value of ``--database``.
    """
    settings = load_settings(database_url=database)

    async def use(store: "Store") -> T:
        return await store.transact(work)

    return with_store(settings, use)


def with_store(settings: "Settings", use: "Callable[[Store], Awaitable[T]]") -> T:
    """Open the store, use it, close it; what ``use`` raises comes out."""

    import asyncio  # late, as everything is that `hub --help` does not need

    async def opened() -> T:
        store = existing_store(settings)
        await store.open()
        try:
            return await use(store)
        finally:
            await store.close()

    return asyncio.run(opened())
