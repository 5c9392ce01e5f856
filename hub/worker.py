"""A worker's end of the hub that it is part of: what it was handed, and what it tells."""

import asyncio
import json
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Self

from hub.starting import FirstStart


@dataclass(slots=True)
class Handed:
    """What the process that started a worker has handed to it.

    Attributes:
        number: of the worker, from 1.
        listening: a socket that has the hub's address, and listens.
        link: to the process that started it. It closes when that process ends, however it ends.
        aside: a socket for whoever reads this worker's metrics.
    """

    number: int
    listening: socket.socket
    link: socket.socket
    aside: socket.socket | None = None

    @classmethod
    def of(cls, words: str) -> Self:
        """Read what :meth:`words` has written. To be called once, in the new process."""
        # These reach every process of a terminal's foreground. Until it serves, a worker is ended by the process that
        # has started it; and to replace the workers one by one is that one's business only.
        for signum in (signal.SIGINT, signal.SIGHUP):
            signal.signal(signum, signal.SIG_IGN)
        number, *descriptors = (int(word) for word in words.split(":"))
        return cls(number, *(socket.socket(fileno=descriptor) for descriptor in descriptors))

    def words(self) -> str:
        """This, for the command line of a new process that inherits the sockets."""
        return ":".join(map(str, (self.number, *self.descriptors())))

    def descriptors(self) -> list[int]:
        sockets = (self.listening, self.link, self.aside)
        return [one.fileno() for one in sockets if one is not None]

    # --- in the worker ------------------------------------------------------------------------------------------------

    def has_made(self, first: FirstStart) -> None:
        """Tell at once what a first start has made: it is shown once, by one process, whatever happens to this one."""
        self._tell({"first": asdict(first)})

    def is_ready(self) -> None:
        """Tell that connections are taken."""
        self._tell({"ready": True})

    def cannot_start(self, reason: str) -> None:
        """Tell why this worker ends."""
        self._tell({"reason": reason})

    def _tell(self, what: dict[str, Any]) -> None:
        with suppress(OSError):  # It has ended; when_orphaned() notices.
            self.link.sendall(json.dumps(what).encode() + b"\n")

    def when_orphaned(self, end: Callable[[], None]) -> None:
        """Call ``end`` when the process that started this one has ended."""
        loop = asyncio.get_running_loop()
        self.link.setblocking(False)

        def look() -> None:
            loop.remove_reader(self.link)
            end()

        loop.add_reader(self.link, look)  # Nothing is ever sent this way but the end.
