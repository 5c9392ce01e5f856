"""Fan-out: which subscriptions get which message, and the bytes that each of them gets.

Feed it subscriptions and published messages; at the end of a turn ask :meth:`FanOut.take_ready` which outboxes have
something to write. Everything expensive happens once per turn and group, not once per message and subscriber:

* A message has one device and one name, so a handful of dictionary look-ups finds the **buckets** (everything, network,
  group or device; all names or one) whose subscribers get it. Access was compiled into the buckets when the
  subscription was made: nothing is asked per delivery.
* A push is *head + body*. The head is the subscriber's own (its subscription id), the body is everybody's. All
  subscribers of a bucket share the list ``[header, body + header, body + header, …, body]``, and one call of
  ``head.join(segments)`` makes a subscriber's bytes for the whole turn.

* Subscriptions that are the only one of their connection stand in the bucket's **audience**: segments and heads are
  handed out as they are (:meth:`FanOut.take_shares`) for whoever can write them to many sockets at once.

Subscriptions that one bucket cannot describe (several buckets, a condition, a replay in progress, stale access, an
overflow policy) take a longer way round in :meth:`FanOut._deliver_special`; it costs them alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from hub.core.access import Clause
from hub.core.audience import TOGETHER_FROM, Share
from hub.core.index import Bucket, Index, Topic, drop_bucket, find_bucket
from hub.core.recent import Recent
from hub.core.subscription import Published, Subscription
from hub.core.takers import Takers
from protocol.codecs import ENCODINGS, UNFRAMED
from protocol.frames import header
from protocol.messages import Command
from protocol.names import Kind, Overflow

if TYPE_CHECKING:
    from hub.core.connection import Connection

_COMMAND = Kind.COMMAND

Segments = list[bytes]

SIFTED_FROM = 256
"""Buckets (devices or networks x names) that one subscription may stand in because of its names."""

Way = tuple[tuple[Bucket, tuple[Clause, ...]], ...]
"""How messages reach a subscription: through which buckets, each under which conditions."""

Route = tuple[dict[object, Topic], object, "Clause | None"]


class FanOut:
    """Routes messages to subscriptions, a turn at a time.

    Args:
        hold_bytes: how much the subscriptions of a connection may hold back, and how much their overflow policies may
            queue, all together, before they drop.
        together_from: audiences of fewer subscribers than this are served one by one.
    """

    def __init__(self, *, hold_bytes: int = 262_144, together_from: int = TOGETHER_FROM) -> None:
        self._hold_bytes = hold_bytes
        self._together_from = together_from
        self._indexes = {kind: Index() for kind in Kind}
        self._touched: list[Bucket] = []
        self._updates: list[tuple[Connection, Command]] = []
        self._listeners: dict[int, dict[Connection, None]] = {}
        self._ready: list[Connection] = []
        self._deferred: dict[Connection, dict[Subscription, None]] = {}
        self._simpler: list[Subscription] = []
        self.cancelled = Recent()
        """Ids of commands that go to nobody any more, whoever holds them."""
        self.takers = Takers()
        """What devices have got."""
        self.newest = 0
        """The greatest id that was published here."""
        self._floor: int | None = None
        self._skipping: dict[Subscription, None] = {}
        self.deliveries = 0
        """Messages x subscriptions handed to outboxes so far."""

    @property
    def position(self) -> int:
        """The id up to which everything has been published here that ever will be."""
        return self.newest if self._floor is None else self._floor

    def advance(self, floor: int) -> None:
        """Messages come from several workers, and so not in the order of their ids: everything up to here has come."""
        self._floor = max(floor, self._floor or 0)
        if self._skipping:
            self.settle()  # What has come in this turn is still to be skipped.
        for subscription in list(self._skipping):
            skip = {message_id for message_id in subscription.skip or () if message_id > floor}
            if not skip:
                del self._skipping[subscription]
                if subscription.skip is not None:
                    subscription.skip = None
                    self._simpler.append(subscription)
            else:
                subscription.skip = skip
        if self._simpler:
            self.settle()

    # --- fed by the gateway: subscriptions

    def subscribe(self, subscription: Subscription) -> None:
        """Route to a subscription from now on. Messages of this turn that came before it do not reach it."""
        self.settle()
        subscription.position = self.position
        for other in subscription.connection.subscriptions.values():
            if other.seat >= 0 and other is not subscription:
                self._leave_audience(other)
        self.takers.add(subscription)
        self._place(subscription)

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop routing to a subscription; also what this turn has collected for it is dropped. Idempotent."""
        self._remove(subscription)
        self.takers.remove(subscription)
        if len(subscription.connection.subscriptions) == 1:
            [last] = subscription.connection.subscriptions.values()
            if last.buckets and last is not subscription:
                self.reroute(last)  # It may stand in an audience now.
        self._skipping.pop(subscription, None)
        deferred = self._deferred.get(subscription.connection)
        if deferred is not None:
            deferred.pop(subscription, None)
            if not deferred:
                del self._deferred[subscription.connection]

    def reroute(self, subscription: Subscription) -> None:
        """Look again at what decides about a subscription: its clauses, or whether it holds."""
        self.settle()
        self._remove(subscription)
        self._place(subscription)

    def release(self, subscription: Subscription) -> None:
        """Let a subscription's live messages flow again; what it held and may still see goes first.

        Of what an overflow policy has queued, what may no longer be seen goes as well.
        """
        self.settle()
        held = [one for one in subscription.let_go() if one.message.id not in self.cancelled]
        kept = [one for one in held if subscription.admits(one)]
        subscription.reconsider()
        if kept:
            self._deliver(subscription, kept)
            if subscription.overflow is Overflow.DISCONNECT:
                self.takers.took(subscription, [one.message for one in kept])
        if subscription.skip is not None and self._floor is not None:
            self._skipping[subscription] = None
        self._remove(subscription)
        self._place(subscription)

    def replayed(self, subscription: Subscription, published: Sequence[Published]) -> None:
        """Deliver a page of a replay."""
        due = [one for one in published if one.message.id not in self.cancelled]
        if due:
            self._offer(subscription, self._segments(due, subscription), len(due))
            self.takers.took(subscription, [one.message for one in due])

    @property
    def has_deferred(self) -> bool:
        """Whether overflow policies have queued anything at all."""
        return bool(self._deferred)

    def deferred_to(self, connection: "Connection") -> bool:
        """Whether overflow policies have queued something for this connection."""
        return connection in self._deferred

    def take_deferred(self, connection: "Connection", room: int, now_ms: int | None = None) -> Iterator[bytes]:
        """Frames that overflow policies have queued, up to about ``room`` bytes, fairly among subscriptions.

        Args:
            now_ms: commands that have expired by then are left out; None: lifetimes do not count.
        """
        waiting = self._deferred.pop(connection, {})
        share = max(1, room // max(1, len(waiting)))
        for subscription in list(waiting):
            if room <= 0:
                break
            del waiting[subscription]
            taken = subscription.take_deferred(min(room, share), now_ms, cancelled=self.cancelled)
            for message, payload in taken:
                self.deliveries += 1
                self.takers.took(subscription, [message])
                room -= len(payload)
                yield payload
            if subscription.has_deferred:
                waiting[subscription] = None  # Behind the others: everybody gets a turn.
        if waiting:
            self._deferred[connection] = waiting

    # --- fed by the gateway: messages

    def publish(self, published: Published) -> None:
        """Route a committed message. It reaches outboxes with the next :meth:`take_ready`."""
        message = published.message
        if message.id > self.newest:
            self.newest = message.id
        kind = message.kind
        if kind is _COMMAND:
            if message.id in self.cancelled:
                return  # It was taken back while it waited for its place among those of other workers.
            self.takers.expect(published)
        index = self._indexes[kind]
        if (topic := index.devices.get(message.device_guid)) is not None:
            self._collect(topic, published)
        if index.networks and (topic := index.networks.get(published.network_id)) is not None:
            self._collect(topic, published)
        for group in published.groups:
            if (topic := index.groups.get(group)) is not None:
                self._collect(topic, published)
        if (topic := index.everything.get(None)) is not None:
            self._collect(topic, published)

    def _collect(self, topic: Topic, published: Published) -> None:
        for bucket in (topic.every, topic.named.get(published.message.name) if topic.named else None):
            if bucket is not None:
                if not bucket.turn:
                    self._touched.append(bucket)
                bucket.turn.append(published)

    def listen(self, command_id: int, connection: "Connection") -> None:
        """Push updates of a command to a connection, until :meth:`forget`."""
        self._listeners.setdefault(command_id, {})[connection] = None

    def forget(self, command_id: int, connection: "Connection") -> None:
        """Push no more updates of a command to a connection. Idempotent."""
        listeners = self._listeners.get(command_id)
        if listeners is not None:
            listeners.pop(connection, None)
            if not listeners:
                del self._listeners[command_id]

    def update(self, command: Command) -> None:
        """Push a committed update to whoever listens to the command. As long as the device has said nothing, all that
        can have changed is the state, which is for extended connections only."""
        for connection in self._listeners.get(command.id, ()):
            if command.updated or connection.extended:
                self._updates.append((connection, command))

    def is_listened_to(self, command_id: int) -> bool:
        """Whether any connection here waits for updates of a command."""
        return command_id in self._listeners

    def cancel(self, command_id: int) -> None:
        """Give a command to nobody any more, also not to those who would get it at the end of this turn."""
        self.cancelled.add(command_id)
        for bucket in self._touched:
            bucket.turn = [one for one in bucket.turn if one.message.id != command_id]
        self.takers.forget(command_id)
        if not all(bucket.turn for bucket in self._touched):
            self._touched = [bucket for bucket in self._touched if bucket.turn]

    def remind(self, connection: "Connection", command: Command) -> None:
        """Push a command's present state to one connection that may have missed an update."""
        self._updates.append((connection, command))

    def settle(self) -> None:
        """Give what this turn has collected to its subscriptions now: before deciding by what one of them holds."""
        self._settle(None)

    def _settle(self, shares: list[Share] | None) -> None:
        """Deliver, and leave what audiences get to the caller if there is a list for it."""
        if self._updates:
            self._deliver_updates()
        if self.takers.expected:
            self.takers.settle()
        if self._touched:
            touched, self._touched = self._touched, []
            special: dict[Subscription, list[Bucket]] = {}
            for bucket in touched:
                self._deliver_plain(bucket)
                self._deliver_to_audiences(bucket, shares)
                for subscription in bucket.special:
                    special.setdefault(subscription, []).append(bucket)
            if special:
                self._deliver_special(special)
            for bucket in touched:
                bucket.turn = []
        if self._simpler:
            self._simplify()

    # --- asked by the gateway

    def take_shares(self) -> list[Share]:
        """Move everything that this turn has collected into outboxes, except what whole audiences get.

        For a caller that writes that to many sockets at once, in this turn and before anything else is fed in. What a
        socket does not take has to go through its outbox. Ask :meth:`take_ready` for the others.
        """
        shares: list[Share] = []
        self._settle(shares)
        return shares

    def take_ready(self) -> "list[Connection]":
        """Move everything that this turn has collected into outboxes.

        Returns:
            The connections whose outbox needs a visit now. Write to each of them once.
        """
        self.settle()
        ready, self._ready = self._ready, []
        return ready

    def is_clean(self) -> bool:
        """Whether nothing is left behind: no topic, no listener, nothing collected."""
        indexes = self._indexes.values()
        return not (
            self._touched
            or self._updates
            or self._listeners
            or self._deferred
            or not self.takers.is_clean
            or any(index.everything or index.networks or index.groups or index.devices for index in indexes)
        )

    # --- placing subscriptions

    def _place(self, subscription: Subscription) -> None:
        routes: dict[Bucket, list[Clause] | None] = {}
        ways = list(self._routes(subscription))
        names: Iterable[str | None] = (None,) if subscription.names is None else subscription.names
        # A bucket for each name of each device delivers quickest, but there may be a million of them. Beyond some, a
        # subscription stands where every name comes by, and sifts.
        subscription.sifts = subscription.names is not None and len(subscription.names) * len(ways) > SIFTED_FROM
        if subscription.sifts:
            names = (None,)
        for index, key, condition in ways:
            for name in names:
                bucket = find_bucket(index, key, name)
                conditions = routes.setdefault(bucket, [])
                if condition is None or conditions is None:
                    routes[bucket] = None  # Reached without a condition: the others do not matter any more.
                else:
                    conditions.append(condition)
        subscription.buckets = tuple(routes)
        plain = len(routes) == 1 and subscription.is_plain and not subscription.sifts and not any(routes.values())
        for bucket, conditions in routes.items():
            if plain and self._in_audience(subscription, bucket):
                bucket.audience(subscription.codec).add(subscription)
            elif plain:
                bucket.plain[subscription.codec][subscription] = None
            else:
                bucket.special[subscription] = tuple(conditions or ())

    def _in_audience(self, subscription: Subscription, bucket: Bucket) -> bool:
        """Whether all that its connection can get in a turn is what this bucket gives it."""
        connection = subscription.connection
        if connection.line < 0 or len(connection.subscriptions) != 1 or subscription.id not in connection.subscriptions:
            return False
        return bucket.audience(subscription.codec).takes(subscription)

    def _leave_audience(self, subscription: Subscription) -> None:
        """It is not the only subscription of its connection any more."""
        [bucket] = subscription.buckets
        bucket.audience(subscription.codec).remove(subscription)
        bucket.plain[subscription.codec][subscription] = None

    def _routes(self, subscription: Subscription) -> Iterator[Route]:
        """Where a subscription has to stand so that each clause's messages find it, with what is left to check."""
        index = self._indexes[subscription.kind]
        for clause in subscription.clauses:
            narrowed = clause.narrowed(guids=subscription.guids)
            if narrowed is None:
                continue
            networks, guids, groups = narrowed.networks, narrowed.guids, narrowed.groups
            if guids is not None:
                condition = Clause(networks, None, groups) if networks is not None or groups is not None else None
                yield from ((index.devices, guid, condition) for guid in guids)
            elif networks is not None:
                condition = Clause(None, None, groups) if groups is not None else None
                yield from ((index.networks, network, condition) for network in networks)
            elif groups is not None:
                yield from ((index.groups, group, None) for group in groups)
            else:
                yield index.everything, None, None

    def _remove(self, subscription: Subscription) -> None:
        for bucket in subscription.buckets:
            if subscription.seat >= 0:
                bucket.audience(subscription.codec).remove(subscription)
            bucket.plain[subscription.codec].pop(subscription, None)
            bucket.special.pop(subscription, None)
            if bucket.is_empty:
                drop_bucket(bucket)
        subscription.buckets = ()

    # --- delivering a turn

    def _simplify(self) -> None:
        """Subscriptions that have got past their replay may stand among the plain ones again."""
        simpler, self._simpler = self._simpler, []
        for subscription in simpler:
            self._remove(subscription)
            self._place(subscription)

    def _deliver_plain(self, bucket: Bucket) -> None:
        turn = bucket.turn
        for subscriptions in bucket.plain:
            if not subscriptions:
                continue
            segments: Segments | None = None
            for subscription in subscriptions:
                if segments is None:
                    segments = self._segments(turn, subscription)
                # This loop runs once per subscriber and turn; it is the product's speed. See benchmarks/fanout.py.
                connection = subscription.connection
                if connection.outbox.offer(subscription.head.join(segments)):
                    self._ready.append(connection)
            self.deliveries += len(turn) * len(subscriptions)

    def _deliver_to_audiences(self, bucket: Bucket, shares: list[Share] | None) -> None:
        for audience in bucket.audiences:
            if not audience:
                continue
            first, count = audience.subscriptions[0], len(bucket.turn)
            segments = self._segments(bucket.turn, first)
            size = sum(map(len, segments)) + count * len(first.head)
            if shares is not None and len(audience) >= self._together_from and size <= first.connection.outbox.limit:
                shares.append(Share(audience, len(audience), segments))
                self.deliveries += count * len(audience)
            else:
                for subscription in audience.subscriptions:
                    self._offer(subscription, segments, count)

    def _deliver_special(self, special: dict[Subscription, list[Bucket]]) -> None:
        merged: dict[Way, list[Published]] = {}
        shared: dict[tuple[int, Way], Segments] = {}
        for subscription, buckets in special.items():
            if not subscription.is_plain or subscription.sifts:
                published = self._fresh(subscription, _admitted(subscription, buckets))
                if published:
                    self._deliver(subscription, published)
                continue
            # Same buckets, same conditions, same messages: subscribers with the same rights share their segments after
            # all. Half the cost of a delivery to a thousand dashboards of one key, 16 messages a turn.
            way = tuple((bucket, bucket.special[subscription]) for bucket in buckets)
            if way not in merged:
                merged[way] = _admitted(subscription, buckets)
            if not merged[way]:
                continue
            codec = (subscription.codec, way)
            if codec not in shared:
                shared[codec] = self._segments(merged[way], subscription)
            self._offer(subscription, shared[codec], len(merged[way]))

    def _fresh(self, subscription: Subscription, published: list[Published]) -> list[Published]:
        """Leave out what a replay has sent already."""
        skip = subscription.skip
        if skip is None:
            return published
        fresh = [one for one in published if one.message.id not in skip]
        skip.difference_update(one.message.id for one in published)
        if not skip:
            subscription.skip = None
            self._simpler.append(subscription)
        return fresh

    def _deliver(self, subscription: Subscription, published: list[Published]) -> None:
        if subscription.held is not None:
            subscription.keep(published, self._share(subscription))
            if subscription.wakes:
                self._ready.append(subscription.connection)
        elif subscription.overflow is not Overflow.DISCONNECT:
            subscription.defer(published, self._share(subscription))
            self._deferred.setdefault(subscription.connection, {})[subscription] = None
            self._ready.append(subscription.connection)
        else:
            self._offer(subscription, self._segments(published, subscription), len(published))

    def _share(self, subscription: Subscription) -> int:
        """How many bytes one subscription may hold or queue: all of a connection's together have one budget."""
        return self._hold_bytes // max(1, len(subscription.connection.subscriptions))

    def _offer(self, subscription: Subscription, segments: Segments, count: int) -> None:
        self.deliveries += count
        if subscription.connection.outbox.offer(subscription.head.join(segments)):
            self._ready.append(subscription.connection)

    def _segments(self, published: Sequence[Published], subscription: Subscription) -> Segments:
        """What ``head.join`` turns into frames: a header before each head, the message before after it."""
        codec, head_length = subscription.codec, len(subscription.head)
        opcode = ENCODINGS[codec].opcode
        if opcode == UNFRAMED:  # Without headers and heads everybody gets the very same bytes.
            return [b"".join([one.body(codec) for one in published])]
        segments: Segments = []
        before = b""
        for one in published:
            body = one.body(codec)
            segments.append(before + header(opcode, head_length + len(body)))
            before = body
        segments.append(before)
        return segments

    def _deliver_updates(self) -> None:
        updates, self._updates = self._updates, []
        payloads: dict[tuple[int, bool, int], bytes] = {}
        for connection, command in updates:
            key = (connection.codec.opcode, connection.extended, id(command))
            if key not in payloads:
                payload = connection.codec.update(command, with_state=connection.extended)
                payloads[key] = header(connection.codec.opcode, len(payload)) + payload
            if connection.outbox.offer(payloads[key]):
                self._ready.append(connection)


def _merge(turns: Iterable[list[Published]]) -> list[Published]:
    """The messages of several buckets, each once, in the order of their ids."""
    by_id = {one.message.id: one for turn in turns for one in turn}
    return [by_id[message_id] for message_id in sorted(by_id)]


def _admitted(subscription: Subscription, buckets: Iterable[Bucket]) -> list[Published]:
    names = subscription.names if subscription.sifts else None

    def passing(bucket: Bucket) -> list[Published]:
        conditions = bucket.special[subscription]
        if not conditions and names is None:
            return bucket.turn
        return [
            one
            for one in bucket.turn
            if (names is None or one.message.name in names)
            and (not conditions or any(one.admitted(condition) for condition in conditions))
        ]

    return _merge(passing(bucket) for bucket in buckets)
