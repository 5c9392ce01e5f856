"""Several pieces of work at one place, one after the other. Imported when needed."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from hub.cli.local import existing_store, load_settings
from hub.cli.remote import RemoteTx
from hub.cli.rest import Rest
from hub.store import DELETED_AT_ONCE, LogQuery, Reach, Store
from protocol.names import Kind

if TYPE_CHECKING:
    from hub.store import Tx
    from protocol.entities import Device
    from protocol.messages import Message

T = TypeVar("T")


class Session(Protocol):
    """An open database, or a connection to a hub."""

    def read(self, work: "Callable[[Tx], T]") -> T:
        """Look at entities in one piece of work."""
        ...

    def change(self, work: "Callable[[Tx], T]") -> T:
        """Change entities: together or not at all where it is a database, one by one where it is a hub."""
        ...

    def device_pages(self, take: int) -> "Iterator[list[Device]]":
        """All devices, so many at a time."""
        ...

    def empty(self, network_id: int) -> Iterator[int]:
        """Delete the devices of a network that is about to be deleted, so many at a time that the writes of a running
        hub pass between them; yields how many were. Of a hub elsewhere nothing: it does so by itself."""
        ...

    def messages(self, kind: Kind, guid: str) -> "Iterator[Message]":
        """What there is of one device, oldest first."""
        ...


class _Local:
    def __init__(self, runner: asyncio.Runner, store: Store) -> None:
        self._runner = runner
        self._store = store

    def read(self, work: "Callable[[Tx], T]") -> T:
        return self._runner.run(_awaited(self._store.consult(work)))

    def change(self, work: "Callable[[Tx], T]") -> T:
        return self._runner.run(_awaited(self._store.transact(work)))

    def device_pages(self, take: int) -> "Iterator[list[Device]]":
        after = ""
        while page := self._device_page(after, take):
            yield page
            after = page[-1].guid

    def _device_page(self, after: str, take: int) -> "list[Device]":
        return self.read(lambda tx: tx.devices(after=after, limit=take))

    def empty(self, network_id: int) -> Iterator[int]:
        gone = DELETED_AT_ONCE
        while gone == DELETED_AT_ONCE:
            gone = self.change(lambda tx: tx.delete_devices(network_id=network_id, limit=DELETED_AT_ONCE))
            yield gone

    def messages(self, kind: Kind, guid: str) -> "Iterator[Message]":
        after, complete = 0, False
        while not complete:
            query = LogQuery(kind, after=after, reach=Reach(guids=frozenset({guid})))
            page = self._runner.run(_awaited(self._store.read(query)))
            yield from (logged.message for logged in page.messages)
            after, complete = page.read_to, page.complete


async def _awaited(work: Awaitable[T]) -> T:
    return await work


class _Remote:
    def __init__(self, rest: Rest) -> None:
        self._tx = RemoteTx(rest)

    def read(self, work: "Callable[[Tx], T]") -> T:
        return work(cast("Tx", self._tx))

    change = read

    def device_pages(self, take: int) -> "Iterator[list[Device]]":
        return self._tx.device_pages(take)

    def empty(self, network_id: int) -> Iterator[int]:
        return iter(())

    def messages(self, kind: Kind, guid: str) -> "Iterator[Message]":
        return self._tx.messages(kind, guid)


@contextmanager
def local_session(database: str | None) -> Iterator[Session]:
    """The database of the installation, or the one that ``--database`` names."""
    store = existing_store(load_settings(database_url=database))
    with asyncio.Runner() as runner:
        runner.run(store.open())
        try:
            yield _Local(runner, store)
        finally:
            runner.run(store.close())


@contextmanager
def remote_session(url: str, key: str) -> Iterator[Session]:
    """A hub elsewhere."""
    rest = Rest(url, key)
    try:
        yield _Remote(rest)
    finally:
        rest.close()
