"""The worker's cache of devices: what every message needs to know, without asking the database."""

from hub.gateway.calls import in_task
from hub.store import DeviceRecord, Store
from protocol.entities import Device


class Devices:
    """Devices by guid, as they are now. Bounded; the oldest entry goes first.

    Args:
        most: how many are kept.
    """

    def __init__(self, store: Store, *, most: int) -> None:
        self._store = store
        self._most = most
        self._records: dict[str, DeviceRecord] = {}
        self._drops = 0

    def __len__(self) -> int:
        return len(self._records)

    async def find(self, guid: str) -> DeviceRecord | None:
        """The device, from the cache or from the store; None: there is none."""
        record = self._records.get(guid)
        if record is not None:
            return record
        return await self._load(guid)

    def cached(self, guid: str) -> Device | None:
        """The device, if the cache has it."""
        record = self._records.get(guid)
        return record.device if record is not None else None

    async def device(self, guid: str) -> Device | None:
        record = await self.find(guid)
        return record.device if record is not None else None

    async def _load(self, guid: str) -> DeviceRecord | None:
        while True:
            drops = self._drops
            record = await in_task(self._store.find_device(guid))
            # A change that was dropped from the cache while we read may be newer than what we read.
            if drops == self._drops:
                break
        if record is not None:
            while len(self._records) >= self._most:
                del self._records[next(iter(self._records))]
            self._records[guid] = record
        return record

    def drop(self, guid: str | None) -> None:
        """Forget a device, or, with None, all of them."""
        self._drops += 1
        if guid is None:
            self._records.clear()
        else:
            self._records.pop(guid, None)
