"""Following single commands: until a device has spoken, or never will."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hub.client.errors import ClientError, HubRefused, NoAnswer
from protocol.client import Client
from protocol.client_events import CommandView, Members, Refusal, Unexpected
from protocol.names import Action

Call = Callable[..., Awaitable[Members]]
Watched = tuple[int, Action]


class Following:
    """Who waits here for what becomes of commands.

    Args:
        call: asks the hub, as :meth:`hub.client.session.Session.call` does.
    """

    def __init__(self, client: Client, call: Call) -> None:
        self._client = client
        self._call = call
        self._waiting: dict[Watched, list[asyncio.Future[CommandView]]] = {}

    def __len__(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    async def follow(self, action: Action, members: Members, *, timeout_s: float) -> CommandView:
        """Insert or watch a command, and wait until the device has spoken, or never will.

        Raises:
            NoAnswer: neither happened in time, or the hub tells nothing more; ``command_id`` is set if the hub has the
                command.
            HubRefused: it may not be inserted, or watched.
        """
        loop = asyncio.get_running_loop()
        result: asyncio.Future[CommandView] = loop.create_future()
        watched: list[int] = []

        def watch(answer: Members) -> None:
            command_id = answered_id(answer, "command")
            self._client.watch(command_id, action, members)
            self._waiting.setdefault((command_id, action), []).append(result)
            watched.append(command_id)
            if action is Action.COMMAND_WATCH:
                self.updated(answered_command(answer))

        ends_s = loop.time() + timeout_s
        try:
            await self._call(action, members, timeout_s=timeout_s, note=watch)
            async with asyncio.timeout_at(ends_s):
                return await result
        except NoAnswer:
            raise  # It is a TimeoutError, too, and says more.
        except TimeoutError as exc:
            text = f"command {watched[0]}: no result within {timeout_s:g} s"
            raise NoAnswer(text, command_id=watched[0]) from exc
        finally:
            for command_id in watched:
                self._forget((command_id, action), result)

    def _forget(self, watched: Watched, result: asyncio.Future[CommandView]) -> None:
        self._waiting[watched].remove(result)
        if not self._waiting[watched]:
            del self._waiting[watched]
            self._client.unwatch(*watched)

    def updated(self, command: CommandView) -> None:
        """The hub has told what became of a command."""
        if command.finished:
            for action in (Action.COMMAND_INSERT, Action.COMMAND_WATCH):
                for result in self._waiting.get((command.id, action), ()):
                    if not result.done():
                        result.set_result(command)

    def refused(self, command_id: int, action: Action, refusal: Refusal) -> None:
        """The hub tells nothing more of a command."""
        error: ClientError = HubRefused(refusal, action.value)
        if action is Action.COMMAND_INSERT:
            # It has the command, and whoever inserted it must not take it for refused.
            error = NoAnswer(f"command {command_id}: no result: {refusal.text or 'refused'}", command_id=command_id)
        self._fail(self._waiting.get((command_id, action), []), error)

    def end(self, error: ClientError) -> None:
        """Nothing more will be told of any."""
        for results in self._waiting.values():
            self._fail(results, error)

    @staticmethod
    def _fail(results: list[asyncio.Future[CommandView]], error: ClientError) -> None:
        for result in results:
            if not result.done():
                result.set_exception(error)


def answered_id(answer: Members, name: str) -> int:
    """The id of the message that an insert made.

    Raises:
        ClientError: the answer does not name one.
    """
    message: Any = answer.get(name)
    message_id = message.get("id") if isinstance(message, dict) else None
    if not isinstance(message_id, int):
        raise ClientError("the hub's answer does not name an id")
    return message_id


def answered_command(answer: Members) -> CommandView:
    """The command that an answer shows.

    Raises:
        ClientError: it shows none.
    """
    try:
        return CommandView.read(answer.get("command"))
    except Unexpected as exc:
        raise ClientError(f"the hub's answer shows no command: {exc}") from exc
