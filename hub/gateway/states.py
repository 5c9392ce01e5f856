"""How far commands have come: what this worker finds out about that, and whoever hears of it."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from hub.core.ends import Ends
from hub.core.states import EXPIRE, SEND, is_unsettled
from hub.gateway.calls import Commit
from hub.store import Advance, Step, Stepped
from protocol.entities import Device
from protocol.errors import HubError
from protocol.messages import Command, Moves
from protocol.names import CommandState

if TYPE_CHECKING:
    from hub.core.connection import Connection
    from hub.gateway import Gateway

log = logging.getLogger("hub")

AT_ONCE = 500
"""Commands whose states one write moves."""


class States:
    """The states of commands, as one worker moves them. Each move is in the log before anybody hears of it.

    Attributes:
        moved: how many commands this worker has moved, by where to; without what a ``command/update`` did.
    """

    def __init__(self, gateway: "Gateway") -> None:
        self.moved: Counter[CommandState] = Counter()
        self._gateway = gateway
        self._ends: Ends[Command] = Ends()

    def __len__(self) -> int:
        """How many lifetimes are watched."""
        return len(self._ends)

    def move(self, device: Device, command_id: int, moves: Moves) -> Commit:
        """Move a command's state. Await the commit for a list with the :class:`Stepped`, or None where the device has
        no such command."""
        return self._submit([self._step(device.id, device.guid, command_id)], moves)

    # --- sent

    def sent(self, taken: "Iterable[tuple[Connection, Command]]") -> None:
        """These were written to connections of their devices, unless those could not take them."""
        gateway = self._gateway
        fresh = {
            command.id: command
            for connection, command in taken
            if command.state is CommandState.QUEUED
            and connection in gateway
            and connection.closing is None
            and not connection.outbox.overflowed
        }
        try:
            for some in _some_of(list(fresh.values())):
                self._submit([self._step_of(command) for command in some], SEND)
        except HubError as error:
            # They stay ``queued``, which is less than is true, and never more.
            log.info("that commands were sent could not be stored", extra={"error": error.text})

    # --- expired

    async def settled(self, commands: Sequence[Command]) -> list[Command]:
        """These commands with states that can be shown: what has run out unnoticed is stored as that first, so that
        nothing that was on its way at the same time is told afterwards.

        Raises:
            StoreUnavailable: that cannot be stored now.
        """
        unsettled = [command for command in commands if is_unsettled(command, self._gateway.expiry_ms())]
        after: dict[int, Command] = {}
        for some in _some_of(unsettled):
            stepped: list[Stepped | None] = await self._submit([self._step_of(command) for command in some], EXPIRE)
            after.update((one.command.id, one.command) for one in stepped if one is not None)
        return [after.get(command.id, command) for command in commands]

    def watch_end(self, command: Command) -> None:
        """Whoever listens to this command here, if anybody does, wants to hear when it expires."""
        end_ms = command.expires_ms()
        if end_ms is None or command.updated or not self._gateway.fan_out.is_listened_to(command.id):
            return
        if self._gateway.policy.lifetime_enforced:
            self._ends.add(command.id, end_ms, command)

    def forget_end(self, command_id: int) -> None:
        """Nobody does any more. Idempotent."""
        if len(self._ends):
            self._ends.remove(command_id)

    async def expire(self) -> None:
        """Expire what is watched and due."""
        now_ms = self._gateway.now_ms()
        while due := self._ends.due(now_ms, most=AT_ONCE):
            try:
                await self._submit([self._step_of(command) for command in due], EXPIRE)
            except HubError:
                for command in due:
                    self.watch_end(command)
                raise

    # --- both

    def _submit(self, steps: list[Step], moves: Moves) -> Commit:
        at_ms = self._gateway.expiry_ms() or 0
        return self._gateway.submit_publishing(Advance(steps, moves, at_ms), partial(self._stored, steps))

    def _step_of(self, command: Command) -> Step:
        return self._step(command.device_id, command.device_guid, command.id)

    def _step(self, device_id: int, device_guid: str, command_id: int) -> Step:
        return Step(device_id, device_guid, command_id, self._gateway.ids.for_update())

    def _stored(self, steps: Sequence[Step], outcome: Sequence[Stepped | None]) -> None:
        for step, stepped in zip(steps, outcome, strict=True):
            if stepped is None or not stepped.moved:
                continue
            self.moved[stepped.command.state] += 1
            if stepped.command.state is CommandState.CANCELLED:
                self._gateway.fan_out.cancel(step.command_id)
                self._gateway.others.cancelled(step.command_id)
                self._gateway.open_commands.freed(step.device_id)
            self._gateway.tell_update(step.update_id, stepped.command)


def _some_of(commands: Sequence[Command]) -> Iterable[Sequence[Command]]:
    return (commands[at : at + AT_ONCE] for at in range(0, len(commands), AT_ONCE))
