"""The client's half of the wire without I/O: feed it what happened, then ask what to send.

::

    events = client.opened(subprotocol)      # a socket is open; "hub.1.json", "hub.1.msgpack" or None
    payloads = client.take()                 # write these, after every call that may have made some
    events = client.receive(payload)         # for each message that came
    events = client.lost()                   # the socket is gone; opened() comes next, when there is another

Requests and subscriptions outlive connections. After each ``opened`` the client registers and authenticates, then asks
for every subscription again from where it had come to, then repeats the requests that were not answered: all but an
insert whose repetition could insert twice, which is reported as :class:`Lost`.

Deadlines are the caller's: it forgets a request with :meth:`Client.abandon`.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from protocol.client_events import (
    Answered,
    Closing,
    CommandUpdated,
    CommandView,
    Ended,
    Event,
    Interrupted,
    Lost,
    Members,
    MessageView,
    NotificationView,
    Ready,
    Received,
    Refusal,
    Refused,
    Rejected,
    Subscribed,
    Subscription,
    Unexpected,
    Unreadable,
    WatchRefused,
    member,
    seconds,
)
from protocol.codecs import JSON, RECEIVING_JSON, RECEIVING_MSGPACK, Codec
from protocol.errors import HubError
from protocol.names import CLOSED, CLOSING, Action, Kind, Subprotocol

PENDING_LIMIT = 1_000
"""Requests without an answer, subscriptions, watched commands: at most this many of each."""
EARLY_LIMIT = 1_000
"""How many pushes may come before the answer that names their subscription (the original server does this)."""


class ClientLimit(Exception):
    """A queue of the client is full: wait for answers before asking for more.

    Attributes:
        name: the limit, kebab-case: ``pending-requests``, ``subscriptions`` or ``watched-commands``.
        value: how many it allows.
    """

    def __init__(self, name: str, value: int) -> None:
        super().__init__(f"limit of the client reached: {name}, {value}")
        self.name = name
        self.value = value


_INSERTS = (Action.NOTIFICATION_INSERT, Action.COMMAND_INSERT)
_SUBSCRIBE = {Kind.NOTIFICATION: Action.NOTIFICATION_SUBSCRIBE, Kind.COMMAND: Action.COMMAND_SUBSCRIBE}
_UNSUBSCRIBE = {Kind.NOTIFICATION: Action.NOTIFICATION_UNSUBSCRIBE, Kind.COMMAND: Action.COMMAND_UNSUBSCRIBE}
_TOO_EARLY = Refusal(500, "too many pushes before the answer that names their subscription", "internal")


@dataclass(slots=True)
class _Pending:
    """A request without an answer.

    Attributes:
        answered, refused: make the events of the answer; None: it is the caller's request, which outlives connections.
        sent: whether it was ever given out to be written; ``size_bytes``: of its payload then.
    """

    action: Action
    members: Members = field(repr=False)
    answered: Callable[[Members], list[Event]] | None = None
    refused: Callable[[Refusal], list[Event]] | None = None
    sent: bool = False
    size_bytes: int = 0

    @property
    def kept(self) -> bool:
        return self.answered is None


@dataclass(frozen=True, slots=True)
class _Push:
    server_id: str
    message: MessageView
    dropped: Any


def _deliver(subscription: Subscription, push: _Push) -> list[Event]:
    if not subscription.accept(push.message):
        return []
    return [Received(subscription, push.message, push.dropped if type(push.dropped) is int else 0)]


def _nothing(_: object) -> list[Event]:
    return []


class Client:
    """One client of a hub, over any number of connections one after another.

    Attributes:
        extended: whether the present connection is in extended mode.
        ready: whether the present connection is authenticated; until then nothing of the caller's is sent.
    """

    def __init__(
        self,
        *,
        credentials: Members | None = None,
        registration: Members | None = None,
        pending_limit: int = PENDING_LIMIT,
        early_limit: int = EARLY_LIMIT,
    ) -> None:
        """Prepare a client.

        Args:
            credentials: members of ``authenticate``; None: stay anonymous.
            registration: members of a ``device/save`` to send before authenticating, until it has succeeded once.
            pending_limit: see ``PENDING_LIMIT``.
            early_limit: see ``EARLY_LIMIT``.
        """
        self.extended = False
        self.ready = False
        self._codec: Codec = RECEIVING_JSON
        self._credentials = credentials
        self._registration = registration
        self._pending_limit = pending_limit
        self._early_limit = early_limit
        self._last_id = 0
        self._pending: dict[int, _Pending] = {}
        self._outgoing: deque[int] = deque()
        self._subscriptions: dict[Subscription, None] = {}
        self._routes: dict[str, Subscription] = {}
        self._retired: set[str] = set()
        self._early: list[_Push] = []
        self._watched: dict[tuple[int, Action], Members] = {}
        self._pushes: dict[str, Callable[[Members], list[Event]]] = {
            Action.NOTIFICATION_INSERT: self._notification,
            Action.COMMAND_INSERT: self._command,
            Action.COMMAND_UPDATE: lambda members: [CommandUpdated(CommandView.read(members.get("command")))],
            CLOSING: lambda members: [_read_closing(members)],
            CLOSED: self._ended,
        }

    def __repr__(self) -> str:
        state = "ready" if self.ready else "not ready"
        return f"<Client {state} pending={len(self._pending)} subscriptions={len(self._subscriptions)}>"

    @property
    def opcode(self) -> int:
        """The kind of WebSocket frame for what :meth:`take` returns: ``codecs.TEXT`` or ``codecs.BINARY``."""
        return self._codec.opcode

    # --- the life of connections ---

    def opened(self, subprotocol: str | None) -> list[Event]:
        """Start on a new connection. Call :meth:`lost` between two of them."""
        self.extended = subprotocol is not None
        self._codec = RECEIVING_MSGPACK if subprotocol == Subprotocol.MSGPACK else RECEIVING_JSON
        if self._registration is None:
            return self._authenticate()
        self._ask(Action.DEVICE_SAVE, self._registration, self._registered, self._rejects(Action.DEVICE_SAVE))
        return []

    def lost(self) -> list[Event]:
        """Note that the connection is gone. What the caller asked for stays, or is reported as lost."""
        self.ready = False
        self._outgoing.clear()
        self._routes.clear()
        self._retired.clear()
        self._early.clear()
        for subscription in self._subscriptions:
            subscription.server_id = subscription.request_id = None
        self._pending = {request_id: pending for request_id, pending in self._pending.items() if pending.kept}
        return [] if self.extended else self._give_up_doubtful()

    def oversized(self) -> list[Event]:
        """Give up the largest unanswered request, because the hub closed with 1009; call it before :meth:`lost`.

        Repeating it would close the next connection as well.
        """
        sent = [(pending.size_bytes, id_) for id_, pending in self._pending.items() if pending.kept and pending.sent]
        if not sent:
            return []
        size_bytes, request_id = max(sent)
        del self._pending[request_id]
        return [Refused(request_id, Refusal(413, f"The message is too big: {size_bytes} bytes", "limit"))]

    def _give_up_doubtful(self) -> list[Event]:
        """Report sent inserts as lost: only in extended mode is an idempotency key known to be understood."""
        doubtful = [
            request_id
            for request_id, pending in self._pending.items()
            if pending.sent and pending.action in _INSERTS and pending.kept
        ]
        for request_id in doubtful:
            del self._pending[request_id]
        return [Lost(request_id) for request_id in doubtful]

    def _registered(self, _: Members) -> list[Event]:
        self._registration = None
        return self._authenticate()

    def _authenticate(self) -> list[Event]:
        if self._credentials is None:
            return self._restore()
        self._ask(
            Action.AUTHENTICATE,
            self._credentials,
            lambda _: self._restore(),
            self._rejects(Action.AUTHENTICATE),
        )
        return []

    def _rejects(self, action: Action) -> Callable[[Refusal], list[Event]]:
        return lambda refusal: [Interrupted(refusal) if refusal.temporary else Rejected(action, refusal)]

    def _restore(self) -> list[Event]:
        self.ready = True
        events = [] if self.extended else self._give_up_doubtful()
        for subscription in self._subscriptions:
            if not subscription.paused:
                self._subscribe(subscription)
        self._outgoing.extend(request_id for request_id, pending in self._pending.items() if pending.kept)
        if self.extended:
            for command_id, action in self._watched:
                self._watch(command_id, action)
        return [*events, Ready()]

    # --- asking ---

    def request(self, action: Action, members: Members) -> int:
        """Ask for an action; it is sent when the connection is ready, and again on the next if need be.

        Args:
            action: which.
            members: its parameters; an insert should carry an ``idempotencyKey``. They are copied. NaN and infinities
                become null.

        Returns:
            The request's id, which :class:`Answered`, :class:`Refused` or :class:`Lost` will name.

        Raises:
            ClientLimit: too many requests without an answer.
            ValueError: the members hold what JSON does not, or more than the hub takes.
        """
        self._check_limit("pending-requests", len(self._pending))
        request_id = self._add(_Pending(action, _copied(members)))
        if self.ready:
            self._outgoing.append(request_id)
        return request_id

    def abandon(self, request_id: int) -> None:
        """Forget a request: it is not repeated, and an answer that still comes is passed over."""
        self._pending.pop(request_id, None)

    def watch(self, command_id: int, action: Action, members: Members) -> None:
        """Hear of updates of a command after reconnects too: by asking again what made this connection hear of them.

        Args:
            command_id: from the answer to the request.
            action: ``command/insert``, whose repetition inserts nothing, or ``command/watch``.
            members: the members of that request, an insert's ``idempotencyKey`` included.

        Raises:
            ClientLimit: too many commands are watched.
        """
        if (command_id, action) not in self._watched:
            self._check_limit("watched-commands", len(self._watched))
        self._watched[command_id, action] = _copied(members)

    def unwatch(self, command_id: int, action: Action) -> None:
        """Let go of a watched command; unknown ids are fine."""
        self._watched.pop((command_id, action), None)

    def _watch(self, command_id: int, action: Action) -> None:
        """Ask again. Of an inserted command the hub repeats what was missed as a push right behind the answer."""
        watched = command_id, action

        def answered(answer: Members) -> list[Event]:
            if action is Action.COMMAND_INSERT:
                return []
            return [CommandUpdated(CommandView.read(answer.get("command")))]

        def refused(refusal: Refusal) -> list[Event]:
            if watched not in self._watched:
                return []
            # Of an insert that was stored anything else is final: what stands in its way now would stand there again.
            helps = refusal.code in (500, 503) if action is Action.COMMAND_INSERT else refusal.temporary
            return [Interrupted(refusal) if helps else WatchRefused(command_id, action, refusal)]

        self._ask(action, self._watched[watched], answered, refused)

    def take(self) -> list[bytes]:
        """The payloads to write now, in order; each is given out once per connection."""
        payloads = []
        for request_id in self._outgoing:
            if pending := self._pending.get(request_id):
                members = {"action": pending.action.value, "requestId": request_id, **pending.members}
                payloads.append(self._codec.encode(members))
                pending.sent, pending.size_bytes = True, len(payloads[-1])
        self._outgoing.clear()
        return payloads

    def _add(self, pending: _Pending) -> int:
        self._last_id += 1
        self._pending[self._last_id] = pending
        return self._last_id

    def _ask(
        self,
        action: Action,
        members: Members,
        answered: Callable[[Members], list[Event]],
        refused: Callable[[Refusal], list[Event]],
    ) -> int:
        """Send a request of our own, which dies with the connection."""
        request_id = self._add(_Pending(action, members, answered, refused))
        self._outgoing.append(request_id)
        return request_id

    def _check_limit(self, name: str, used: int) -> None:
        if used >= self._pending_limit:
            raise ClientLimit(name, self._pending_limit)

    # --- subscriptions ---

    def subscribe(self, subscription: Subscription) -> None:
        """Receive messages from now on; :class:`Subscribed` or :class:`Ended` tells what became of it.

        Raises:
            ClientLimit: too many subscriptions.
        """
        self._check_limit("subscriptions", len(self._subscriptions))
        self._subscriptions[subscription] = None
        if self.ready:
            self._subscribe(subscription)

    def unsubscribe(self, subscription: Subscription) -> None:
        """Receive nothing more of it. Doing so twice is harmless."""
        if subscription in self._subscriptions:
            del self._subscriptions[subscription]
            self._retire(subscription)

    def pause(self, subscription: Subscription) -> None:
        """Stop receiving, because the reader cannot keep up; what has come so far counts as received."""
        subscription.paused = True
        self._retire(subscription)

    def resume(self, subscription: Subscription) -> None:
        """Go on with a paused subscription, without a gap as far as the hub stores messages."""
        if subscription.paused and subscription in self._subscriptions:
            subscription.paused = False
            if self.ready:
                self._subscribe(subscription)

    def _subscribe(self, subscription: Subscription) -> None:
        members = subscription.members(extended=self.extended)
        resumed = "since" in members or "timestamp" in members
        if not resumed and not self.extended:
            # Should nothing have come before the connection breaks, the server's present time is the resume point.
            self._ask(Action.SERVER_INFO, {}, lambda answer: self._set_clock(subscription, answer), _nothing)
        request_id = self._ask(
            _SUBSCRIBE[subscription.kind],
            members,
            lambda answer: self._subscribed(subscription, request_id, answer, resumed=resumed),
            lambda refusal: self._refused(subscription, request_id, refusal),
        )
        subscription.request_id = request_id

    def _set_clock(self, subscription: Subscription, answer: Members) -> list[Event]:
        timestamp = member(member(answer, "info", dict), "serverTimestamp", str)
        subscription.timestamp = max(timestamp, subscription.timestamp or "")
        return []

    def _subscribed(
        self, subscription: Subscription, request_id: int, answer: Members, *, resumed: bool
    ) -> list[Event]:
        server_id = member(answer, "subscriptionId", str)
        if subscription.request_id != request_id:
            self._unsubscribe(subscription.kind, server_id)
            self._take_early(server_id)
            return []
        subscription.request_id = None
        subscription.server_id = server_id
        self._routes[server_id] = subscription
        subscription.confirmed(answer, resumed=resumed)
        recovered, missed = answer.get("recovered"), answer.get("missed")
        events: list[Event] = [
            Subscribed(
                subscription,
                recovered if isinstance(recovered, bool) else None,
                missed if isinstance(missed, dict) else None,
            )
        ]
        for push in self._take_early(server_id):
            events += _deliver(subscription, push)
        return events

    def _refused(self, subscription: Subscription, request_id: int, refusal: Refusal) -> list[Event]:
        if subscription.request_id != request_id:
            return []
        if subscription.live and refusal.temporary:
            return [Interrupted(refusal)]
        self._subscriptions.pop(subscription, None)
        return [Ended(subscription, refusal)]

    def _retire(self, subscription: Subscription) -> None:
        """Let go of the server's subscription, or of the request for it: then its answer is the time to do it."""
        server_id, subscription.server_id = subscription.server_id, None
        subscription.request_id = None
        if server_id is not None:
            del self._routes[server_id]
            self._unsubscribe(subscription.kind, server_id)

    def _unsubscribe(self, kind: Kind, server_id: str) -> None:
        self._retired.add(server_id)
        self._ask(
            _UNSUBSCRIBE[kind],
            {"subscriptionId": server_id},
            lambda _: self._forget(server_id),
            lambda _: self._forget(server_id),
        )

    def _forget(self, server_id: str) -> list[Event]:
        self._retired.discard(server_id)
        return []

    # --- receiving ---

    def receive(self, payload: bytes) -> list[Event]:
        """Take one message from the socket; it never raises, whatever the message holds."""
        try:
            members = self._codec.decode(payload)
            return self._response(members) if members.get("requestId") else self._push(members)
        except (HubError, Unexpected) as exc:
            return [Unreadable(str(exc))]

    def _response(self, members: Members) -> list[Event]:
        request_id = members["requestId"]
        pending = self._pending.pop(request_id, None) if type(request_id) is int else None
        if pending is None:
            return []
        if members.get("status") == "success":
            return pending.answered(members) if pending.answered else [Answered(request_id, members)]
        refusal = Refusal.read(members)
        return pending.refused(refusal) if pending.refused else [Refused(request_id, refusal)]

    def _push(self, members: Members) -> list[Event]:
        action = members.get("action")
        read = self._pushes.get(action) if isinstance(action, str) else None
        if read is not None:
            return read(members)
        if members.get("status") == "error":
            raise Unexpected(f"an error that answers no request: {Refusal.read(members).text}")
        return []

    def _notification(self, members: Members) -> list[Event]:
        return self._message(members, NotificationView.read(members.get("notification")))

    def _command(self, members: Members) -> list[Event]:
        return self._message(members, CommandView.read(members.get("command")))

    def _message(self, members: Members, message: MessageView) -> list[Event]:
        push = _Push(member(members, "subscriptionId", str), message, members.get("dropped", 0))
        subscription = self._routes.get(push.server_id)
        if subscription is not None:
            return _deliver(subscription, push)
        if push.server_id in self._retired or not self._subscribing():
            return []
        if len(self._early) >= self._early_limit:
            return [Interrupted(_TOO_EARLY)]
        self._early.append(push)
        return []

    def _subscribing(self) -> bool:
        return any(pending.action in _SUBSCRIBE.values() for pending in self._pending.values())

    def _take_early(self, server_id: str) -> list[_Push]:
        """What came before the answer; what is left when no answer is due any more belongs to nobody."""
        mine = [push for push in self._early if push.server_id == server_id]
        rest = [push for push in self._early if push.server_id != server_id]
        self._early = rest if self._subscribing() else []
        return mine

    def _ended(self, members: Members) -> list[Event]:
        subscription = self._routes.pop(member(members, "subscriptionId", str), None)
        if subscription is None:
            return []
        subscription.server_id = None
        self._subscriptions.pop(subscription, None)
        refusal = Refusal.read({"code": 401, "error": "the hub ended the subscription", **members})
        return [Ended(subscription, refusal)]


def _copied(members: Members) -> dict[str, Any]:
    """A copy of what JSON keeps of the members."""
    try:
        return JSON.decode(JSON.encode(members))
    except (TypeError, HubError) as exc:
        raise ValueError(f"not a JSON message that a hub takes: {exc}") from exc


def _read_closing(members: Members) -> Closing:
    reason = members.get("reason")
    return Closing(
        member(members, "code", int),
        reason if isinstance(reason, str) else "",
        seconds(members.get("retryAfter")),
        seconds(members.get("reconnectAfter")),
    )
