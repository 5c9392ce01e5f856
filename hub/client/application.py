"""What applications use: a hub, as they see it."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from hub.client.credentials import Credentials, Registration
from hub.client.following import answered_command, answered_id
from hub.client.members import (
    describe_command,
    describe_notification,
    describe_update,
    name_command,
    read_object,
    write_time,
)
from hub.client.session import Session
from hub.client.socket import Options
from hub.client.stream import Stream
from protocol.client_events import CommandView, MessageView, NotificationView, Subscription
from protocol.names import Action, Endpoint, Kind, Overflow


@asynccontextmanager
async def connect(
    url: str,
    *,
    access_key: str | None = None,
    login: str | None = None,
    password: str | None = None,
    options: Options = Options(),
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
        return read_object(answer, "info")

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
            timestamp=write_time(timestamp),
            overflow=overflow,
        )
        return self._session.stream(subscription, _notification)

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
            timestamp=write_time(timestamp),
            overflow=overflow,
        )
        return self._session.stream(subscription, _command)

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
            NoAnswer: not in time, or the hub tells nothing more of it: a right was taken away, say. With ``command_id``
                the hub has the command, and the device may still carry it out: :meth:`wait_for` goes on waiting,
                :meth:`cancel` takes it back.
        """
        members = describe_command(device, name, parameters, lifetime_s, idempotency_key, queue=queue)
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
        members = describe_command(device, name, parameters, lifetime_s, idempotency_key, queue=queue)
        answer = await self._session.call(Action.COMMAND_INSERT, members, timeout_s=timeout_s)
        return answered_id(answer, "command")

    async def command(self, device: str, command_id: int, *, timeout_s: float | None = None) -> CommandView:
        """A command as it is now, with its ``state`` (extended mode)."""
        answer = await self._session.call(Action.COMMAND_GET, name_command(device, command_id), timeout_s=timeout_s)
        return answered_command(answer)

    async def wait_for(self, device: str, command_id: int, *, timeout_s: float = 10.0) -> CommandView:
        """Wait until a command has been answered, has expired or was cancelled, whoever sent it (extended mode).

        What has happened already counts; a reconnect changes nothing.

        Raises:
            NoAnswer: not in time.
        """
        return await self._session.following.follow(
            Action.COMMAND_WATCH, name_command(device, command_id), timeout_s=timeout_s
        )

    async def cancel(self, device: str, command_id: int, *, timeout_s: float | None = None) -> None:
        """Take a command back (extended mode): from now on it is given to nobody. Doing so twice is harmless.

        A device that it was written to already (``sent``) may carry it out all the same, unless it asks
        (:meth:`Command.received`).

        Raises:
            HubRefused: too late: it was received or answered, or has expired; ``detail`` has its ``state``.
        """
        await self._session.call(Action.COMMAND_CANCEL, name_command(device, command_id), timeout_s=timeout_s)

    async def update_command(
        self, device: str, command_id: int, *, status: str, result: Any = None, timeout_s: float | None = None
    ) -> None:
        """Answer a command in the device's place."""
        members = describe_update(device, command_id, status, result)
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
        members = {"deviceGuid": device, **describe_notification(name, parameters, idempotency_key)}
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


def _notification(message: MessageView) -> NotificationView:
    assert isinstance(message, NotificationView), "a subscription carries one kind"
    return message


def _command(message: MessageView) -> CommandView:
    assert isinstance(message, CommandView), "a subscription carries one kind"
    return message
