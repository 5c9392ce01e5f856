"""Waiting for messages, and for what comes of a command: long polls."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from hub.actions.accounts import is_current, require_valid
from hub.actions.caller import Caller
from hub.actions.history import get_command
from hub.bus import updates_of
from hub.core.connection import Connection
from hub.core.polls import Gathered
from hub.core.subscription import Subscription
from hub.gateway import Gateway
from hub.gateway.polls import Poll
from hub.gateway.replays import reach_of
from hub.store import LogQuery
from protocol.errors import BAD_WAIT, NOT_AUTHENTICATED, Forbidden, Unauthorized, limit_reached
from protocol.message_forms import GetMessage, PollMessages, WaitForCommand
from protocol.messages import LANES, Command, Message
from protocol.names import SUBSCRIBE_ACTION, Kind
from protocol.requests import Subscribe


def check_wait(gateway: Gateway, wait_s: int | None) -> int:
    """How long a poll waits, in seconds.

    Raises:
        BadRequest: too long, or less than nothing.
    """
    most = gateway.policy.poll_wait_most_s
    if wait_s is None:
        return gateway.policy.poll_wait_s
    if not 0 <= wait_s <= most:
        raise BAD_WAIT.error(most=most, detail={"parameter": "waitTimeout", "limit": "poll-wait-most-s", "value": most})
    return wait_s


# --- messages ---------------------------------------------------------------------------------------------------------


async def poll_messages(gateway: Gateway, caller: Caller, ask: PollMessages) -> Sequence[Message]:
    """Messages that are newer than a time, or the next that come; none when the time is over. Devices that the caller
    may not see are passed over."""
    wait_s = check_wait(gateway, ask.wait_s)
    most = gateway.policy.devices_per_subscription
    if most and len(ask.device_guids or ()) > most:
        raise limit_reached(most, "devices per long poll", name="devices-per-subscription")
    with gateway.polls.opened(caller.principal, caller.peer, epoch=caller.epoch) as poll:
        # Registered before anybody looks into the log: nothing falls between.
        subscription = await _subscribe(gateway, poll, ask)
        found = await _Polling(gateway, poll, subscription, ask).run(wait_s, caller)
        gateway.polls.answered["messages" if found else "empty"] += 1
        return found


async def _subscribe(gateway: Gateway, poll: Poll, ask: PollMessages) -> Subscription:
    wanted = Subscribe(ask.device_guids, ask.names)
    clauses = poll.connection.principal.access.scopes(SUBSCRIBE_ACTION[ask.kind])
    topics = frozenset[int]() if gateway.bus.alone else await gateway.follow(ask.kind, wanted, clauses)
    principal = poll.connection.principal
    return gateway.subscribe(poll.connection, principal, ask.kind, wanted, clauses=clauses, topics=topics, wakes=True)


class _Polling:
    """One poll from its registration to its answer."""

    def __init__(self, gateway: Gateway, poll: Poll, subscription: Subscription, ask: PollMessages) -> None:
        self._gateway = gateway
        self._poll = poll
        self._subscription = subscription
        self._newer_than_ms = ask.newer_than_ms
        self._gathered = Gathered(subscription, newer_than_ms=ask.newer_than_ms, cancelled=gateway.fan_out.cancelled)

    async def run(self, wait_s: int, caller: Caller) -> Sequence[Message]:
        poll = self._poll
        if self._newer_than_ms is not None:
            await self._read()
        while True:
            is_over = poll.is_over or not wait_s
            if found := await self._answer():
                return found
            if is_over:
                return ()
            if not poll.has_begun:
                poll.begin(wait_s, caller.gone)
            await poll.news()

    async def _answer(self) -> Sequence[Message]:
        """All that there is up to the border; what comes behind it is for the next poll."""
        while (border_ms := await self._border()) is not None:
            await self._gateway.polls.pass_by(border_ms)
            # Access is that of this moment.
            await _require_current(self._gateway, self._poll.connection)
            await self._collect(border_ms)
            if found := self._gathered.up_to(border_ms, self._gateway.expiry_ms()):
                return found
            # Nothing of it may be seen any more. What comes behind it was left to the log.
            self._newer_than_ms = border_ms
            cancelled = self._gateway.fan_out.cancelled
            self._gathered = Gathered(self._subscription, newer_than_ms=border_ms, cancelled=cancelled)
            await self._read()
        return ()

    async def _border(self) -> int | None:
        await self._gateway.polls.settled(self._poll.connection)
        await self._collect(None)
        return self._gathered.border(self._gateway.expiry_ms())

    async def _collect(self, up_to_ms: int | None) -> None:
        """Take what has come live. What was too much to be held is in the log."""
        subscription = self._subscription
        self._gateway.fan_out.settle()
        self._gathered.collect()
        if subscription.overrun:
            subscription.overrun = False
            await self._read(up_to_ms)

    async def _read(self, up_to_ms: int | None = None) -> None:
        subscription, expiry_ms = self._subscription, self._gateway.expiry_ms()
        query = LogQuery(
            subscription.kind,
            after=subscription.position if self._newer_than_ms is None else 0,
            newer_than_ms=self._newer_than_ms,
            up_to_ms=up_to_ms,
            reach=reach_of(subscription.clauses, subscription.guids),
            names=subscription.names,
            pending_at_ms=(expiry_ms or 0) if subscription.kind is Kind.COMMAND else None,
        )
        await self._gateway.polls.read(self._gathered, query)


async def _require_current(gateway: Gateway, connection: Connection) -> None:
    """See that a poll's principal is valid at this moment, with the rights that it has now.

    Raises:
        Unauthorized: it is not.
    """
    await gateway.polls.settled(connection)
    if not is_current(gateway, connection.principal):
        try:
            await require_valid(gateway, connection.principal)
        except (Unauthorized, Forbidden) as exc:
            raise NOT_AUTHENTICATED.error() from exc


# --- the result of a command ------------------------------------------------------------------------------------------


async def wait_for_command(gateway: Gateway, caller: Caller, ask: WaitForCommand) -> Command | None:
    """A command with what came of it, as soon as something has; None when the time is over."""
    wait_s = check_wait(gateway, ask.wait_s)
    with gateway.polls.opened(caller.principal, caller.peer, epoch=caller.epoch) as poll:
        async with _listening(gateway, poll.connection, ask.command_id):
            command = await _first_update(gateway, poll, ask, wait_s, caller)
        gateway.polls.answered["empty" if command is None else "messages"] += 1
        return command


@asynccontextmanager
async def _listening(gateway: Gateway, connection: Connection, command_id: int) -> AsyncIterator[None]:
    """Hear of updates of a command, which another worker may have inserted, and another one may update."""
    topics = frozenset[int]() if gateway.bus.alone else frozenset({updates_of(command_id % LANES)})
    try:
        if topics:
            await gateway.others.follow(topics)
        gateway.fan_out.listen(command_id, connection)
        yield
    finally:
        gateway.fan_out.forget(command_id, connection)
        gateway.others.unfollow(topics)


async def _first_update(
    gateway: Gateway, poll: Poll, ask: WaitForCommand, wait_s: int, caller: Caller
) -> Command | None:
    asked = GetMessage(ask.device_guid, ask.command_id)
    while True:
        is_over = poll.is_over or not wait_s
        await _require_current(gateway, poll.connection)
        # Whoever is told of an update looks it up: whatever has come of it by then, and whatever access is by then.
        command = await get_command(gateway, Caller(poll.connection.principal), asked)
        if command.updated:
            return command
        if is_over:
            return None
        if not poll.has_begun:
            poll.begin(wait_s, caller.gone)
        await poll.news()
