"""A thread that owns one resource and does jobs on it, one after the other, for an event loop."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Generic, NamedTuple, TypeVar

from protocol.errors import STORAGE

R = TypeVar("R")
T = TypeVar("T")


class _Job(NamedTuple):
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]
    work: Callable[[Any], Any]


class Worker(Generic[R]):
    """Does jobs on a resource in a thread of its own, in the order in which they were asked for.

    Args:
        name: of the thread.
        acquire: makes the resource, in the thread.
        release: lets go of it, in the thread, after the last job.
        wait_s: how long a caller waits for an answer before it hears that the store is not available.
    """

    def __init__(self, name: str, *, acquire: Callable[[], R], release: Callable[[R], None], wait_s: float) -> None:
        self._acquire = acquire
        self._release = release
        self._wait_s = wait_s
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._running = False
        self._ended: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Begin. Raises what ``acquire`` raises; the thread has ended then."""
        loop = asyncio.get_running_loop()
        started, self._ended = loop.create_future(), loop.create_future()
        self._running = True
        # A daemon, so that a program which forgot to close still ends; what was answered is durable anyway.
        threading.Thread(target=self._run, args=(loop, started, self._ended), name=self._name, daemon=True).start()
        try:
            await asyncio.shield(started)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Finish what was asked for, then let go of the resource. Calling it twice is harmless."""
        if self._ended is None:
            return
        if self._running:
            self._running = False
            self._jobs.put(None)
        await asyncio.shield(self._ended)

    async def do(self, work: Callable[[R], T], *, wait_s: float | None = None) -> T:
        """Have a job done and return its result, or raise what it raises.

        A job whose caller has given up before its turn came is not done at all.

        Raises:
            StoreUnavailable: no answer in time (a job that has begun goes on), or the worker is not running.
        """
        if not self._running:
            raise STORAGE.error()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(loop, answer, work))
        try:
            async with asyncio.timeout(self._wait_s if wait_s is None else wait_s):
                return await answer
        except TimeoutError as exc:
            raise STORAGE.error() from exc

    def _run(self, loop: asyncio.AbstractEventLoop, started: asyncio.Future[None], ended: asyncio.Future[None]) -> None:
        """The thread."""
        try:
            resource = self._acquire()
        except BaseException as exc:  # handed to start()
            _tell(loop, started, None, exc)
        else:
            _tell(loop, started, None, None)
            self._serve(resource)
            self._release(resource)
        finally:
            _tell(loop, ended, None, None)

    def _serve(self, resource: R) -> None:
        while (job := self._jobs.get()) is not None:
            if job.answer.done():
                continue
            result, error = None, None
            try:
                result = job.work(resource)
            except BaseException as exc:  # handed to the caller; the thread must survive
                error = exc
            _tell(job.loop, job.answer, result, error)


def _tell(
    loop: asyncio.AbstractEventLoop, answer: asyncio.Future[Any], result: Any, error: BaseException | None
) -> None:
    """Settle a future from the thread. A loop that is closed has nobody left who waits."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(_settle, answer, result, error)


def _settle(answer: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)
