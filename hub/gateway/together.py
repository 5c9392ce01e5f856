"""Asking the store about many things at once."""

import asyncio
import logging
from asyncio import Future
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Generic, TypeVar

from protocol.errors import INTERNAL, STORAGE, HubError

log = logging.getLogger("hub")

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Waiting = dict[K, list[Future[V | None]]]

AT_ONCE = 1_000


class Together(Generic[K, V]):
    """Questions of one turn, and of all turns that come while an answer is awaited, made one.

    Args:
        ask: answers for many keys at once; what it leaves out is answered with None.
        most: how many keys it is asked for at a time.
        patience_s: how long an answer may take; the questions of others that come first are part of it.
    """

    def __init__(
        self, ask: Callable[[list[K]], Awaitable[Mapping[K, V]]], *, most: int = AT_ONCE, patience_s: float = 5.0
    ) -> None:
        self._ask = ask
        self._most = most
        self._patience_s = patience_s
        self._waiting: Waiting[K, V] = {}
        self._task: asyncio.Task[None] | None = None

    def find(self, key: K) -> "asyncio.Future[V | None]":
        """Ask for one key. What it was when this was called is never the answer if it has changed since then.

        Raises:
            HubError: when awaited: what ``ask`` raised; StoreUnavailable if it has not answered in time.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[V | None] = loop.create_future()
        timer = loop.call_later(self._patience_s, _settle, answer, None, STORAGE.error(retry_after_s=1))
        answer.add_done_callback(lambda _: timer.cancel())
        self._waiting.setdefault(key, []).append(answer)
        if self._task is None:
            self._task = loop.create_task(self._run(), name="together")
        return answer

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._answer(self._take())
                # Whoever was answered goes on before the next are asked about.
                await asyncio.sleep(0)
        finally:
            self._task = None

    def _take(self) -> Waiting[K, V]:
        if len(self._waiting) <= self._most:
            taken, self._waiting = self._waiting, {}
            return taken
        return {key: self._waiting.pop(key) for key in [*self._waiting][: self._most]}

    async def _answer(self, asked: Waiting[K, V]) -> None:
        found: Mapping[K, V] = {}
        error: HubError | None = None
        try:
            found = await self._ask([*asked])
        except HubError as exc:
            error = exc
        except Exception:
            # Nobody else would hear of it, and all of them wait.
            log.exception("a look-up failed")
            error = INTERNAL.error()
        for key, answers in asked.items():
            for answer in answers:
                _settle(answer, found.get(key), error)


def _settle(answer: "asyncio.Future[V | None]", value: V | None, error: HubError | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(value)
    else:
        answer.set_exception(error)
