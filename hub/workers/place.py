"""What a worker finds when it begins: its number, its socket, and a line to the supervisor."""

import socket
from dataclasses import dataclass
from typing import Self

from hub.app import bind


@dataclass(frozen=True, slots=True)
class Place:
    """A worker's slot and the descriptors that it has inherited; as text, ``SLOT:LISTENING:LINE``.

    Attributes:
        slot: from 1 on.
        listening: the slot's socket.
        line: a socket to the supervisor. The worker writes one line of JSON to it, ``{"banner": …}`` or
            ``{"failed": …}``; when it ends, the supervisor has ended or wants the worker to.
    """

    slot: int
    listening: int
    line: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Raises:
            ValueError: it is no place.
        """
        slot, listening, line = map(int, text.split(":"))
        return cls(slot, listening, line)

    def __str__(self) -> str:
        return f"{self.slot}:{self.listening}:{self.line}"


def bind_slots(host: str, port: int, count: int) -> list[socket.socket]:
    """A socket for each slot, all of them at one address.

    They are the supervisor's as long as it lives; a worker inherits the one of its slot. So the queue of connections
    that wait to be accepted belongs to the slot, not to the process: what arrives between a worker and its successor
    waits there. Sockets that the workers bound themselves would take their queues with them, and every connection in
    them would be reset.

    None listens yet: the kernel gives connections to a slot only after its first worker was ready.

    Raises:
        CannotStart: the address cannot be had.
    """
    if port:
        # Sockets that share a port would even share it with those of another hub; one that does not share notices.
        bind(host, port).close()
    first = bind(host, port, reuse_port=True)
    return [first, *(bind(host, first.getsockname()[1], reuse_port=True) for _ in range(count - 1))]
