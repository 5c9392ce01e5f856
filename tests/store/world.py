"""Entities that the tests of the store begin with, and short ways to ask it."""

from collections.abc import Sequence
from typing import Any

from hub.store import Amend, Append, LogQuery, Page, Store, Tx
from protocol.entities import Device, User
from protocol.messages import Command, CommandPatch, Message, Notification
from protocol.names import Kind, UserRole
from tests import builders


async def add_device(store: Store, guid: str = "lamp", *, network: str | None = None, **members: Any) -> Device:
    """A device of the class Sensor 1.0, in a network of this name if one is given."""
    return await store.transact(lambda tx: insert_device(tx, guid, network=network, **members))


def insert_device(tx: Tx, guid: str = "lamp", *, network: str | None = None, **members: Any) -> Device:
    kind = tx.device_class("Sensor", "1.0") or tx.insert_class(name="Sensor", version="1.0")
    place = None if network is None else tx.network_by_name(network) or tx.insert_network(name=network)
    given = {"key": f"{guid}-key", "name": guid.title(), "class_id": kind.id, **members}
    return tx.insert_device(guid=guid, network_id=place and place.id, **given)


async def add_user(store: Store, login: str = "alice", **members: Any) -> User:
    """An active client."""
    return await store.transact(lambda tx: tx.insert_user(login=login, **{"role": UserRole.CLIENT, **members}))


def notification(device: Device, name: str = "watts", parameters: Any = None, **members: Any) -> Notification:
    return builders.notification(device.guid, name, parameters, **{"device_id": device.id, **members})


def command(device: Device, name: str = "on", parameters: Any = None, **members: Any) -> Command:
    return builders.command(device.guid, name, parameters, **{"device_id": device.id, **members})


async def append(store: Store, messages: Sequence[Message]) -> list[Any]:
    return await store.write([Append(message) for message in messages])


async def amend(store: Store, device: Device, asked: Command, patch: dict[str, Any], *, update_id: int = 0) -> None:
    await store.write([Amend(device.id, device.guid, asked.id, CommandPatch(patch), update_id)])


async def read(store: Store, kind: Kind = Kind.NOTIFICATION, **query: Any) -> list[Message]:
    """Everything that matches, page after page."""
    found: list[Message] = []
    for page in await pages(store, kind, **query):
        found += [logged.message for logged in page.messages]
    return found


async def pages(store: Store, kind: Kind = Kind.NOTIFICATION, *, after: int = 0, **query: Any) -> list[Page]:
    """All pages that a reader asks for, one after the other, until one is complete."""
    asked = [await store.read(LogQuery(kind, after=after, **query))]
    while not asked[-1].complete:
        asked.append(await store.read(LogQuery(kind, after=asked[-1].read_to, **query)))
    return asked
