"""Following messages for OpenTelemetry: a span for the request, and below it one for its commit and one for delivery.

This module is imported, and OpenTelemetry with it, only where ``HUB_TRACING`` says so. What it changes it changes by
taking the place of a class when the hub is made: a question on the way of every message would be paid by everybody.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from hub.bus import Bus, Placed
from hub.core.subscription import Published
from hub.core.traced import TracedPublished
from hub.gateway import Gateway
from hub.gateway.calls import Commit
from hub.store import Idempotency, Store
from protocol.entities import Device
from protocol.errors import HubError
from protocol.messages import Command, CommandPatch, Message, Notification

DELIVERING_MOST = 1_000
"""Spans of deliveries that may wait for the end of their turn; with a bus, for their place in the order of workers."""

_current: ContextVar["Traced | None"] = ContextVar("traced", default=None)
_propagator = TraceContextTextMapPropagator()
_NOTHING = Context()


class Traced:
    """One request that is followed, from its beginning to its answer. :meth:`end` it, whatever comes."""

    __slots__ = ("_commit", "_gateway", "_message_id", "_span", "_tracer")

    def __init__(self, gateway: "TracedGateway", span: Span) -> None:
        self._gateway = gateway
        self._tracer = gateway.tracer
        self._span = span
        self._commit: Span = INVALID_SPAN
        self._message_id: int | None = None

    @property
    def is_followed(self) -> bool:
        """Whether it was chosen among the many."""
        return bool(self._span.is_recording())

    @property
    def traceparent(self) -> str:
        """What whoever gets the message calls its parent."""
        outward: dict[str, str] = {}
        _propagator.inject(outward, set_span_in_context(self._span))
        return outward["traceparent"]

    @contextmanager
    def current(self) -> Iterator[None]:
        """What is submitted within belongs to it, also by what goes on later from here."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def committing(self, message_id: int | None = None) -> None:
        """Its write is queued."""
        self._message_id = message_id
        if self.is_followed:
            self._commit = self._child("commit", SpanKind.INTERNAL)

    def committed(self, error: BaseException | None = None) -> None:
        """Its write has ended. Idempotent."""
        commit, self._commit = self._commit, INVALID_SPAN
        if error is not None:
            _fail(commit, error)
        commit.end()

    def delivering(self) -> Span:
        """Its message is on its way to subscribers here; whoever knows when it was written ends this."""
        return self._child("deliver", SpanKind.PRODUCER)

    def end(self, error: BaseException | None = None) -> None:
        """It is answered."""
        self.committed(error)
        self._gateway.forget(self._message_id)
        if error is not None:
            _fail(self._span, error)
        self._span.end()

    def tell(self, **told: Any) -> None:
        """More of it."""
        self._span.set_attributes({name.replace("__", "."): value for name, value in told.items()})

    def _child(self, name: str, kind: SpanKind) -> Span:
        return self._tracer.start_span(name, set_span_in_context(self._span), kind)


def _fail(span: Span, error: BaseException) -> None:
    """Errors are told by what peers are told: the texts of others may say too much."""
    text = error.reason if isinstance(error, HubError) else type(error).__name__
    span.set_status(Status(StatusCode.ERROR, text))
    span.set_attribute("error.type", text)


class TracedGateway(Gateway):
    """A gateway whose requests are followed, and what the requests to other workers have brought to subscribers here.

    What was read from the log, because the bus had left it out, is as any other message.
    """

    def __init__(self, store: Store, bus: Bus, *, tracer: Tracer, **options: Any) -> None:
        super().__init__(store, bus, **options)
        self.tracer = tracer
        self._committing: dict[int, Traced] = {}
        self._publishing: Traced | None = None
        self._delivering: list[Span] = []
        self._delivering_heard: list[Span] = []

    def follow_request(self, name: str, traceparent: str | None, told: Mapping[str, Any]) -> Traced | None:
        """Follow a request. None: it was not chosen, and its sender does not ask for anything to be carried on.

        Args:
            traceparent: what came with it. What is malformed is as good as absent (W3C Trace Context, 4.2).
            told: what there is to say of it.
        """
        context = _NOTHING if traceparent is None else _propagator.extract({"traceparent": traceparent}, _NOTHING)
        span = self.tracer.start_span(name, context, SpanKind.SERVER, told)
        return Traced(self, span) if span.is_recording() or context else None

    def forget(self, message_id: int | None) -> None:
        """A request has been answered, so its message is committed or never will be. Idempotent."""
        if message_id is not None:
            self._committing.pop(message_id, None)

    # --- writes

    def append(self, message: Message, device: Device, idempotency: Idempotency | None = None) -> Commit:
        self._begin_commit(message.id)
        return super().append(message, device, idempotency)

    def append_command(self, command: Command, device: Device, idempotency: Idempotency | None = None) -> Commit:
        self._begin_commit(command.id)
        return super().append_command(command, device, idempotency)

    def _begin_commit(self, message_id: int) -> None:
        traced = _current.get()
        if traced is not None:
            traced.committing(message_id)
            self._committing[message_id] = traced

    def _appended(self, message: Message, device: Device, stored: Message) -> None:
        self._publishing = self._committing.pop(message.id, None)
        if self._publishing is not None:
            self._publishing.committed()
        try:
            super()._appended(message, device, stored)
        finally:
            self._publishing = None

    def append_behind(self, message: Notification, device: Device) -> None:
        self._publishing = _current.get()
        try:
            super().append_behind(message, device)
        finally:
            self._publishing = None

    def amend(self, device: Device, command_id: int, patch: CommandPatch) -> Commit:
        traced = _current.get()
        if traced is not None:
            traced.committing()
        return super().amend(device, command_id, patch)

    async def transact(self, work: Any, *, stamps_for: Sequence[int] = ()) -> Any:
        traced = _current.get()
        if traced is None:
            return await super().transact(work, stamps_for=stamps_for)
        traced.committing()
        result = await super().transact(work, stamps_for=stamps_for)
        traced.committed()
        return result

    # --- deliveries

    def publish(self, message: Message, device: Device) -> None:
        traced = self._publishing
        if traced is None:
            super().publish(message, device)
            return
        network = device.network
        network_id = None if network is None else network.id
        self._route(TracedPublished(message, network_id, device.groups, traceparent=traced.traceparent))
        if traced.is_followed:
            self._delivering.append(traced.delivering())

    def from_elsewhere(self, placed: Placed) -> Published:
        if placed.traceparent is None:
            return super().from_elsewhere(placed)
        parent = _propagator.extract({"traceparent": placed.traceparent}, _NOTHING)
        span = self.tracer.start_span("deliver", parent, SpanKind.CONSUMER)
        if span.is_recording():
            self._delivering_heard.append(span)
        return TracedPublished(placed.message, placed.network_id, placed.groups, traceparent=placed.traceparent)

    def _flush(self) -> None:
        super()._flush()
        # What comes from elsewhere waits for no place in our order.
        heard, self._delivering_heard = self._delivering_heard, []
        for span in heard:
            span.end()
        if self._delivering and (not len(self.order) or len(self._delivering) > DELIVERING_MOST):
            delivering, self._delivering = self._delivering, []
            for span in delivering:
                span.end()
