"""A connection: our side of one conversation, without the socket.

Feed it payloads with :meth:`Connection.receive`; it checks the envelope and hands back what is asked, to be carried
out. Then :meth:`Connection.succeed` or :meth:`Connection.refuse` each exchange, in any order: answers leave in the
order in which the requests came in, because clients pipeline.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hub.core.access import ANONYMOUS, Peer, Principal
from hub.core.limits import Tally
from hub.core.outbox import Outbox
from hub.core.subscription import Subscription
from protocol.codecs import TEXT, UNFRAMED, Codec
from protocol.entities import Device
from protocol.errors import BAD_PARAMETER, UNKNOWN_ACTION, HubError
from protocol.frames import header
from protocol.messages import Notification
from protocol.names import CLOSING, Action, CloseCode, Endpoint, Kind, Role
from protocol.requests import REQUESTS, Request, to_text


@dataclass(slots=True, eq=False)
class Exchange:
    """One request and its place among the answers.

    Attributes:
        action: None when the message named none that exists.
        device_id, device_key: credentials that came with this one message.
        answer: the framed response, once there is one.
    """

    raw_action: Any = None
    request_id: Any = None
    action: Action | None = None
    ask: Request | None = None
    device_id: str | None = None
    device_key: str | None = field(default=None, repr=False)
    answer: bytes | None = None

    @property
    def has_credentials(self) -> bool:
        return self.device_id is not None or self.device_key is not None


@dataclass(slots=True, frozen=True)
class ConnectionLimits:
    """Bounds of one connection. Zero: no bound."""

    outbox_bytes: int = 1_048_576
    anonymous_requests: int = 20
    subscriptions: int = 256
    listeners: int = 10_000


class Connection:
    """The state of a conversation: who it is, what it has subscribed to, what is still to be answered.

    Args:
        tally: counts the limits that are reached here.

    Attributes:
        extended: whether the client asked for more than DeviceHive's wire.
        may_notify: who was last found to be allowed to insert notifications for which device, and how that was named.
        line: the number by which its socket is written to together with others; what it means is for whoever does so.
            -1: it cannot be. Set before the first subscription, and never changed.
        closing: the code to close with, once something has decided so; the socket acts on it.
        base_url: scheme, host and context path that the handshake used, for URLs in answers.
    """

    # Slots, and a list where a deque would be natural: a deque takes 600 bytes, a dictionary 700, of each idle socket.
    __slots__ = (
        "__weakref__",
        "_anonymous_requests",
        "_farewell",
        "_open",
        "_tally",
        "base_url",
        "closing",
        "codec",
        "endpoint",
        "extended",
        "limits",
        "line",
        "listening",
        "may_notify",
        "outbox",
        "peer",
        "principal",
        "subscriptions",
    )

    def __init__(
        self,
        *,
        endpoint: Endpoint,
        codec: Codec,
        extended: bool = False,
        peer: Peer = Peer(),
        limits: ConnectionLimits = ConnectionLimits(),
        base_url: str = "",
        tally: Tally | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.codec = codec
        self.extended = extended
        self.peer = peer
        self.limits = limits
        self.base_url = base_url
        self._tally = tally if tally is not None else Tally()
        self.principal: Principal = ANONYMOUS
        self.outbox = Outbox(limits.outbox_bytes)
        self.line = -1
        self.subscriptions: dict[str, Subscription] = {}
        self.listening: dict[int, None] = {}
        self.may_notify: tuple[Principal, str | None, Device] | None = None
        self.closing: tuple[CloseCode, str] | None = None
        self._farewell: dict[str, Any] | None = None
        self._anonymous_requests = 0
        self._open: list[Exchange] = []

    def __repr__(self) -> str:
        return (
            f"Connection({self.endpoint.value}, {self.principal.identity}, subscriptions={len(self.subscriptions)}, "
            f"open={len(self._open)}, {self.outbox!r})"
        )

    @property
    def is_stream(self) -> bool:
        """Whether it is an event stream: nothing is read from it, and it ends with its one subscription."""
        return self.codec.opcode == UNFRAMED

    # --- fed by the socket

    def receive(self, payload: bytes) -> Exchange | None:
        """Take in one message.

        Returns:
            What to carry out next, or None when the message was answered right here (or ended the connection: look at
            ``closing``).
        """
        exchange = Exchange()
        self._open.append(exchange)
        if self.principal.role is Role.ANONYMOUS and not self._count_anonymous():
            return None
        try:
            members = self.codec.decode(payload)
        except HubError as error:
            self._refuse_payload(exchange, payload, error)
            return None
        try:
            self._read(exchange, members)
        except HubError as error:
            self.refuse(exchange, error)
            return None
        return exchange

    def _count_anonymous(self) -> bool:
        self._anonymous_requests += 1
        limit = self.limits.anonymous_requests
        if limit and self._anonymous_requests > limit:
            detail = {"limit": "anonymous-requests", "value": limit}
            self.close(CloseCode.UNAUTHENTICATED, f"at most {limit} requests before authentication", detail=detail)
            return False
        return True

    def _refuse_payload(self, exchange: Exchange, payload: bytes, error: HubError) -> None:
        """Step 1 failed. Text that is not UTF-8 is not even text: RFC 6455 (8.1) ends the connection."""
        if self.codec.opcode == TEXT and not _is_utf8(payload):
            self.close(CloseCode.INVALID_TEXT, "not UTF-8")
        else:
            self._tally.refused(error)
            self._finish(exchange, error.members(extended=self.extended))

    def _read(self, exchange: Exchange, members: dict[str, Any]) -> None:
        """Steps 2 to 4 of the order of checks: the action is a plain value, it exists, its parameters convert."""
        exchange.raw_action = raw = members.get("action")
        exchange.request_id = members.get("requestId")
        exchange.action = action = _action(raw)
        exchange.ask = _READERS[action](members)
        if "deviceId" in members or "deviceKey" in members:
            exchange.device_id = to_text(members.get("deviceId"), "deviceId")
            exchange.device_key = to_text(members.get("deviceKey"), "deviceKey")

    def enrolled(self) -> None:
        """A device was saved: a gateway that enrols its devices may go on without being authenticated itself."""
        self._anonymous_requests = 0

    @property
    def unanswered(self) -> int:
        """How many requests wait for their answer."""
        return len(self._open)

    # --- answers

    def succeed(self, exchange: Exchange, result: dict[str, Any]) -> None:
        """Answer an exchange with success and the members of its result."""
        self._finish(
            exchange,
            {"action": exchange.raw_action, "requestId": exchange.request_id, "status": "success", **result},
        )

    def refuse(self, exchange: Exchange, error: HubError) -> None:
        """Answer an exchange with an error."""
        self._tally.refused(error)
        self._finish(
            exchange,
            {
                "action": exchange.raw_action,
                "requestId": exchange.request_id,
                **error.members(extended=self.extended),
            },
        )

    def tell(self, members: dict[str, Any]) -> None:
        """Send something that nothing was asked for, in front of what is pushed from now on."""
        self.outbox.offer(self._framed(members))

    def inserted(self, exchange: Exchange, notification: Notification) -> None:
        """Answer an insert of a notification."""
        self._answer(exchange, self.codec.inserted(exchange.request_id, notification))

    def _finish(self, exchange: Exchange, members: dict[str, Any]) -> None:
        self._answer(exchange, self.codec.encode(members))

    def _answer(self, exchange: Exchange, payload: bytes) -> None:
        exchange.answer = header(self.codec.opcode, len(payload)) + payload
        while self._open and (answer := self._open[0].answer) is not None:
            del self._open[0]
            self.outbox.offer(answer)

    # --- subscriptions

    def of_kind(self, kind: Kind) -> list[Subscription]:
        """This connection's subscriptions of one kind, oldest first."""
        return [subscription for subscription in self.subscriptions.values() if subscription.kind is kind]

    def listen(self, command_id: int) -> int | None:
        """Remember that this connection waits for updates of a command.

        Returns:
            The id of the oldest such command, when there are now too many and it has to be forgotten.
        """
        self.listening[command_id] = None
        if self.limits.listeners and len(self.listening) > self.limits.listeners:
            oldest = next(iter(self.listening))
            del self.listening[oldest]
            return oldest
        return None

    # --- the end

    def close(self, code: CloseCode, reason: str, **members: Any) -> None:
        """Decide that the connection ends. The first decision holds; the socket acts on it at its next visit."""
        if self.closing is not None:
            return
        self.closing = (code, reason)
        self._tally.note(members.get("detail"))
        self._farewell = {"action": CLOSING, "code": int(code), "reason": reason, **members}

    def farewell(self) -> bytes:
        """The very last message, framed: why it ends. Empty on an ordinary connection."""
        if not self.extended or self._farewell is None:
            return b""
        return self._framed(self._farewell)

    def _framed(self, members: dict[str, Any]) -> bytes:
        payload = self.codec.encode(members)
        return payload if self.is_stream else header(self.codec.opcode, len(payload)) + payload


def _is_utf8(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def _action(raw: Any) -> Action:
    if type(raw) is str and (action := _ACTIONS.get(raw)) is not None:
        return action
    if raw is None or isinstance(raw, (dict, list)):
        raise BAD_PARAMETER.error(detail={"parameter": "action"})
    raise UNKNOWN_ACTION.error(action=to_text(raw, "action"))


_READERS: dict[Action, Callable[[dict[str, Any]], Request]] = {action: ask.read for action, ask in REQUESTS.items()}
_ACTIONS: dict[str, Action] = {action.value: action for action in Action}
