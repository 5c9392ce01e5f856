"""How many commands of each device wait to be answered, and that they do not become too many."""

from collections.abc import Awaitable, Callable

from hub.gateway.devices import make_room
from hub.gateway.together import Together
from hub.store import OpenCommands as Counted
from hub.store import Store
from protocol.errors import TOO_MANY, HubError


class OpenCommands:
    """The open commands of devices: those that are neither answered nor expired.

    What is kept of a device is an upper bound, which rises with every insert and never falls. Only where it reaches the
    limit, the log is counted: a device that answers its commands costs one count in many inserts, and one that is full
    costs none until something about it has changed.

    Args:
        most: open commands of one device.
        devices: of how many the numbers are kept.
        stored: returns when everything that was submitted until now is in the log.
        expiry_ms: the time by which commands count as expired; None: they never do.
        patience_s: how long a count may take.
    """

    def __init__(
        self,
        store: Store,
        *,
        most: int,
        devices: int,
        stored: Callable[[], Awaitable[object]],
        expiry_ms: Callable[[], int | None],
        patience_s: float = 5.0,
    ) -> None:
        self._store = store
        self._most = most
        self._devices = devices
        self._stored = stored
        self._expiry_ms = expiry_ms
        self._bounds: dict[int, int] = {}
        self._full: dict[int, int | None] = {}
        """Devices that take no more: until when at least, in milliseconds; None: until something changes."""
        self._counting: set[int] = set()
        """Devices that are being counted, and about which nothing has changed since that began."""
        self._together: Together[int, Counted] = Together(self._count, patience_s=patience_s)

    def admit(self, device_id: int) -> bool:
        """Count one more command of a device, which is submitted before anything is awaited. False: it is not known
        whether there is room, so :meth:`require` it first."""
        bound = self._bounds.get(device_id)
        if bound is None or bound >= self._most:
            return False
        self._bounds[device_id] = bound + 1
        return True

    async def require(self, device_id: int) -> None:
        """Find out whether a device has room for one more command, and count it.

        Raises:
            LimitReached: it has not.
            StoreUnavailable: the log cannot be counted.
        """
        while not self.admit(device_id):
            if self._is_full(device_id):
                raise self._refusal(device_id)
            await self._together.find(device_id)

    def freed(self, device_id: int) -> None:
        """A command of a device was answered."""
        if self._full or self._counting:
            self._full.pop(device_id, None)
            self._counting.discard(device_id)

    def freed_some(self) -> None:
        """Retention has removed commands, of any devices."""
        self._full.clear()
        self._counting.clear()

    def _is_full(self, device_id: int) -> bool:
        if device_id not in self._full:
            return False
        until_ms = self._full[device_id]
        return until_ms is None or (self._expiry_ms() or 0) < until_ms

    def _refusal(self, device_id: int) -> HubError:
        until_ms, now_ms = self._full[device_id], self._expiry_ms() or 0
        return TOO_MANY.error(
            value=self._most,
            what="open commands of one device",
            detail={"limit": "open-commands-per-device", "value": self._most},
            retry_after_s=None if until_ms is None else max(1, -(-(until_ms - now_ms) // 1_000)),
        )

    async def _count(self, device_ids: list[int]) -> dict[int, Counted]:
        self._counting = set(device_ids)
        # What is on its way to the log counts. Of these devices nothing more gets on its way before we know.
        await self._stored()
        expiry_ms = self._expiry_ms()
        counts = await self._store.open_commands(device_ids, at_ms=expiry_ms or 0, most=self._most)
        for device_id, counted in counts.items():
            self._keep(device_id, counted, expires=expiry_ms is not None)
        self._counting.clear()
        return counts

    def _keep(self, device_id: int, counted: Counted, *, expires: bool) -> None:
        if device_id not in self._bounds:
            make_room(self._bounds, self._devices)
        self._bounds[device_id] = counted.number
        self._full.pop(device_id, None)
        if counted.number >= self._most and device_id in self._counting:
            make_room(self._full, self._devices)
            self._full[device_id] = counted.next_end_ms if expires else None
