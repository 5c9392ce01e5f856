"""What tests of long polls need: to ask, to know that somebody waits, and that nothing is left behind."""

import asyncio
import re
from typing import Any

from hub.app import Hub
from protocol.messages import Command, Message, Notification
from tests.edge_client import Response
from tests.rest.conftest import Site
from tests.rest.http import Client
from tests.waiting import until

LONG_AGO = "2015-01-01"


def begin(client: Client, path: str, **options: Any) -> "asyncio.Task[Response]":
    """A request that is on its way while the test goes on."""
    return asyncio.create_task(client.get(path, **options))


async def waiting(hub: Hub, number: int = 1) -> None:
    """Return when so many polls wait for something to come."""

    async def is_so() -> bool:
        return [poll.has_begun for poll in hub.gateway.polls.waiting] == [True] * number

    await until(is_so)


async def clean(hub: Hub) -> None:
    """Return when nothing is left of any poll."""

    async def is_so() -> bool:
        return not len(hub.gateway.polls) and hub.gateway.fan_out.is_clean()

    await until(is_so)
    assert len(hub.gateway) == 0


async def metric(site: Site, name: str) -> float:
    """A number that the hub tells about itself; 0 if it has not got that far."""
    text = (await site.client(root="").get("/metrics")).body.decode()
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


async def notify(hub: Hub, guid: str = "lamp", name: str = "watts", *, at_ms: int | None = None) -> Message:
    """A notification, committed and published; ``at_ms`` forges its time."""
    device = await hub.gateway.devices.device(guid)
    assert device is not None
    stamp = await hub.gateway.ids.stamp(device.id)
    return await hub.gateway.append(Notification(stamp.id, device.id, guid, name, at_ms or stamp.timestamp_ms), device)


async def command(hub: Hub, guid: str = "lamp", name: str = "on", **members: Any) -> Message:
    """A command, committed and published."""
    device = await hub.gateway.devices.device(guid)
    assert device is not None
    stamp = await hub.gateway.ids.stamp(device.id)
    return await hub.gateway.append(Command(stamp.id, device.id, guid, name, stamp.timestamp_ms, 1, **members), device)


def messages(response: Response) -> list[dict[str, Any]]:
    """The messages of an answer of either form."""
    assert response.status == 200, response
    return [one if "id" in one else one.get("notification") or one["command"] for one in response.json()]


def ids(response: Response) -> list[int]:
    """Their ids, in their order."""
    return [one["id"] for one in messages(response)]
