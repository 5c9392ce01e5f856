"""The gateway: one worker. Its connections, the tick, its caches, its part in the bus.

A turn of the event loop collects; at its end the turn's writes go to the log as one batch. When a batch is committed,
each socket concerned is written to once, responses first, then pushes. The state of a gateway belongs to its loop and
is consistent between any two awaits.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import uuid4

from hub.bus import Bus, Placed
from hub.core.access import Clauses, Principal
from hub.core.audience import Share
from hub.core.connection import Connection
from hub.core.fanout import FanOut
from hub.core.limits import Tally
from hub.core.stamps import Stamp
from hub.core.states import of_update
from hub.core.subscription import Published, Subscription
from hub.gateway.admission import Admission
from hub.gateway.calls import Commit
from hub.gateway.commits import Commits
from hub.gateway.devices import Devices
from hub.gateway.duties import Duties
from hub.gateway.ids import Ids
from hub.gateway.logins import Logins
from hub.gateway.open_commands import OpenCommands
from hub.gateway.order import Order
from hub.gateway.others import Others
from hub.gateway.policy import Policy
from hub.gateway.polls import Polls
from hub.gateway.replays import Replays, Socket, published
from hub.gateway.rights import Rights
from hub.gateway.states import States
from hub.store import Amend, Append, Change, Idempotency, Lane, Logged, LogQuery, Store, Transact, Tx, Write
from protocol.entities import Device
from protocol.errors import HubError
from protocol.messages import LANES, Command, CommandPatch, Message, Notification
from protocol.names import INT64_MAX, CloseCode, CommandState, Kind, Overflow
from protocol.requests import Subscribe

log = logging.getLogger("hub")

WriteTogether = Callable[[dict[Connection, None], Mapping[Connection, Any], Sequence[Share]], Iterable[Connection]]

__all__ = ["Gateway", "Policy", "Socket", "Stamps", "system_clock_us"]


def system_clock_us() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


class Stamps:
    """Stamps that were drawn for a transaction before it was queued, so that ids follow the order of the log.

    The transaction runs in the store's thread, and takes as many of them as it stores messages.
    """

    def __init__(self, stamps: Sequence[Stamp]) -> None:
        self._stamps = list(stamps)

    def take(self) -> Stamp:
        return self._stamps.pop(0)


class Gateway:
    """One worker of the hub.

    Args:
        clock_us: microseconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        bus: Bus,
        *,
        policy: Policy = Policy(),
        clock_us: Callable[[], int] = system_clock_us,
    ) -> None:
        self.store = store
        self.bus = bus
        self.policy = policy
        self.clock_us = clock_us
        self.now_us = clock_us
        """The time that the workers of a cluster agree on."""
        self.fan_out = FanOut(hold_bytes=policy.hold_bytes)
        self.devices = Devices(store, most=policy.device_cache, patience_s=policy.database_wait_s)
        self.rights = Rights(self)
        self.others = Others(self)
        self.admission = Admission(self)
        self.ids = Ids(self)
        self.tally = Tally()
        """How often each limit was reached, here and at the edge."""
        self.order = Order(
            bus,
            self.fan_out,
            within_s=policy.bus_wait_s,
            together=lambda: self.others.workers > 1,
            released=self.arm,
        )
        self.commits = Commits(
            store,
            settled=self._flush,
            catch_up=self._catch_up,
            finish=Commit.finish if bus.alone else self.order.finish,
            most=policy.pending_writes,
            most_bytes=policy.pending_write_bytes,
            patience_s=policy.database_wait_s,
        )
        self.open_commands = OpenCommands(
            store,
            most=policy.open_commands,
            devices=policy.device_cache,
            stored=self.all_submitted,
            expiry_ms=self.expiry_ms,
            patience_s=policy.database_wait_s,
        )
        self.replays = Replays(
            store,
            self.fan_out,
            now_ms=self.now_ms,
            visit=self.visit,
            lifetime_enforced=policy.lifetime_enforced,
            at_once=policy.replays_at_once,
            page=policy.replay_page,
            stored=self.all_stored,
            is_stale=self.rights.is_stale,
        )
        self.states = States(self)
        self.polls = Polls(self)
        self.configuration: dict[str, str] = {}
        self._reading_configuration = asyncio.Lock()
        self.duties = Duties(self)
        self.logins = Logins(self)
        self.activity: dict[int, int] = {}
        self.write_together: WriteTogether | None = None
        """Writes to many sockets at once, where that is possible; returns the connections that still want a visit."""
        self._sockets: dict[Connection, Socket] = {}
        self._visits: dict[Connection, None] = {}
        self._armed = False
        self._newest: Commit | None = None
        """The last write that is published when it is committed."""
        self.own_newest = 0
        """The greatest id that was committed here and published."""
        self._ahead_us = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._sockets

    def __len__(self) -> int:
        """How many connections there are; long polls are none."""
        return len(self._sockets) - len(self.polls)

    @property
    def connections(self) -> list[Connection]:
        return [connection for connection in self._sockets if connection not in self.polls]

    def now_ms(self) -> int:
        return self.now_us() // 1000

    # --- life

    async def start(self) -> None:
        """Take a lane, learn the state of things, and begin to write. The store is open already."""
        lane = await self.take_lane()
        # Retention may have taken the newest messages, too.
        self.fan_out.newest = max(lane.last_id, *[await self.store.pruned_to(kind, None) for kind in Kind])
        self.own_newest = self.fan_out.newest
        await self.read_configuration()
        self.commits.start()
        await self.rights.start()
        await self.others.start(lane)
        self.duties.start()

    async def take_lane(self) -> Lane:
        """Take an id space of our own, and reserve ids in it."""
        queued, begun_us = not self.policy.durable_notifications, self.clock_us()
        lane = await self.store.open_lane(self.others.run, queued=queued)
        if not self.bus.alone:
            self.set_clock(lane.now_us, begun_us)
        await self.ids.take(lane)
        return lane

    def set_clock(self, now_us: int, begun_us: int) -> None:
        """Go by a time that all workers can know: it was ``now_us`` when our own clock showed ``begun_us`` or more, and
        not more than it shows now. As long as the two can agree, nothing changes."""
        least_us, most_us = now_us - self.clock_us(), now_us - begun_us
        self._ahead_us = min(max(self._ahead_us, least_us), most_us)
        self.now_us = self._agreed_us

    def _agreed_us(self) -> int:
        return self.clock_us() + self._ahead_us

    async def stop(self) -> None:
        """Flush the log, last of all, and give the lane back."""
        await self.duties.stop()
        await self.rights.stop()
        with _telling("the last signs of life were not stored"):
            await self.duties.flush_activity()
        await self.others.stop()
        await self.commits.stop()
        self.logins.close()
        for task in list(self._tasks):
            await asyncio.wait({task}, timeout=5)
        # Unless all is stored, the next start records what may be missing; so it does where the lane stays taken.
        with _telling("the lane could not be given back"):
            await self.store.close_lane(self.ids.lane, owner=self.others.run, complete=not self.commits.lost)

    def spawn(self, work: Any) -> "asyncio.Task[None]":
        """Do something beside what is under way; :meth:`stop` waits for it, and whatever fails is logged."""
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, HubError):
            log.warning("a duty was put off", extra={"duty": task.get_name(), "error": error.text})
        elif error is not None:
            log.error("a duty failed", exc_info=error, extra={"duty": task.get_name()})

    # --- connections

    def connect(self, connection: Connection, socket: Socket) -> None:
        self._sockets[connection] = socket
        self.rights.add(connection, connection.principal)

    def disconnect(self, connection: Connection) -> None:
        """Forget a connection and all that hangs on it. Idempotent."""
        if self._sockets.pop(connection, None) is None:
            return
        self._visits.pop(connection, None)
        self.admission.leave(connection)
        self.rights.forget(connection)
        for subscription in list(connection.subscriptions.values()):
            self.unsubscribe(connection, subscription)
        for command_id in connection.listening:
            self._forget(command_id, connection)
        connection.listening.clear()
        connection.outbox.close()

    def close(self, connection: Connection, code: CloseCode, reason: str, **members: Any) -> None:
        """Decide that a connection ends; it does at the end of the turn."""
        connection.close(code, reason, **members)
        self.visit(connection)

    def authenticated(self, connection: Connection, principal: Principal, *, epoch: int) -> None:
        """A connection acts for this principal from now on.

        Args:
            epoch: of the rights, when reading about the principal began. If anything has changed since, read it again.

        Raises:
            Unavailable: the principal's user has too many connections. Nothing has changed.
        """
        if connection not in self:
            return
        if connection.principal.is_anonymous:
            self.admission.check(principal)
            self.admission.enter(connection, principal)
        self.rights.remove(connection)
        connection.principal = principal
        self.rights.add(connection, principal)
        for subscription in connection.subscriptions.values():
            self.rights.add(connection, subscription.principal)
        if epoch != self.rights.epoch:
            self.rights.mark_stale(connection)

    def heard(self, connection: Connection) -> None:
        """A sign of life: it counts for the connection's device."""
        if connection.principal.device is not None:
            self.activity[connection.principal.device.id] = self.now_ms()

    def heard_for_all(self, connection: Connection) -> None:
        """A sign of life that counts for every device that the connection takes commands for by name."""
        now_ms = self.now_ms()
        for subscription in connection.of_kind(Kind.COMMAND):
            if subscription.principal.device is not None:
                self.activity[subscription.principal.device.id] = now_ms
            elif subscription.guids is not None:
                self._heard_of(subscription.guids, now_ms)

    def _heard_of(self, guids: frozenset[str], now_ms: int) -> None:
        for guid in guids:
            device_id = self.devices.row_id(guid)
            if device_id is not None:
                self.activity[device_id] = now_ms

    # --- the tick

    def visit(self, connection: Connection) -> None:
        """Write to a connection's socket at the end of this turn."""
        self._visits[connection] = None
        if not self._armed:
            self._armed = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """The end of a turn: every socket that has something is written to, once."""
        self._armed = False
        if not self.bus.alone:
            # Before anybody here can answer to it: what follows from a message comes after it, on every worker.
            self.others.tell()
            self.order.end_turn()
        visits, self._visits = self._visits, {}
        shares = self.fan_out.take_shares() if self.write_together is not None else ()
        for connection in self.fan_out.take_ready():
            visits[connection] = None
        sockets = self._sockets
        left: Iterable[Connection] = visits
        if self.write_together is not None:
            left = self.write_together(visits, sockets, shares)
        for connection in left:
            socket = sockets.get(connection)
            if socket is None:
                continue
            try:
                socket.visit()
            except Exception:
                # One of the three places that must survive: a socket that fails ends alone.
                log.exception("a socket failed")
                socket.abort()
        if self.fan_out.takers.taken:
            self.states.sent(self.fan_out.takers.take_taken())

    # --- messages

    def append(self, message: Message, device: Device, idempotency: Idempotency | None = None) -> Commit:
        """Store a message, then publish it. Await the commit for the message as it is in the log.

        Raises:
            StoreUnavailable: when awaited: it was not stored, as far as is known.
        """

        self._newest = self.commits.submit(Append(message, idempotency), partial(self._appended, message, device))
        return self._newest

    def append_command(self, command: Command, device: Device, idempotency: Idempotency | None = None) -> Commit:
        """The same of a command, which goes to nobody when its lifetime was over before it was stored."""

        def then(stored: Message) -> None:
            if not self.is_over(command):
                self._appended(command, device, stored)

        self._newest = self.commits.submit(Append(command, idempotency), then)
        return self._newest

    def _appended(self, message: Message, device: Device, stored: Message) -> None:
        if stored is message:  # Otherwise an earlier insert with the same idempotency key did all this.
            self.publish(message, device)

    def append_behind(self, message: Notification, device: Device) -> None:
        """Publish a notification now and store it behind (``HUB_DURABILITY=queued``)."""
        if not self.commits.doubtful and (self._newest is None or self._newest.done):
            self.commits.submit_answered(Append(message), _nothing)
            self.publish(message, device)
            self.arm()
        else:
            # What came before it is published when it is committed, so this cannot be published sooner; nor can what
            # comes after it.
            self._newest = self.commits.submit_answered(Append(message), lambda _: self.publish(message, device))

    def amend(self, device: Device, command_id: int, patch: CommandPatch) -> Commit:
        """Update a command, then push it to its listeners. Await the commit for the command, or None."""

        update_id = self.ids.for_update()

        def then(command: Command | None) -> None:
            if command is not None:
                self.open_commands.freed(device.id)
                self.tell_update(update_id, command)

        moves, at_ms = of_update(patch), self.expiry_ms() or 0
        return self.submit_publishing(
            Amend(device.id, device.guid, command_id, patch, update_id, moves, at_ms),
            then,
        )

    def submit_publishing(self, write: Write, then: Callable[[Any], None]) -> Commit:
        """Queue a write after which ``then`` publishes something."""
        self._newest = self.commits.submit(write, then)
        return self._newest

    def tell_update(self, update_id: int, command: Command) -> None:
        """Push a command, as a change has left it, to its listeners here and on other workers."""
        if command.state > CommandState.SENT:
            self.states.forget_end(command.id)
        if self.bus.alone:
            self.fan_out.update(command)
        else:
            self.others.updated(update_id, command)
            self.order.update(command)

    async def transact(self, work: Callable[[Tx, Stamps], Any], *, stamps_for: Sequence[int] = ()) -> Any:
        """Change entities, and store the messages that belong to the change, in one transaction.

        Args:
            work: runs in the store's thread; may append messages that it stamps with the stamps it is given.
            stamps_for: the device row of each message that may be stored; 0 for a device that does not exist yet.
        """
        stamps = Stamps(await self.ids.stamps(stamps_for))

        def run(tx: Tx) -> tuple[Any, list[Change], list[tuple[Message, Device]]]:
            result = work(tx, stamps)
            return result, tx.changes(), tx.appended()

        def then(outcome: tuple[Any, list[Change], list[tuple[Message, Device]]]) -> None:
            _, changes, appended = outcome
            self.rights.made(changes)
            for message, device in appended:
                self.publish(message, device)

        self._newest = self.commits.submit(Transact(run), then)
        return (await self._newest)[0]

    def publish(self, message: Message, device: Device) -> None:
        """Route a committed message to subscriptions here and on other workers."""
        network = device.network
        self._route(Published(message, None if network is None else network.id, device.groups))

    def from_elsewhere(self, placed: Placed) -> Published:
        """A message that another worker has committed, on its way to subscribers here."""
        return Published(placed.message, placed.network_id, placed.groups)

    def _route(self, one: Published) -> None:
        if one.message.id > self.own_newest:
            self.own_newest = one.message.id
        if self.bus.alone:
            self.fan_out.publish(one)
        else:
            self.others.message(one)
            self.order.publish(one)

    async def _catch_up(self) -> None:
        """Publish what the log has and nobody was told: the writes of a batch whose outcome was unknown."""
        await self.store.transact(_nothing)  # What the writer was busy with has come to its end then.
        found: list[Logged] = []
        newest = self.own_newest
        beyond = tuple(newest if lane == self.ids.lane else INT64_MAX for lane in range(LANES))
        for kind in Kind:
            query, complete = LogQuery(kind, after=newest, beyond=None if self.bus.alone else beyond), False
            while not complete:
                page = await self.store.read(query)
                found += page.messages
                query, complete = replace(query, after=page.read_to), page.complete
        for logged in sorted(found, key=lambda one: one.message.id):
            if not self.is_over(logged.message):
                self._route(published(logged))
        self.arm()

    async def all_stored(self) -> None:
        """Return when the log has all that was published until now: at once, unless notifications are published
        before they are stored."""
        if not self.policy.durable_notifications:
            await self.all_submitted()

    async def all_submitted(self) -> None:
        """Return when the log has all that was submitted until now, or will never have it."""
        await self.commits.submit(Transact(_nothing), _nothing)

    async def all_ended(self) -> None:
        """Return when all that was submitted until now is in the log and published, or will never be.

        Raises:
            StoreUnavailable: that cannot be known.
        """
        await self.commits.passed()
        if self.commits.doubtful:
            await self.all_submitted()
        if not self.bus.alone:
            await self.order.passed()

    def arm(self) -> None:
        """See to it that what was published in this turn is flushed at its end."""
        if not self._armed:
            self._armed = True
            asyncio.get_running_loop().call_soon(self._flush)

    # --- subscriptions

    async def follow(self, kind: Kind, ask: Subscribe, clauses: Clauses) -> frozenset[int]:
        """See to it that what other workers publish for a subscription is heard here; give the result to
        :meth:`subscribe`, before anything else is awaited."""
        guids = frozenset(ask.device_guids) if ask.device_guids is not None else None
        topics = self.others.topics(kind, guids, clauses)
        await self.others.follow(topics)
        return topics

    def subscribe(
        self,
        connection: Connection,
        principal: Principal,
        kind: Kind,
        ask: Subscribe,
        *,
        clauses: Clauses,
        topics: frozenset[int] = frozenset(),
        wakes: bool = False,
    ) -> Subscription:
        """Make a subscription and route to it; with a cursor it holds until :meth:`replay`.

        Args:
            topics: what :meth:`follow` has made heard for it.
            wakes: it holds for good, and its connection is visited when it has something.
        """
        subscription = Subscription(
            str(uuid4()),
            kind,
            connection,
            principal=principal,
            clauses=clauses,
            guids=frozenset(ask.device_guids) if ask.device_guids is not None else None,
            names=ask.names,
            asked_guids=ask.asked_guids,
            overflow=ask.overflow or Overflow.DISCONNECT,
        )
        subscription.wakes = wakes
        if wakes or ask.timestamp_ms is not None or ask.since is not None:
            subscription.hold()
        if connection in self:
            subscription.topics = topics
            if subscription.held is not None:
                self.replays.expect(subscription)
            connection.subscriptions[subscription.id] = subscription
            self.rights.add(connection, principal)
            self.fan_out.subscribe(subscription)
            self.admission.takes(subscription.takes_for)
            self.rights.named.add(subscription)
            self.rights.check(subscription)
        else:
            self.others.unfollow(topics)
        return subscription

    def replay(self, subscription: Subscription, query: LogQuery) -> None:
        """Read the log to a subscription that holds, then let it flow."""
        socket = self._sockets.get(subscription.connection)
        if socket is not None and subscription.id in subscription.connection.subscriptions:
            self.replays.start(subscription, query, socket)

    def unlisten(self, connection: Connection, command_id: int) -> None:
        """Push no more updates of a command to a connection. Idempotent."""
        connection.listening.pop(command_id, None)
        self._forget(command_id, connection)

    def _forget(self, command_id: int, connection: Connection) -> None:
        self.fan_out.forget(command_id, connection)
        if not self.fan_out.is_listened_to(command_id):
            self.states.forget_end(command_id)

    def unsubscribe(self, connection: Connection, subscription: Subscription) -> None:
        """End a subscription. Idempotent."""
        if connection.subscriptions.pop(subscription.id, None) is not None:
            self.others.unfollow(subscription.topics)
        self.replays.stop(subscription)
        self.fan_out.unsubscribe(subscription)
        self.admission.takes(subscription.takes_for)
        self.rights.named.remove(subscription)

    def listen(self, connection: Connection, command_id: int) -> None:
        """Push updates of a command to the connection that inserted it."""
        if connection not in self:
            return
        self.fan_out.listen(command_id, connection)
        if not self.bus.alone:
            self.others.listen(command_id)
        forgotten = connection.listen(command_id)
        if forgotten is not None:
            self.tally["listeners-per-connection"] += 1
            self._forget(forgotten, connection)

    def expiry_ms(self) -> int | None:
        """The time by which commands count as expired; None: lifetimes are not enforced."""
        return self.now_ms() if self.policy.lifetime_enforced else None

    def is_over(self, message: Message) -> bool:
        """Whether it is to be sent to nobody any more: a command that is cancelled or has expired."""
        if not isinstance(message, Command):
            return False
        expiry_ms = self.expiry_ms()
        return (
            message.state is CommandState.CANCELLED
            or message.id in self.fan_out.cancelled
            or (expiry_ms is not None and message.expired(expiry_ms))
        )

    # --- what others changed

    def database_silence_s(self) -> float:
        """Seconds since the database last answered; it is asked twice a second."""
        return self.rights.polled_ago_s()

    def configuration_changed(self) -> None:
        """Read the rows again that an administrator wrote."""
        self.spawn(self.read_configuration())

    async def read_configuration(self) -> None:
        """Go by the rows that are stored now."""
        async with self._reading_configuration:  # One after the other, else what was read first could come last.
            self.configuration = await self.store.transact(lambda tx: tx.configuration())

    def setting(self, name: str, otherwise: int) -> int:
        """A number from a configuration row that an administrator stored, or else the setting's value."""
        try:
            return int(self.configuration[name])
        except (KeyError, ValueError):
            return otherwise


@contextlib.contextmanager
def _telling(what: str) -> Iterator[None]:
    """Nothing can be done about it any more if the database is away, but to say so."""
    try:
        yield
    except HubError as error:
        log.warning(what, extra={"error": error.text})


def _nothing(outcome: Any) -> None:
    """Nothing follows from this commit."""
