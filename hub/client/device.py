"""What devices and gateways use: a device, as it sees itself, and commands for it."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from hub.client.credentials import Credentials, Registration
from hub.client.following import answered_id
from hub.client.members import describe_notification, describe_update, name_command, read_object
from hub.client.session import Session
from hub.client.socket import Options
from hub.client.stream import Stream
from protocol.client_events import CommandView, Subscription
from protocol.names import Action, Endpoint, Kind, Special


@asynccontextmanager
async def connect_device(
    url: str,
    *,
    guid: str,
    key: str,
    registration: Registration | None = None,
    options: Options = Options(),
) -> AsyncIterator["Device"]:
    """Connect a device, or a gateway that speaks for several (:meth:`Device.speak_for`).

    Args:
        url: the hub's WebSocket address, such as ``ws://127.0.0.1:8080/api/websocket``.
        guid: the device's identifier: 1 to 48 characters.
        key: the device's key.
        registration: registers the device before it authenticates, or brings what the hub knows of it up to date.

    Raises:
        CredentialsRefused: guid or key are wrong, or the device is blocked.
        HubRefused: the hub does not accept the registration.
        ConnectionLost: there is no hub at this address, or it does not answer.
        ValueError: the address is not one.
    """
    session = Session(
        url,
        Endpoint.DEVICE,
        options,
        credentials=Credentials.device(guid, key),
        registration=None if registration is None else registration.members(guid, key),
    )
    await session.start()
    try:
        yield Device(session, guid)
    finally:
        await session.stop()


class Command:
    """A command that a device shall carry out."""

    def __init__(self, view: CommandView, device: "Device") -> None:
        self.view = view
        self._device = device

    def __repr__(self) -> str:
        return f"<Command {self.id} {self.name} for {self.view.device_guid}>"

    @property
    def id(self) -> int:
        return self.view.id

    @property
    def name(self) -> str:
        return self.view.name

    @property
    def parameters(self) -> Any:
        return self.view.parameters

    async def received(self, *, timeout_s: float | None = None) -> bool:
        """Tell whoever sent the command that it is here, and will be carried out. For what takes a while or cannot be
        undone; :meth:`reply` says so, too. Extended mode.

        Returns:
            Whether it still counts, and from now on can neither expire nor be cancelled. False: it has expired or was
            cancelled meanwhile; leave it alone.
        """
        return await self._device._receive(self.id, timeout_s=timeout_s)

    async def reply(self, status: str, result: Any = None, *, timeout_s: float | None = None) -> None:
        """Tell whoever sent the command how it went; the hub has stored it when this returns.

        Args:
            status: in the device's own words: ``done``, ``failed``.
            result: anything that JSON can hold.
        """
        await self._device._update(self.id, status, result, timeout_s=timeout_s)


class Device:
    """A device, as it sees itself. Made by :func:`connect_device` or :meth:`speak_for`.

    What waits takes ``timeout_s`` and raises as the methods of :class:`Hub` do.
    """

    def __init__(self, session: Session, guid: str, speaker: Mapping[str, str] | None = None) -> None:
        self.guid = guid
        self._session = session
        self._speaker = speaker or {}

    def __repr__(self) -> str:
        return f"<Device {self.guid} {'connected' if self.connected else 'not connected'}>"

    @property
    def connected(self) -> bool:
        """Whether there is a connection at this moment; without one, calls wait for the next."""
        return self._session.connected

    async def notify(
        self,
        name: str,
        parameters: Any = None,
        *,
        timeout_s: float | None = None,
        idempotency_key: str | None = None,
    ) -> int:
        """Tell something. Returns the notification's id, once it is stored."""
        members = {"deviceGuid": self.guid, **describe_notification(name, parameters, idempotency_key), **self._speaker}
        answer = await self._session.call(Action.NOTIFICATION_INSERT, members, timeout_s=timeout_s)
        return answered_id(answer, "notification")

    async def set_status(self, status: str, *, timeout_s: float | None = None) -> None:
        """Tell the device's status, such as ``Online``; everybody who may see the device hears of it."""
        await self.notify(Special.DEVICE_STATUS, {"status": status}, timeout_s=timeout_s)

    def commands(self, *, names: Iterable[str] | None = None, since: int | None = 0) -> Stream[Command]:
        """Commands to carry out, for ``async for``.

        A command is delivered at least once: first those that waited, or that a former run took and never answered.

        Args:
            names: None: every name.
            since: leave out what waits up to this id; None: everything that was sent before.
        """
        subscription = Subscription(
            Kind.COMMAND, device_guids=[self.guid], names=names, since=since, speaker=self._speaker
        )
        return self._session.stream(subscription, lambda view: Command(view, self))

    async def describe(self, *, timeout_s: float | None = None) -> Mapping[str, Any]:
        """What the hub knows of the device."""
        answer = await self._session.call(Action.DEVICE_GET, self._speaker, timeout_s=timeout_s)
        return read_object(answer, "device")

    async def speak_for(
        self,
        guid: str,
        *,
        key: str,
        registration: Registration | None = None,
        timeout_s: float | None = None,
    ) -> "Device":
        """Another device behind this gateway, over the same connection; each of its requests carries its key.

        Args:
            registration: registers the other device, or brings what the hub knows of it up to date.
        """
        if registration is not None:
            members = registration.members(guid, key)
            await self._session.call(Action.DEVICE_SAVE, members, timeout_s=timeout_s)
        return Device(self._session, guid, {"deviceId": guid, "deviceKey": key})

    async def _receive(self, command_id: int, *, timeout_s: float | None) -> bool:
        members = {**name_command(self.guid, command_id), **self._speaker}
        answer = await self._session.call(Action.COMMAND_RECEIVE, members, timeout_s=timeout_s)
        return read_object(answer, "command").get("state") not in ("expired", "cancelled")

    async def _update(self, command_id: int, status: str, result: Any, *, timeout_s: float | None) -> None:
        members = {**describe_update(self.guid, command_id, status, result), **self._speaker}
        await self._session.call(Action.COMMAND_UPDATE, members, timeout_s=timeout_s)
