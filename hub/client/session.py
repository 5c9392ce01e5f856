"""One client kept connected: sockets come and go beneath it, requests and subscriptions stay."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from hub.client.backoff import Backoff
from hub.client.credentials import Credentials
from hub.client.errors import ClientError, ConnectionLost, CredentialsRefused, HubRefused, NoAnswer, Replaced
from hub.client.following import Following
from hub.client.socket import Options, endpoint_url, open_socket, retry_after_s
from hub.client.stream import Stream
from protocol.client import Client, ClientLimit
from protocol.client_events import (
    Answered,
    Closing,
    CommandUpdated,
    Ended,
    Event,
    Interrupted,
    Lost,
    Members,
    Ready,
    Received,
    Refusal,
    Refused,
    Rejected,
    Subscribed,
    Subscription,
    Unreadable,
    WatchRefused,
)
from protocol.codecs import TEXT
from protocol.names import Action, CloseCode, Endpoint

log = logging.getLogger("hub.client")


@dataclass(frozen=True, slots=True)
class _Parting:
    """Why a connection ended, and when the next may begin."""

    why: str
    retry_after_s: float | None = None
    slot_s: float | None = None


class _Interrupted(Exception):
    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal


@dataclass(slots=True)
class _Call:
    answer: asyncio.Future[Members]
    action: Action
    note: Callable[[Members], None] | None = None


class Session:
    """Runs a :class:`protocol.client.Client` over sockets, one after another, until it is stopped or turned away.

    Attributes:
        connected: whether there is an authenticated connection at this moment.
        options: as given.
        following: who waits for what becomes of commands.
    """

    def __init__(
        self,
        url: str,
        endpoint: Endpoint,
        options: Options,
        *,
        credentials: Credentials | None = None,
        registration: Members | None = None,
    ) -> None:
        self.connected = False
        self.options = options
        self._url = endpoint_url(url, endpoint)
        self._anonymous = credentials is None
        self._client = Client(
            credentials=credentials.members if credentials else None,
            registration=registration,
            pending_limit=options.pending_limit,
        )
        self._backoff = Backoff(
            first_s=options.backoff_first_s, most_s=options.backoff_most_s, stable_s=options.stable_s
        )
        self._calls: dict[int, _Call] = {}
        self._streams: dict[Subscription, Stream[Any]] = {}
        self._openings: dict[Subscription, asyncio.Future[None]] = {}
        self.following = Following(self._client, self.call)
        self._outgoing = asyncio.Event()
        self._first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ended: ClientError | None = None
        self._closing: Closing | None = None
        self._established = False
        self._revocations = 0
        self._deadline: asyncio.Timeout | None = None
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Session {'connected' if self.connected else 'not connected'}>"

    # --- for the program ---

    async def start(self) -> None:
        """Connect and authenticate.

        Raises:
            CredentialsRefused, HubRefused: trying again will not help.
            ConnectionLost: no connection within ``patience_s``.
        """
        self._task = asyncio.create_task(self._run(), name="hub client")
        try:
            await asyncio.shield(self._first)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close the connection. Streams end, and whatever still waits gets :class:`ConnectionLost`."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                self._task.result()

    async def call(
        self,
        action: Action,
        members: Members,
        *,
        timeout_s: float | None = None,
        note: Callable[[Members], None] | None = None,
    ) -> Members:
        """Ask, and wait for the answer; over a reconnect, if need be.

        Args:
            note: is called with a success before any later message is looked at.

        Raises:
            HubRefused: the hub said no.
            NoAnswer: it said nothing in time.
            ConnectionLost: see there.
            ClientLimit: too many requests wait already.
            ValueError: the members are not JSON, or too large for it.
        """
        self._check_running()
        timeout_s = self.options.timeout_s if timeout_s is None else timeout_s
        request_id = self._client.request(action, members)
        call = _Call(asyncio.get_running_loop().create_future(), action, note)
        self._calls[request_id] = call
        self._outgoing.set()
        try:
            async with asyncio.timeout(timeout_s):
                return await call.answer
        except TimeoutError as exc:
            raise NoAnswer(f"{action.value}: no answer within {timeout_s:g} s") from exc
        finally:
            del self._calls[request_id]
            self._client.abandon(request_id)

    def _check_running(self) -> None:
        if self._ended is not None:
            raise self._ended.with_traceback(None)

    def stream(self, subscription: Subscription, wrap: Callable[[Any], Any]) -> Stream[Any]:
        """A stream for a subscription, whose messages ``wrap`` makes what the program gets."""
        options = self.options
        return Stream(self, subscription, wrap, queue_limit=options.queue_limit, timeout_s=options.timeout_s)

    async def open_stream(self, stream: Stream[Any], *, timeout_s: float) -> None:
        """Subscribe for a stream and wait until the hub has agreed."""
        self._check_running()
        subscription = stream.subscription
        self._client.subscribe(subscription)
        self._streams[subscription] = stream
        opening = self._openings[subscription] = asyncio.get_running_loop().create_future()
        self._outgoing.set()
        try:
            async with asyncio.timeout(timeout_s):
                await opening
        except BaseException as exc:
            self.close_stream(stream)
            if isinstance(exc, TimeoutError):
                raise NoAnswer(f"subscribe: no answer within {timeout_s:g} s") from exc
            raise
        finally:
            del self._openings[subscription]

    def close_stream(self, stream: Stream[Any]) -> None:
        """Unsubscribe a stream; nothing more comes to it."""
        self._streams.pop(stream.subscription, None)
        self._client.unsubscribe(stream.subscription)
        self._outgoing.set()

    def resume_stream(self, stream: Stream[Any]) -> None:
        """Go on with a stream whose reader had fallen behind."""
        self._client.resume(stream.subscription)
        self._outgoing.set()

    # --- connections, one after another ---

    async def _run(self) -> None:
        try:
            await self._keep_connected()
        except ClientError as exc:
            self._end(exc)
        except asyncio.CancelledError:
            self._end(None)
            raise
        except BaseException:
            self._end(ConnectionLost("the client failed"))
            raise

    async def _keep_connected(self) -> None:
        patient_until_s = self._now_s() + self.options.patience_s
        while True:
            parting = await self._attempt()
            delay_s = self._backoff.delay_s(retry_after_s=parting.retry_after_s, slot_s=parting.slot_s)
            if not self._first.done() and self._now_s() + delay_s > patient_until_s:
                raise ConnectionLost(f"cannot connect to the hub: {parting.why}")
            log.info("connecting again: in_s=%.1f why=%s", delay_s, parting.why)
            await asyncio.sleep(delay_s)

    async def _attempt(self) -> _Parting:
        """One connection from its beginning to its end."""
        self._closing = None
        try:
            socket = await open_socket(self._url, self.options)
        except InvalidStatus as exc:
            return self._turned_away(exc)
        except (OSError, TimeoutError, InvalidHandshake) as exc:
            return _Parting(str(exc) or type(exc).__name__)
        try:
            await self._converse(socket)
        except ConnectionClosed as exc:
            return self._part(exc)
        except _Interrupted as exc:
            return _Parting(exc.refusal.text, exc.refusal.retry_after_s)
        except TimeoutError:
            return _Parting("not authenticated in time")
        finally:
            await socket.close()

    async def _converse(self, socket: ClientConnection) -> NoReturn:
        """Read until the connection ends; a task beside it writes."""
        writer = asyncio.create_task(self._write(socket), name="hub client writer")
        # Without its writer a connection is of no use; the reader learns of it through the socket.
        writer.add_done_callback(lambda task: socket.transport.abort() if _failed(task) else None)
        try:
            async with asyncio.timeout(self.options.open_timeout_s) as self._deadline:
                self._dispatch(self._client.opened(socket.subprotocol))
                while True:
                    self._dispatch(self._client.receive(await socket.recv(decode=False)))
        finally:
            self._note_end(too_big=socket.close_code == CloseCode.TOO_BIG)
            writer.cancel()
            await asyncio.wait([writer])
            if _failed(writer):
                writer.result()

    async def _write(self, socket: ClientConnection) -> NoReturn:
        while True:
            self._outgoing.clear()
            for payload in self._client.take():
                await socket.send(payload, text=self._client.opcode == TEXT)
            await self._outgoing.wait()

    def _note_end(self, *, too_big: bool) -> None:
        self._established, self.connected = self.connected, False
        if self._backoff.lost(self._now_s()):
            self._revocations = 0
        if too_big:
            self._dispatch(self._client.oversized())
        self._dispatch(self._client.lost())

    def _part(self, exc: ConnectionClosed) -> _Parting:
        """What a close means for us.

        Raises:
            CredentialsRefused, Replaced: there is no point in coming back.
        """
        close, closing = exc.rcvd, self._closing
        if close is None:
            return _Parting("the connection broke")
        why = f"closed by the hub: {close.code} {close.reason}".rstrip()
        if close.code == CloseCode.REPLACED:
            raise Replaced("a newer connection of the same device took this one's place")
        if close.code == CloseCode.UNAUTHENTICATED:
            self._revoked(close.reason)
        if closing is None:
            return _Parting(why)
        return _Parting(why, closing.retry_after_s, closing.reconnect_after_s)

    def _revoked(self, text: str) -> None:
        """Come back once: a key may have been changed under us, and the same credentials be good for a new connection.

        Raises:
            CredentialsRefused: they are not, or there never were any.
        """
        self._revocations += self._established
        if self._anonymous or self._revocations > 1:
            refusal = Refusal(401, text or "no longer authenticated", "not-authenticated")
            raise CredentialsRefused(refusal, "the hub closed the connection")

    def _turned_away(self, exc: InvalidStatus) -> _Parting:
        """What an HTTP answer in place of a connection means.

        Raises:
            HubRefused: asking again will not help.
        """
        status, headers = exc.response.status_code, exc.response.headers
        text = f"HTTP {status}"
        if status == 401:
            raise CredentialsRefused(Refusal(status, text), "the hub refused the connection")
        # Something between us and a hub that we have already reached may forget it for a while.
        if 300 <= status < 500 and status not in (408, 425, 429) and not self._first.done():
            raise HubRefused(Refusal(status, text), "the hub refused the connection")
        return _Parting(text, retry_after_s(headers.get_all("Retry-After")))

    def _end(self, error: ClientError | None) -> None:
        """Tell everybody who waits that nothing more will come; None: because we were stopped."""
        self._ended = error or ConnectionLost("the client was closed")
        waiting: list[asyncio.Future[Any]] = [call.answer for call in self._calls.values()]
        for future in (*waiting, *self._openings.values(), self._first):
            if not future.done():
                future.set_exception(self._ended)
        self.following.end(self._ended)
        self._first.exception()  # Nobody may be waiting for it.
        for stream in list(self._streams.values()):
            stream.fail(error)

    @staticmethod
    def _now_s() -> float:
        return asyncio.get_running_loop().time()

    # --- what came ---

    def _dispatch(self, events: Iterable[Event]) -> None:
        for event in events:
            self._handle(event)
        self._outgoing.set()

    def _handle(self, event: Event) -> None:
        match event:
            case Received(subscription, message, dropped):
                self._received(subscription, self._streams[subscription].offer(message, dropped))
            case Answered(request_id, members):
                self._answered(request_id, members)
            case Refused(request_id, refusal):
                self._fail_call(request_id, lambda call: HubRefused(refusal, call.action.value))
            case Lost(request_id):
                self._fail_call(request_id, lambda call: ConnectionLost(f"{call.action.value}: outcome unknown"))
            case CommandUpdated(command):
                self.following.updated(command)
            case WatchRefused(command_id, asked, refusal):
                self.following.refused(command_id, asked, refusal)
            case Subscribed():
                self._subscribed(event)
            case Ended(subscription, refusal):
                self._stream_ended(subscription, HubRefused(refusal, "subscribe"))
            case Ready():
                self._authenticated()
            case Rejected(Action.AUTHENTICATE, refusal):
                raise CredentialsRefused(refusal, "authenticate")
            case Rejected(action, refusal):
                raise HubRefused(refusal, action.value)
            case Interrupted(refusal):
                raise _Interrupted(refusal)
            case Closing():
                self._closing = event
            case Unreadable(why):
                log.warning("passed over a frame that makes no sense: why=%s", why)

    def _received(self, subscription: Subscription, room: bool) -> None:
        if not room and not subscription.paused:
            self._client.pause(subscription)

    def _answered(self, request_id: int, members: Members) -> None:
        call = self._calls.get(request_id)
        if call is None or call.answer.done():
            return
        try:
            if call.note is not None:
                call.note(members)
        except (ClientError, ClientLimit) as exc:
            call.answer.set_exception(exc)
        else:
            call.answer.set_result(members)

    def _fail_call(self, request_id: int, error: Callable[[_Call], ClientError]) -> None:
        call = self._calls.get(request_id)
        if call is not None and not call.answer.done():
            call.answer.set_exception(error(call))

    def _subscribed(self, event: Subscribed) -> None:
        self._streams[event.subscription].note(event)
        if event.recovered is False:
            log.warning("messages are missing from a replay: missed=%s", event.missed)
        opening = self._openings.get(event.subscription)
        if opening is not None and not opening.done():
            opening.set_result(None)

    def _stream_ended(self, subscription: Subscription, error: HubRefused) -> None:
        opening = self._openings.get(subscription)
        if opening is not None and not opening.done():
            opening.set_exception(error)
        self._streams.pop(subscription).fail(error)

    def _authenticated(self) -> None:
        self.connected = True
        self._backoff.authenticated(self._now_s())
        assert self._deadline is not None, "connections are ready only while one is being read"
        self._deadline.reschedule(None)
        if not self._first.done():
            self._first.set_result(None)


def _failed(writer: asyncio.Task[NoReturn]) -> bool:
    return not writer.cancelled() and not isinstance(writer.exception(), ConnectionClosed)
