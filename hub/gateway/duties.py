"""What has to be done now and then: silence of devices, retention, expiry, changes made beside the hub."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING

from hub.core.notices import device_notification
from hub.store import Tx
from protocol.entities import Device
from protocol.errors import HubError
from protocol.names import OFFLINE, Kind, Special

if TYPE_CHECKING:
    from hub.gateway import Gateway, Stamps

log = logging.getLogger("hub")

ACTIVITY_S = 2.0
"""How often the activity of devices goes to the store: what a crash may forget of it."""

ACTIVITY_AT_ONCE = 1_000
"""Devices whose activity one transaction stores: with a hundred thousand, inserts would wait for a second."""

OVERDUE_AT_ONCE = 1_000
MOMENT_S = 0.05
"""The least that passes between two looks, also when looking fails."""

EXPIRY_S = 0.2
"""How often it is looked which commands that somebody listens to have expired."""

PRUNE_S = 60.0
PRUNE_ROWS = 500
KEYS_S = 3600.0
KEY_GRACE_MS = 7 * 86_400_000
"""Expired keys stay visible to their owner for a week."""


class Duties:
    """The periodic work of one worker, each kind in a task of its own. What fails is tried again, and told once."""

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway
        self._tasks: list[asyncio.Task[None]] = []
        self.pruned = dict.fromkeys(Kind, 0)
        self.turned_offline = 0
        self._checked_s = 0.0
        self._failing: set[str] = set()

    def start(self) -> None:
        policy = self._gateway.policy
        duties: list[tuple[Callable[[], Awaitable[None]], float]] = [
            (self._gateway.rights.poll, policy.change_poll_s),
            (self._expire_keys_in_use, policy.change_poll_s),
            (self._gateway.states.expire, EXPIRY_S),
            (self.flush_activity, ACTIVITY_S),
            (self._if_leading(self._prune), PRUNE_S),
            (self._if_leading(self._delete_expired_keys), KEYS_S),
        ]
        self._tasks = [asyncio.create_task(self._repeat(work, period_s)) for work, period_s in duties]
        self._tasks.append(asyncio.create_task(self._watch_silence(), name="silence"))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    def _if_leading(self, work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """What only one worker of a cluster does."""

        @wraps(work)
        async def duty() -> None:
            if self._gateway.others.leads:
                await work()

        return duty

    async def _repeat(self, work: Callable[[], Awaitable[None]], period_s: float) -> None:
        while True:
            await self._attempt(work)
            await asyncio.sleep(period_s)

    async def _attempt(self, work: Callable[[], Awaitable[None]]) -> None:
        name = getattr(work, "__name__", "duty").strip("_")
        try:
            await work()
        except Exception as exc:
            # A duty that fails must not take the others with it; it is tried again at its next time.
            if name not in self._failing:
                _tell(name, exc)
            self._failing.add(name)
        else:
            if name in self._failing:
                log.info("a duty is done again", extra={"duty": name})
            self._failing.discard(name)

    async def _expire_keys_in_use(self) -> None:
        self._gateway.rights.expire(self._gateway.now_ms())

    # --- activity and silence

    async def flush_activity(self) -> None:
        """Store the signs of life that have come in since the last time."""
        activity, self._gateway.activity = self._gateway.activity, {}
        left = list(activity.items())
        try:
            while left:
                some = left[-ACTIVITY_AT_ONCE:]
                await self._gateway.transact(lambda tx, _, some=some: tx.touch(some))  # type: ignore[misc]
                del left[-ACTIVITY_AT_ONCE:]
        except HubError:
            self._gateway.activity = dict(left) | self._gateway.activity
            raise

    async def _watch_silence(self) -> None:
        while True:
            self._checked_s = asyncio.get_running_loop().time()
            await self._attempt(self._wait_for_silence)
            await self._attempt(self.turn_offline)

    async def _wait_for_silence(self) -> None:
        """Wait until it is time to look; a second at a time, for a class with a shorter timeout may come meanwhile."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(MOMENT_S)
        while (left_s := self._checked_s + await self._silence_period_s() - loop.time()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(1.0, left_s))

    async def _silence_period_s(self) -> float:
        if self._gateway.policy.offline_check_s is not None:
            return self._gateway.policy.offline_check_s
        shortest_s = await self._gateway.store.shortest_offline_timeout()
        return 1.0 if shortest_s is None else min(60.0, 0.5 + shortest_s * 0.1)

    async def turn_offline(self) -> None:
        """Set the status of devices that have been silent for longer than their class allows."""
        await self.flush_activity()
        if not self._gateway.others.leads:
            return
        # What other workers have heard of devices gets to the store a little later.
        late_ms = 0 if self._gateway.bus.alone else int(2 * ACTIVITY_S * 1000)
        while overdue := await self._gateway.store.overdue(self._gateway.now_ms() - late_ms, limit=OVERDUE_AT_ONCE):
            # Together they are a group commit or two; one after the other the last would wait for seconds.
            await asyncio.gather(*map(self._turn_offline, overdue))
            if len(overdue) < OVERDUE_AT_ONCE:
                break

    async def _turn_offline(self, device: Device) -> None:
        if device.id in self._gateway.activity:
            return  # It has come back meanwhile.
        notifies = self._gateway.policy.devices_notify_offline

        def work(tx: Tx, stamps: "Stamps") -> bool:
            now = tx.device(device.guid)
            if now is None or now.id != device.id:
                return False
            tx.forget_activity(now.id)
            if now.status == OFFLINE:
                return False
            tx.update_device(now.id, status=OFFLINE)
            after = tx.device(device.guid) or now
            if notifies:
                tx.append(device_notification(Special.DEVICE_UPDATE, after, stamps.take()), after)
            return True

        if await self._gateway.transact(work, stamps_for=[device.id]):
            self.turned_offline += 1

    # --- retention

    async def _prune(self) -> None:
        policy = self._gateway.policy
        for kind, kept_s in (
            (Kind.NOTIFICATION, policy.retention_notifications_s),
            (Kind.COMMAND, policy.retention_commands_s),
        ):
            await self.prune(kind, kept_s=kept_s, per_device=policy.retention_rows)

    async def prune(self, kind: Kind, *, kept_s: float, per_device: int) -> None:
        """Remove what is too old or too much, a little at a time, so that inserts never wait long for it."""
        before_ms = self._gateway.now_ms() - int(kept_s * 1000)
        while True:
            gone = await self._gateway.store.prune(kind, before_ms=before_ms, per_device=per_device, limit=PRUNE_ROWS)
            self.pruned[kind] += gone
            if gone and kind is Kind.COMMAND:
                self._gateway.open_commands.freed_some()
            if gone < PRUNE_ROWS:
                return
            await asyncio.sleep(0.01)

    async def _delete_expired_keys(self) -> None:
        await self._gateway.store.delete_expired_keys(self._gateway.now_ms() - KEY_GRACE_MS)


def _tell(duty: str, exc: Exception) -> None:
    if isinstance(exc, HubError):
        log.warning("a duty was put off", extra={"duty": duty, "error": exc.text})
    else:
        log.error("a duty failed", exc_info=exc, extra={"duty": duty})
