"""What a run needs in the hub: a network, a device class, devices and an access key, all of them its own.

Where the hub's database can be reached, the command line brings somebody who makes and removes them there
(:class:`hub.bench.plan.Entities`). A hub elsewhere is asked over its socket; it creates devices, but it removes none.
"""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hub.bench.door import each
from hub.bench.plan import BenchError, Entities, Names, Plan, View
from hub.client import ClientError, Hub, Registration, connect

AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Site:
    """What a run may use."""

    names: Names
    key: str = field(repr=False)
    device_key: str = field(repr=False)


@contextmanager
def site(plan: Plan, view: View, entities: Entities | None) -> Iterator[Site]:
    """Make what a run needs; remove it at the end, however that comes.

    Raises:
        BenchError: the hub does not let us make it.
    """
    names = Names(secrets.token_hex(3), plan.known_devices)
    device_key = secrets.token_urlsafe(24)
    view.phase("preparing", None)
    try:
        if entities is not None:
            key = entities.make(names, device_key)
        else:
            key = plan.key
            asyncio.run(_register(plan, names, device_key))
        yield Site(names, key, device_key)
    finally:
        if plan.keep:
            view.warn(f"left in the hub, as asked: network {names.network} with {names.devices} devices")
        elif entities is not None:
            view.phase("removing", None)
            entities.remove(names)
        else:
            view.warn(
                f"left in the hub: network and device class {names.network} with {names.devices} devices, because its "
                f"database cannot be reached from here; there: hub network delete {names.network}"
            )


async def _register(plan: Plan, names: Names, device_key: str) -> None:
    """Create the devices over the socket, network and class with the first of them."""
    try:
        async with connect(plan.url, access_key=plan.key) as hub:
            first, *others = names.guids()
            await _save(hub, names, first, device_key)

            async def save(guid: str) -> None:
                await _save(hub, names, guid, device_key)

            await each(others, save, at_once=AT_ONCE)
    except ClientError as exc:
        raise BenchError(f"the hub does not take the devices of the run: {exc}") from exc
    except ExceptionGroup as group:
        raise BenchError(f"the hub does not take the devices of the run: {group.exceptions[0]}") from group


async def _save(hub: Hub, names: Names, guid: str, device_key: str) -> None:
    registration = Registration(name=guid, device_class=names.device_class, network=names.network)
    await hub.save_device(guid, registration, key=device_key)
