"""The database, opened directly: commands about entities work beside a running hub and without one.

Every change leaves a trace that a running hub looks for twice a second, so it takes effect there within a second.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from hub.cli.output import fail

if TYPE_CHECKING:
    from pathlib import Path

    from hub.settings import Settings
    from hub.store import Store, Tx

T = TypeVar("T")


def load_settings(**command_line: object) -> "Settings":
    """The settings of this directory and environment, with what the command line says on top."""
    from hub.settings import Settings

    return Settings.load(command_line)


def existing_store(settings: "Settings") -> "Store":
    """The store of an installation that has started before; not opened yet.

    Raises:
        Failure: there is no database. A command must not make an empty one by standing in the wrong directory.
    """
    path = settings.database_path
    if path is None:
        fail("the database is in the memory of the hub (HUB_DATABASE_URL); commands cannot reach it")
    if not path.exists():
        fail(f"there is no database at {path}: start the hub once with `hub serve`, or set HUB_DATABASE_URL")
    if settings.pepper is None and not settings.pepper_path.exists():
        fail(f"the pepper file {settings.pepper_path} is missing: without it no key works; bring it back from a backup")
    return _make_store(settings, path)


def _make_store(settings: "Settings", path: "Path") -> "Store":
    """The one place here that knows which kinds of store there are."""
    from hub.store.secrets import Secrets, load_peppers
    from hub.store.sqlite import SqliteStore

    given = settings.pepper.get_secret_value() if settings.pepper is not None else None
    secrets = Secrets(load_peppers(settings.pepper_path, given), readable=settings.access_keys_readable)
    # Less than the caller's patience, so that "locked" is what it hears, not "no answer".
    return SqliteStore(path, secrets, wait_s=settings.database_wait_s, busy_timeout_s=settings.database_wait_s * 0.8)


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
