"""Order across workers: what was committed here waits for its place among what the others commit.

Whoever was answered may insert the next message at another worker, and on every socket that one has to come later. So
an answer waits until the bus has taken this worker's bundle; and the sockets here wait until all that the bus took
before it was heard. Both is one round trip of the bus, a fence, for all that a turn has committed.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from hub.bus import Bus
from hub.core.fanout import FanOut
from hub.core.subscription import Published
from hub.gateway.calls import Commit
from protocol.messages import Command, Message

log = logging.getLogger("hub")

Effect = Published | Command | tuple[Commit, Any]
"""What follows from a commit: a message to route, a command's update, or somebody who waits, with the outcome."""

MOST_BYTES = 16 << 20
"""How much may wait; beyond that the bus does not keep up."""

EFFECT_BYTES = 1_024
"""What a message takes in memory beside its values, about."""


class Order:
    """Holds what follows from commits, a turn at a time, and lets it go in the same order.

    While there is nobody else, while there is no bus, and while the bus is slower than ``within_s``, nothing waits.

    Args:
        within_s: how long it may take; 0: nothing ever waits.
        together: whether there are other workers.
        released: called when something was let go: sockets may have to be written to.
    """

    def __init__(
        self,
        bus: Bus,
        fan_out: FanOut,
        *,
        within_s: float,
        together: Callable[[], bool],
        released: Callable[[], None],
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.given_up = 0
        """How often the bus was too slow; until it is quick again, nothing waits."""
        self._bus = bus
        self._fan_out = fan_out
        self._within_s = within_s
        self._together = together
        self._released = released
        self._most_bytes = most_bytes
        self._turn: list[Effect] = []
        self._turn_bytes = 0
        self._held: deque[tuple[list[Effect], int]] = deque()
        self._held_bytes = 0
        self._late = 0
        """Fences that are still out of turns that did not wait for them."""
        self._timer: asyncio.TimerHandle | None = None
        self._seen: list[Effect] | None = None

    def __len__(self) -> int:
        """How many effects wait for the bus."""
        return sum(len(turn) for turn, _ in self._held)

    @property
    def keeps(self) -> bool:
        """Whether what is committed now has to wait."""
        return self._together() and not self._late and self._within_s > 0 and self._bus.is_up

    # --- fed: what follows from commits

    def publish(self, one: Published) -> None:
        """Route a message that was committed here, and that the bus is told of in this turn."""
        if self._turn or self._held or self.keeps:
            self._turn.append(one)
            self._turn_bytes += _size(one.message)
        else:
            self._fan_out.publish(one)

    def update(self, command: Command) -> None:
        """So with an update of a command."""
        if self._turn or self._held or self.keeps:
            self._turn.append(command)
            self._turn_bytes += _size(command)
        else:
            self._fan_out.update(command)

    def finish(self, commit: Commit, outcome: Any) -> None:
        """Wake whoever waits for a commit, behind all that was fed before."""
        if (behind := self._last()) is not None:
            behind.append((commit, outcome))
        else:
            commit.finish(outcome)

    def passed(self) -> Commit:
        """Await it: then all that was fed until now was let go."""
        commit = Commit()
        self.finish(commit, None)
        return commit

    def updated_elsewhere(self, command: Command) -> None:
        """An update was heard. Whoever inserted the command may not have been told so yet."""
        if (behind := self._last()) is not None:
            behind.append(command)
        else:
            self._fan_out.update(command)

    def _last(self) -> list[Effect] | None:
        if self._turn:
            return self._turn
        return self._held[-1][0] if self._held else None

    def end_turn(self) -> None:
        """The bus has been given what this turn has for it."""
        if not self._turn:
            return
        turn, size, self._turn, self._turn_bytes = self._turn, self._turn_bytes, [], 0
        if not (self._held or self.keeps):
            self._let_go(turn)
            return
        self._held.append((turn, size))
        self._held_bytes += size
        self._bus.fence(self._passed)
        if self._held_bytes > self._most_bytes:
            self._give_up()
        elif self._timer is None:
            self._look_later()

    # --- fed: the bus

    def _passed(self) -> None:
        if not self._late:
            turn, size = self._held.popleft()
            self._held_bytes -= size
            self._let_go(turn)
            return
        self._late -= 1
        if not self._late:
            self._try()

    def _let_go(self, turn: list[Effect]) -> None:
        for one in turn:
            if isinstance(one, tuple):
                _wake(*one)
            elif isinstance(one, Published):
                self._fan_out.publish(one)
            else:
                self._fan_out.update(one)
        self._released()

    # --- a bus that is too slow

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._within_s / 2, self._look)
        self._due_s = self._timer.when()

    def _look(self) -> None:
        """Twice within the time that is allowed: a turn that waits the second time has waited long enough."""
        self._timer = None
        if not self._held:
            return
        # A worker that was itself held up must not blame the bus.
        in_time = asyncio.get_running_loop().time() < self._due_s + self._within_s / 2
        if in_time and self._held[0][0] is self._seen:
            self._give_up()
            return
        self._seen = self._held[0][0]
        self._look_later()

    def _give_up(self) -> None:
        log.warning("the bus is slow; order across workers is not kept")
        self.given_up += 1
        self._late = len(self._held)
        self._held_bytes = 0
        while self._held:
            self._let_go(self._held.popleft()[0])

    def _try(self) -> None:
        """All is back that was late: go on waiting for the bus if it is quick now."""
        self._late, began_s = 1, asyncio.get_running_loop().time()

        def passed() -> None:
            if asyncio.get_running_loop().time() < began_s + self._within_s / 2:
                self._late = 0
                log.info("the bus is quick again; order across workers is kept")
            else:
                self._try()

        self._bus.fence(passed)


def _wake(commit: Commit, outcome: Any) -> None:
    try:
        commit.finish(outcome)
    except Exception:
        # Whoever fails ends alone: the others wait, too.
        log.exception("whoever waited for a write failed")


def _size(message: Message) -> int:
    size = EFFECT_BYTES + len(message.parameters)
    return size + len(message.result) if isinstance(message, Command) else size
