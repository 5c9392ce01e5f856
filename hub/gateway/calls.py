"""Carrying out an action without a task of its own."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Protocol, TypeVar

from protocol.errors import INTERNAL, HubError

log = logging.getLogger("hub")

T = TypeVar("T")

_stepping = False
"""Whether a :class:`Call` is being stepped right now, on this thread's loop: it takes commits as they are."""


class Waitable(Protocol):
    """What a call may wait for: a future of asyncio's, or a :class:`Commit`."""

    def add_done_callback(self, callback: Callable[[Any], Any], /) -> Any: ...


def in_task(work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
    """Give work a task of its own: for what sets itself a time limit, as the store's look-ups do."""
    return asyncio.get_running_loop().create_task(work)


class Commit:
    """One write on its way to the log. Awaiting it gives its outcome, or raises the error that came of it.

    It wakes its call right where the batch is completed, in the order of the batch: no future, no callback through the
    loop (0.4 µs and a turn each).
    """

    __slots__ = ("_callback", "done", "outcome")

    def __init__(self) -> None:
        self.done = False
        self.outcome: Any = None
        """Once it is done: what came of it, or the exception."""
        self._callback: Callable[[Any], Any] | None = None

    def add_done_callback(self, callback: Callable[[Any], Any], /) -> None:
        self._callback = callback

    def finish(self, outcome: Any) -> None:
        """Set the outcome (an exception is raised where it is awaited) and wake who waits."""
        self.done = True
        self.outcome = outcome
        callback, self._callback = self._callback, None  # Else the last commit would keep a whole connection.
        if callback is not None:
            callback(self)

    def __await__(self) -> Generator[Any, None, Any]:
        if not self.done and _stepping:
            yield self
        elif not self.done:
            # Awaited in an ordinary task, which takes nothing but futures.
            future = asyncio.get_running_loop().create_future()
            self.add_done_callback(lambda _: None if future.done() else future.set_result(None))
            yield from future
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


class Call:
    """One action under way.

    It is stepped right away, in the caller's turn: an action that waits for nothing is done when the constructor
    returns, and costs no task. It is never cancelled: when its connection goes away, its answer is not sent, and that
    is all. What it may await: commits, tasks and futures; what asks for the running task (``asyncio.timeout`` and the
    like) only through :func:`in_task`.

    Args:
        work: the action.
        done: called once, with the result and None, or with None and the error.
    """

    __slots__ = ("_blocked_on", "_done", "_work")

    def __init__(self, work: Coroutine[Any, Any, Any], done: Callable[[Any, HubError | None], None]) -> None:
        self._work = work
        self._done = done
        self._blocked_on: Waitable | None = None
        self._step()

    @property
    def finished(self) -> bool:
        return self._blocked_on is None

    @property
    def in_log(self) -> bool:
        """Whether all that is left is to be written: later requests need not wait for that."""
        return isinstance(self._blocked_on, Commit)

    def _step(self, _: Any = None) -> None:
        global _stepping
        self._blocked_on = None
        outer, _stepping = _stepping, True
        try:
            self._blocked_on = self._work.send(None)
        except StopIteration as stop:
            self._done(stop.value, None)
        except HubError as error:
            self._done(None, error)
        except Exception:
            # One of the three places that must survive: an action that fails unexpectedly ends alone.
            log.exception("an action failed")
            self._done(None, INTERNAL.error())
        else:
            if type(self._blocked_on) is not Commit:
                # As asyncio's tasks do: whoever awaits the same future next would otherwise be told that it may not.
                self._blocked_on._asyncio_future_blocking = False  # type: ignore[union-attr]
            self._blocked_on.add_done_callback(self._step)
        finally:
            _stepping = outer
