"""Bringing the schema of a PostgreSQL database up to date."""

from asyncpg import Connection

from hub.store.errors import CannotOpen
from hub.store.postgres_connect import Address, connect, naming
from hub.store.postgres_session import transaction, wrap
from hub.store.schema import REVISION

_LOCK = 0x48756200
"""Whoever migrates holds this lock until the commit."""


async def migrate(address: Address, *, wait_s: float) -> None:
    """Bring the schema up to date, wholly or not at all, whoever else is trying the same. Takes as long as it takes.

    Raises:
        CannotOpen: there is no such database, it lets nobody in, or it was written by a newer version.
    """
    with naming(address):
        connection = await connect(address, wait_s=wait_s, settings={})
        try:
            await _refuse_encodings(connection, address)
            if await _revision(connection) != REVISION:
                await _upgrade(connection, address)
        finally:
            await connection.close(timeout=1)


async def _upgrade(connection: Connection, address: Address) -> None:
    from hub.store import migrations  # late: Alembic costs 100 ms, and is rarely needed

    wrapped = await wrap(connection)
    try:
        async with transaction(connection):
            await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
            await wrapped.run_sync(migrations.upgrade)
    except CannotOpen as exc:
        raise CannotOpen(f"the database {address.place}: {exc}") from exc
    finally:
        await wrapped.close()


async def _refuse_encodings(connection: Connection, address: Address) -> None:
    encoding = await connection.fetchval("SHOW server_encoding")
    if encoding != "UTF8":
        raise CannotOpen(f"the database {address.place} has the encoding {encoding}; messages need UTF8")


async def _revision(connection: Connection) -> str | None:
    if not await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL"):
        return None
    revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    return revision
