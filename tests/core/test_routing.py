"""Routing equals a plain filter, whatever happens in between: access, holding, overflow policies, turns."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, rule

from hub.core.access import Peer, key_principal, user_principal
from hub.core.connection import Connection
from hub.core.fanout import FanOut
from hub.core.subscription import Subscription
from protocol.codecs import CODECS
from protocol.messages import Message
from protocol.names import SUBSCRIBE_ACTION, Kind, Overflow
from tests.builders import command, notification
from tests.core.model import GUIDS, Place, key_sees, keys, owners, places, some
from tests.helpers import connection, placed, received, shown, subscription

NAMES = ("watts", "on")
kinds = st.sampled_from(Kind)
accesses = st.tuples(owners, st.none() | keys)
HUGE = 1 << 30


class Expected:
    """What one subscription has to get, by the words of the specification and nothing else.

    Attributes:
        collected: of this turn.
        held: what waits for new access; None: nothing waits.
        queued: what waits for the socket, if there is an overflow policy; it is asked again when access changes.
        due: ids that the next visit brings.
        either: ids that may also come: published, but not yet delivered, when access was found to be stale.
        dropped: how many an overflow policy has left out since the last push.
    """

    def __init__(self, subscription: Subscription, access) -> None:
        self.subscription = subscription
        self.access = access
        self.collected: list[tuple[Message, Place]] = []
        self.held: list[tuple[Message, Place]] | None = None
        self.queued: list[tuple[Message, Place]] = []
        self.due: list[int] = []
        self.either: set[int] = set()
        self.dropped = 0

    def wants(self, message: Message, place: Place) -> bool:
        owner, key = self.access
        ours = self.subscription
        return (
            message.kind is ours.kind
            and (ours.names is None or message.name in ours.names)
            and (ours.guids is None or message.device_guid in ours.guids)
            and key_sees(key, owner, SUBSCRIBE_ACTION[ours.kind], place)
        )

    def settle(self) -> None:
        collected, self.collected = self.collected, []
        for message, place in collected:
            if self.held is not None:
                self.held.append((message, place))
            else:
                self._pass(message, place)

    def _pass(self, message: Message, place: Place) -> None:
        if self.subscription.overflow is Overflow.DISCONNECT:
            self.due.append(message.id)
            return
        if self.subscription.overflow is Overflow.LATEST:
            newest = [
                (one, where)
                for one, where in self.queued
                if (one.device_guid, one.name) != (message.device_guid, message.name)
            ]
            self.dropped += len(self.queued) - len(newest)
            self.queued = newest
        self.queued.append((message, place))

    def hold(self) -> None:
        if self.subscription.overflow is Overflow.DISCONNECT:
            self.either.update(message.id for message, _ in self.collected)
        if self.held is None:
            self.held = []
        self.settle()

    def release(self, access) -> None:
        self.access = access
        held, self.held = self.held or [], None
        self.either -= {message.id for message, place in held if self.wants(message, place)}
        self.queued = [(message, place) for message, place in self.queued if self.wants(message, place)]
        for message, place in held:
            if self.wants(message, place):
                self._pass(message, place)

    def came(self, ids: list[int]) -> None:
        early = self.either.intersection(ids)
        self.either -= early
        if self.held is not None:
            self.held = [one for one in self.held if one[0].id not in early]
        else:
            self.either.clear()

    def visit(self) -> list[int]:
        queued, self.queued = self.queued, []
        due, self.due = self.due, []
        return due + [message.id for message, _ in queued]


class Settling(FanOut):
    """Counts how often it was settled."""

    settled = 0

    def settle(self) -> None:
        self.settled += 1
        super().settle()


class Routing(RuleBasedStateMachine):
    """Random subscribers, random access, random messages; compared at every visit of the sockets."""

    live = Bundle("live")

    @initialize()
    def start(self):
        self.fan_out = Settling(hold_bytes=HUGE, together_from=1)
        self.connections = [connection(codec) for codec in CODECS for _ in range(3)]
        for line, here in enumerate(self.connections):
            here.line = line if line % 3 else -1
        self.asked: set[tuple[Connection, str]] = set()
        self.expected: dict[str, Expected] = {}

    def settle(self):
        for expected in self.expected.values():
            expected.settle()

    @rule(
        target=live,
        number=st.integers(0, 5),
        kind=kinds,
        access=accesses,
        guids=st.none() | some(GUIDS).map(frozenset),
        names=st.none() | some(NAMES).map(frozenset),
        overflow=st.sampled_from(Overflow),
    )
    def subscribe(self, number, kind, access, guids, names, overflow):
        ours = subscription(
            self.connections[number],
            kind=kind,
            clauses=compiled(kind, access),
            guids=guids,
            names=names,
            overflow=overflow,
        )
        self.settle()
        self.fan_out.subscribe(ours)
        self.asked.add((ours.connection, ours.id))
        self.expected[ours.id] = Expected(ours, access)
        return ours

    @rule(ours=consumes(live))
    def unsubscribe(self, ours):
        del ours.connection.subscriptions[ours.id]
        expected = self.expected[ours.id]
        expected.collected.clear()
        expected.queued.clear()
        expected.held = expected.access = None
        expected.dropped = 0
        before = self.fan_out.settled
        self.fan_out.unsubscribe(ours)
        if self.fan_out.settled != before:  # The connection's last one has changed its place.
            self.settle()
        self.fan_out.unsubscribe(ours)

    @rule(ours=live, access=accesses)
    def change_access(self, ours, access):
        expected = self.expected[ours.id]
        if expected.held is not None:
            return
        ours.clauses = compiled(ours.kind, access)
        self.settle()
        self.fan_out.reroute(ours)
        expected.access = access

    @rule(ours=live)
    def hold(self, ours):
        ours.hold()
        self.fan_out.reroute(ours)
        self.expected[ours.id].hold()
        self.settle()

    @rule(ours=live, access=accesses)
    def release(self, ours, access):
        ours.clauses = compiled(ours.kind, access)
        self.settle()
        self.fan_out.release(ours)
        self.expected[ours.id].release(access)

    @rule(kind=kinds, place=places, name=st.sampled_from(NAMES), times=st.integers(1, 3))
    def publish(self, kind, place, name, times):
        guid, network_id, groups = place
        for _ in range(times):
            message = (notification if kind is Kind.NOTIFICATION else command)(guid, name)
            self.fan_out.publish(placed(message, network_id, groups))
            for expected in self.expected.values():
                if expected.access is not None and expected.wants(message, place):
                    expected.collected.append((message, place))

    @rule()
    def visit_together(self):
        """What audiences get is taken as it is; then the other sockets are visited."""
        for share in self.fan_out.take_shares():
            for seat in range(share.seats):
                here = share.audience.subscriptions[seat].connection
                assert share.audience.lines[seat] == here.line >= 0
                assert here.outbox.offer(share.payload(seat)), "nothing else is for it in this turn"
        self.visit(shared=True)

    @rule()
    def visit(self, shared=False):
        """Each socket takes what its outbox holds, and what overflow policies have queued for it."""
        ready = set(self.fan_out.take_ready())
        self.settle()
        got: dict[str, list[int]] = {}
        dropped = dict.fromkeys(self.expected, 0)
        for here in self.connections:
            needs_visit = here in ready or self.fan_out.deferred_to(here)
            here.outbox.offer_all(self.fan_out.take_deferred(here, HUGE))
            frames = received(here)
            assert needs_visit or shared or not frames, "a socket with something to write is visited"
            for frame in frames:
                assert (here, frame["subscriptionId"]) in self.asked, "nobody gets what belongs to another connection"
                got.setdefault(frame["subscriptionId"], []).append(shown(frame)["id"])
                dropped[frame["subscriptionId"]] += frame.get("dropped", 0)
        for id_, expected in self.expected.items():
            ids = got.get(id_, [])
            assert ids == sorted(set(ids)), "in order, and nothing twice"
            due = expected.visit()
            assert [one for one in ids if one not in expected.either or one in due] == due
            expected.came(ids)
            assert dropped[id_] == (expected.dropped if ids else 0)
            expected.dropped -= dropped[id_]

    def teardown(self):
        if not hasattr(self, "fan_out"):
            return
        self.visit()
        for expected in self.expected.values():
            self.fan_out.unsubscribe(expected.subscription)
        self.publish(Kind.COMMAND, ("lamp", 1, (10,)), "on", 1)
        assert self.fan_out.take_ready() == []
        assert self.fan_out.is_clean()


def compiled(kind: Kind, access):
    """The clauses of a subscription that this user, or key of a user, makes."""
    owner, key = access
    who = user_principal(owner) if key is None else key_principal(key, owner, Peer())
    return who.access.scopes(SUBSCRIBE_ACTION[kind])


class TestRouting(Routing.TestCase):
    """Every subscription gets exactly what it wants and may see, once and in order; nothing stays behind."""

    settings = settings(max_examples=120, stateful_step_count=40)
