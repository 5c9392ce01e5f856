"""What programs use: a device, and a hub seen by an application."""

import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from hub.client.credentials import Credentials, Registration
from hub.client.following import answered_command, answered_id
from hub.client.session import Session
from hub.client.socket import Options
from hub.client.stream import Stream
from protocol.client_events import CommandView, MessageView, NotificationView, Subscription
from protocol.names import Action, Endpoint, Kind, Overflow, Special

T = TypeVar("T")

DEFAULTS = Options()


@asynccontextmanager
async def connect(
    url: str,
    *,
    access_key: str | None = None,
    login: str | None = None,
    password: str | None = None,
    options: Options = DEFAULTS,
) -> AsyncIterator["Hub"]:
    """Connect an application, with an access key or a login and password.

    Args:
        url: the hub's WebSocket address, such as ``ws://127.0.0.1:8080/api/websocket``.

    Raises:
        CredentialsRefused: they are wrong.
        ConnectionLost: there is no hub at this address, or it does not answer.
        ValueError: the address is not one, or there are two kinds of credentials.
    """
    credentials = None
    if access_key is not None:
        credentials = Credentials.access_key(access_key)
    if login is not None or password is not None:
        if credentials is not None or login is None or password is None:
            raise ValueError("give an access key, or a login and a password")
        credentials = Credentials.user(login, password)
    session = Session(url, Endpoint.CLIENT, options, credentials=credentials)
    await session.start()
    try:
        yield Hub(session)
    finally:
        await session.stop()


@asynccontextmanager
async def connect_device(
    url: str,
    *,
    guid: str,
    key: str,
    registration: Registration | None = None,
    options: Options = DEFAULTS,
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


# --- an application ---------------------------------------------------------------------------------------------------


class Hub:
    """A hub, as an application sees it. Made by :func:`connect`.

    Every method that waits takes ``timeout_s`` and raises :class:`NoAnswer` past it, :class:`HubRefused` when the hub
    says no, and :class:`ConnectionLost` when the client is closed.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def __repr__(self) -> str:
        return f"<Hub {'connected' if self.connected else 'not connected'}>"

    @property
    def connected(self) -> bool:
        """Whether there is a connection at this moment; without one, calls wait for the next."""
        return self._session.connected

    async def server_info(self, *, timeout_s: float | None = None) -> Mapping[str, Any]:
        """``apiVersion``, ``serverTimestamp`` and ``restServerUrl``."""
        answer = await self._session.call(Action.SERVER_INFO, {}, timeout_s=timeout_s)
        return _mapping(answer, "info")

    def notifications(
        self,
        *,
        devices: Iterable[str] | None = None,
        names: Iterable[str] | None = None,
        since: int | None = None,
        timestamp: datetime | str | None = None,
        overflow: Overflow | None = None,
    ) -> Stream[NotificationView]:
        """Notifications as they come, for ``async for``.

        Args:
            devices: their guids; None: every device that the credentials may see, now and in future.
            names: None: every name.
            since: stored notifications with a greater id come first. 0: all of them.
            timestamp: the same by time; not together with ``since``.
            overflow: what the hub shall do when the network is too slow; default: close, so that the client replays.
        """
        subscription = Subscription(
            Kind.NOTIFICATION,
            device_guids=devices,
            names=names,
            since=since,
            timestamp=_text(timestamp),
            overflow=overflow,
        )
        return _stream(self._session, subscription, _notification)

    def commands(
        self,
        *,
        devices: Iterable[str] | None = None,
        names: Iterable[str] | None = None,
        since: int | None = None,
        timestamp: datetime | str | None = None,
        overflow: Overflow | None = None,
    ) -> Stream[CommandView]:
        """Commands that are sent to devices, for who watches; arguments as of :meth:`notifications`.

        Stored commands are replayed only as long as nothing has answered them.
        """
        subscription = Subscription(
            Kind.COMMAND,
            device_guids=devices,
            names=names,
            since=since,
            timestamp=_text(timestamp),
            overflow=overflow,
        )
        return _stream(self._session, subscription, _command)

    async def send(
        self,
        device: str,
        name: str,
        parameters: Any = None,
        *,
        lifetime_s: int | None = None,
        queue: bool = True,
        timeout_s: float = 10.0,
        idempotency_key: str | None = None,
    ) -> CommandView:
        """Send a command and wait until the device has answered it; ``status`` and ``result`` are its words.

        The first update with a status or a result counts, or that the command expired or was cancelled (``state``). A
        command that a connection in extended mode lost sight of is found again after the reconnect.

        Args:
            lifetime_s: seconds until it expires; None: never.
            queue: False: refuse with ``not-connected`` while the device listens to no commands. DeviceHive's own server
                knows no such thing, and keeps the command.

        Raises:
            NoAnswer: not in time. With ``command_id`` the hub has the command, and the device may still carry it out:
                :meth:`wait_for` goes on waiting, :meth:`cancel` takes it back.
        """
        members = _insertion(device, name, parameters, lifetime_s, idempotency_key, queue=queue)
        return await self._session.following.follow(Action.COMMAND_INSERT, members, timeout_s=timeout_s)

    async def insert_command(
        self,
        device: str,
        name: str,
        parameters: Any = None,
        *,
        lifetime_s: int | None = None,
        queue: bool = True,
        timeout_s: float | None = None,
        idempotency_key: str | None = None,
    ) -> int:
        """Store a command for a device without waiting for the device; arguments as of :meth:`send`.

        Returns:
            The command's id.
        """
        members = _insertion(device, name, parameters, lifetime_s, idempotency_key, queue=queue)
        answer = await self._session.call(Action.COMMAND_INSERT, members, timeout_s=timeout_s)
        return answered_id(answer, "command")

    async def command(self, device: str, command_id: int, *, timeout_s: float | None = None) -> CommandView:
        """A command as it is now, with its ``state`` (extended mode)."""
        answer = await self._session.call(Action.COMMAND_GET, _named(device, command_id), timeout_s=timeout_s)
        return answered_command(answer)

    async def wait_for(self, device: str, command_id: int, *, timeout_s: float = 10.0) -> CommandView:
        """Wait until a command has been answered, has expired or was cancelled, whoever sent it (extended mode).

        What has happened already counts; a reconnect changes nothing.

        Raises:
            NoAnswer: not in time.
        """
        return await self._session.following.follow(
            Action.COMMAND_WATCH, _named(device, command_id), timeout_s=timeout_s
        )

    async def cancel(self, device: str, command_id: int, *, timeout_s: float | None = None) -> None:
        """Take a command back (extended mode): from now on it is given to nobody. Doing so twice is harmless.

        A device that it was written to already (``sent``) may carry it out all the same, unless it asks
        (:meth:`Command.received`).

        Raises:
            HubRefused: too late: it was received or answered, or has expired; ``detail`` has its ``state``.
        """
        await self._session.call(Action.COMMAND_CANCEL, _named(device, command_id), timeout_s=timeout_s)

    async def update_command(
        self, device: str, command_id: int, *, status: str, result: Any = None, timeout_s: float | None = None
    ) -> None:
        """Answer a command in the device's place."""
        members = _update(device, command_id, status, result)
        await self._session.call(Action.COMMAND_UPDATE, members, timeout_s=timeout_s)

    async def notify(
        self,
        device: str,
        name: str,
        parameters: Any = None,
        *,
        timeout_s: float | None = None,
        idempotency_key: str | None = None,
    ) -> int:
        """Insert a notification in a device's place. Returns its id, once it is stored."""
        members = {"deviceGuid": device, **_notified(name, parameters, idempotency_key)}
        answer = await self._session.call(Action.NOTIFICATION_INSERT, members, timeout_s=timeout_s)
        return answered_id(answer, "notification")

    async def save_device(
        self,
        guid: str,
        registration: Registration,
        *,
        key: str | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """Create a device (then ``key`` is needed), or bring what the hub knows of it up to date."""
        await self._session.call(Action.DEVICE_SAVE, registration.members(guid, key), timeout_s=timeout_s)


# --- a device ---------------------------------------------------------------------------------------------------------


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
        members = {"deviceGuid": self.guid, **_notified(name, parameters, idempotency_key), **self._speaker}
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
        return _stream(self._session, subscription, lambda view: Command(view, self))

    async def describe(self, *, timeout_s: float | None = None) -> Mapping[str, Any]:
        """What the hub knows of the device."""
        answer = await self._session.call(Action.DEVICE_GET, self._speaker, timeout_s=timeout_s)
        return _mapping(answer, "device")

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
        members = {**_named(self.guid, command_id), **self._speaker}
        answer = await self._session.call(Action.COMMAND_RECEIVE, members, timeout_s=timeout_s)
        return _mapping(answer, "command").get("state") not in ("expired", "cancelled")

    async def _update(self, command_id: int, status: str, result: Any, *, timeout_s: float | None) -> None:
        members = {**_update(self.guid, command_id, status, result), **self._speaker}
        await self._session.call(Action.COMMAND_UPDATE, members, timeout_s=timeout_s)


# --- what both need ---------------------------------------------------------------------------------------------------


def _stream(session: Session, subscription: Subscription, wrap: Any) -> Stream[Any]:
    options = session.options
    return Stream(session, subscription, wrap, queue_limit=options.queue_limit, timeout_s=options.timeout_s)


def _notification(message: MessageView) -> NotificationView:
    assert isinstance(message, NotificationView), "a subscription carries one kind"
    return message


def _command(message: MessageView) -> CommandView:
    assert isinstance(message, CommandView), "a subscription carries one kind"
    return message


def _notified(name: str, parameters: Any, idempotency_key: str | None) -> dict[str, Any]:
    return {
        "notification": {"notification": name, "parameters": parameters},
        "idempotencyKey": idempotency_key or uuid.uuid4().hex,
    }


def _insertion(
    device: str, name: str, parameters: Any, lifetime_s: int | None, idempotency_key: str | None, *, queue: bool
) -> dict[str, Any]:
    command: dict[str, Any] = {"command": name, "parameters": parameters}
    if lifetime_s is not None:
        command["lifetime"] = lifetime_s
    members = {"deviceGuid": device, "command": command, "idempotencyKey": idempotency_key or uuid.uuid4().hex}
    return members if queue else {**members, "queue": False}


def _named(device: str, command_id: int) -> dict[str, Any]:
    return {"deviceGuid": device, "commandId": command_id}


def _update(device: str, command_id: int, status: str, result: Any) -> dict[str, Any]:
    command = {"status": status} if result is None else {"status": status, "result": result}
    return {**_named(device, command_id), "command": command}


def _mapping(answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = answer.get(name)
    return value if isinstance(value, dict) else {}


def _text(timestamp: datetime | str | None) -> str | None:
    if isinstance(timestamp, datetime):
        return timestamp.astimezone(UTC).isoformat(timespec="milliseconds")
    return timestamp
