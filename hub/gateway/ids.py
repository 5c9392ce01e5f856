"""Ids and timestamps of what is written here, from a lane of our own: reserved ahead, so that none is given twice."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hub.core.stamps import RESERVE_TOGETHER_US, RESERVE_US, Stamp, Stamper
from hub.store import Lane
from protocol.errors import StoreUnavailable
from protocol.messages import Message

if TYPE_CHECKING:
    from hub.gateway import Gateway


class Ids:
    """What a gateway numbers its messages with.

    Attributes:
        lane: the part of all ids that is ours.
    """

    _stamper: Stamper
    """From :meth:`take` on."""

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway
        self.lane = 0
        self._reservation: asyncio.Task[None] | None = None

    async def take(self, lane: Lane) -> None:
        """Go on in a lane that was just taken, and reserve ids in it."""
        gateway = self._gateway
        self.lane = lane.number
        together_us = max(RESERVE_TOGETHER_US, int(3e6 * gateway.policy.heartbeat_s))
        self._stamper = Stamper(
            lane=lane.number,
            mark=lane.mark,
            last_timestamp_ms=lane.last_timestamp_ms,
            reserve_us=RESERVE_US if gateway.bus.alone else together_us,
        )
        await self._reserve()

    # --- given

    async def stamp(self, device_id: int) -> Stamp:
        """The id and timestamp of a new message of a device. Queue the message before anything else is awaited.

        Raises:
            StoreUnavailable: the database has not answered for so long that no more ids are reserved.
        """
        return (await self.stamps([device_id]))[0]

    def stamp_now(self, device_id: int) -> Stamp | None:
        """The id and timestamp of a new message of a device, as :meth:`stamp`; None: only ``stamp`` can tell."""
        try:
            return self._stamp(device_id)
        except StoreUnavailable:
            return None

    async def stamps(self, device_ids: Sequence[int]) -> list[Stamp]:
        """The same for several; 0 for a device that does not exist yet."""
        try:
            return [self._stamp(device_id) for device_id in device_ids]
        except StoreUnavailable:
            # The clock has run past what is reserved: for a minute nothing was inserted, or the process did not run.
            if self._gateway.commits.away:
                raise
        await self._more()
        try:
            return [self._stamp(device_id) for device_id in device_ids]
        except StoreUnavailable:
            # Otherwise the requests behind this one would wait for more ids, too, one after the other.
            self._gateway.commits.part()
            raise

    def _stamp(self, device_id: int) -> Stamp:
        stamper = self._stamper
        stamp = stamper.stamp(device_id, self._gateway.now_us())
        if self._reservation is None and stamper.is_low:
            self._more()
        return stamp

    def for_update(self) -> int:
        """The id of a change of a command, for other workers; 0: there are none. Queue the change before anything else
        is awaited."""
        return 0 if self._gateway.bus.alone else self._stamper.next_id(self._gateway.now_us())

    # --- promised

    def promise(self) -> int:
        """An id that is below all that will be given here from now on, close to the present."""
        promised = self._stamper.promise(self._gateway.now_us())
        if self._stamper.is_low:
            self._more()
        return promised

    def pass_by(self, timestamp_ms: int) -> bool:
        """Give no timestamp at or before this one here any more. False: not yet possible, ask again in a moment."""
        return self._stamper.pass_by(timestamp_ms, self._gateway.now_us())

    def before_next_ms(self) -> int:
        """One millisecond before the earliest timestamp that a later message can get."""
        return self._stamper.before_next_ms(self._gateway.now_us())

    def heard(self, message: Message) -> None:
        """Another worker has stamped this message."""
        self._stamper.heard(message.id, message.device_id, message.timestamp_ms, self._gateway.now_us())

    # --- reserved

    def _more(self) -> "asyncio.Task[None]":
        if self._reservation is None:
            self._reservation = self._gateway.spawn(self._reserve_ahead())
        return self._reservation

    async def _reserve_ahead(self) -> None:
        try:
            await self._reserve()
        except StoreUnavailable:
            pass  # It is tried again with the next stamp; whoever gets none hears of it.
        finally:
            self._reservation = None

    async def _reserve(self) -> None:
        stamper = self._stamper  # It is another one when the lane is another one, and then nothing is reserved there.
        mark = stamper.wanted(self._gateway.now_us())
        if mark is not None:
            await self._gateway.store.reserve(self.lane, mark)
            stamper.reserved(mark)
