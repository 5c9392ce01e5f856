"""What holds on to single devices: extended connections' subscriptions that name them, and watches of their commands.

When its last device is out of reach, a subscription ends, and its connection is told, or ends with it when it is an
event stream; so does a watch, quietly. What names no device ends with its connection only, and on ordinary connections
everything does: it delivers the device again when access returns.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hub.core.access import Principal
from hub.core.subscription import Subscription
from protocol.errors import NOT_PERMITTED, HubError
from protocol.messages import Command
from protocol.names import CLOSED, SUBSCRIBE_ACTION, CloseCode, KeyAction

if TYPE_CHECKING:
    from hub.core.connection import Connection
    from hub.gateway import Gateway

log = logging.getLogger("hub")


class Watch:
    """A connection that hears of a command's updates because it asked to."""

    __slots__ = ("command_id", "connection", "guids")

    action = KeyAction.GET_DEVICE_COMMAND

    def __init__(self, connection: "Connection", command_id: int, guid: str) -> None:
        self.connection = connection
        self.command_id = command_id
        self.guids = (guid,)

    @property
    def principal(self) -> Principal:
        return self.connection.principal


Holder = Subscription | Watch


class Named:
    """Who holds on to which devices. Only as many watches of a connection are kept as it may listen to commands."""

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway
        self._holders: dict[str, dict[Holder, None]] = {}
        self._watches: dict[Connection, dict[int, Watch]] = {}
        self._pending: dict[Holder, None] = {}
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How many devices are held on to."""
        return len(self._holders)

    # --- who holds on

    def add(self, subscription: Subscription) -> None:
        """A subscription was made."""
        if subscription.connection.extended and subscription.guids:
            self._hold(subscription, subscription.guids)

    def remove(self, subscription: Subscription) -> None:
        """It has ended. Idempotent."""
        if subscription.connection.extended and subscription.guids:
            self._let_go(subscription, subscription.guids)

    def watch(self, connection: "Connection", command: Command) -> None:
        """A connection watches a command of its device from now on."""
        if command.id not in connection.listening:
            return
        watches = self._watches.setdefault(connection, {})
        if command.id not in watches:
            watches[command.id] = watch = Watch(connection, command.id, command.device_guid)
            self._hold(watch, watch.guids)
        if len(watches) > len(connection.listening):
            for command_id in [one for one in watches if one not in connection.listening]:
                self._drop(watches.pop(command_id))

    def forget(self, connection: "Connection") -> None:
        """A connection has gone; its subscriptions are removed one by one. Idempotent."""
        for watch in self._watches.pop(connection, {}).values():
            self._drop(watch)

    def _hold(self, holder: Holder, guids: Iterable[str]) -> None:
        for guid in guids:
            self._holders.setdefault(guid, {})[holder] = None

    def _drop(self, watch: Watch) -> None:
        self._let_go(watch, watch.guids)

    def _let_go(self, holder: Holder, guids: Iterable[str]) -> None:
        self._pending.pop(holder, None)
        for guid in guids:
            holders = self._holders.get(guid, {})
            holders.pop(holder, None)
            if not holders:
                self._holders.pop(guid, None)

    # --- what has changed

    def changed(self, guid: str | None) -> None:
        """A device has changed, or its place has; None: perhaps all of them."""
        if guid is not None:
            self._look(self._holders.get(guid, ()))
        else:
            self._look([holder for holders in self._holders.values() for holder in holders])

    def look_at(self, connection: "Connection") -> None:
        """What a connection may see has changed."""
        if connection.extended:
            self._look([one for one in connection.subscriptions.values() if one.guids])
        self._look(self._watches.get(connection, {}).values())

    def _look(self, holders: Iterable[Holder]) -> None:
        self._pending.update(dict.fromkeys(holders))
        if self._pending and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="named")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while self._pending:
                holder = next(iter(self._pending))
                del self._pending[holder]
                await self._check(holder)
        except Exception:
            log.exception("it could not be looked who has lost which device")
        finally:
            self._task = None

    async def _check(self, holder: Holder) -> None:
        try:
            devices = await self._gateway.devices.devices(tuple(holder.guids or ()))
        except HubError as error:
            log.warning("devices could not be read", extra={"error": error.text})
            self._pending[holder] = None
            await asyncio.sleep(self._gateway.policy.change_poll_s)
            return
        if self._gateway.rights.is_stale(holder.connection):
            return  # It is looked at again when what it may see is known.
        action = holder.action if isinstance(holder, Watch) else SUBSCRIBE_ACTION[holder.kind]
        access = holder.principal.access
        if not any(device is not None and access.sees(action, device) for device in devices):
            self.end(holder)

    def end(self, holder: Holder) -> None:
        """Somebody has lost what this was about. Idempotent."""
        connection = holder.connection
        if isinstance(holder, Watch):
            self._watches.get(connection, {}).pop(holder.command_id, None)
            self._drop(holder)
            self._gateway.unlisten(connection, holder.command_id)
        elif connection.subscriptions.get(holder.id) is holder:
            self._gateway.unsubscribe(connection, holder)
            if connection.is_stream:
                self._gateway.close(connection, CloseCode.NORMAL, NOT_PERMITTED.reason, detail=_devices(holder))
            elif connection.extended:
                connection.tell(_closed(holder))
                self._gateway.visit(connection)


def _closed(subscription: Subscription) -> dict[str, Any]:
    told = {"action": CLOSED, "subscriptionId": subscription.id, "reason": NOT_PERMITTED.reason}
    return {**told, "detail": _devices(subscription)}


def _devices(subscription: Subscription) -> dict[str, Any]:
    device = subscription.principal.device
    guids = sorted(subscription.guids or ([device.guid] if device is not None else ()))
    return {"deviceGuid": guids[0]} if len(guids) == 1 else {"deviceGuids": guids}
