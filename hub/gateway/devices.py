"""The worker's cache of devices: what every message needs to know, without asking the database."""

from typing import TypeVar

from hub.gateway.calls import in_task
from hub.store import DeviceRecord, Store
from protocol.entities import Device

T = TypeVar("T")


class Devices:
    """Devices by guid, as they are now. Bounded; the oldest entry goes first.

    Args:
        most: how many are kept.
    """

    def __init__(self, store: Store, *, most: int) -> None:
        self._store = store
        self._most = most
        self._records: dict[str, DeviceRecord] = {}
        self._row_ids: dict[str, int] = {}
        self._drops = 0

    def __len__(self) -> int:
        return len(self._records)

    async def find(self, guid: str) -> DeviceRecord | None:
        """The device, from the cache or from the store; None: there is none."""
        record = self._records.get(guid)
        if record is not None:
            return record
        return await self._load(guid)

    def row_id(self, guid: str) -> int | None:
        """The row that a device had when it was last looked up, whatever has changed about it since."""
        return self._row_ids.get(guid)

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
            _keep(self._records, guid, record, most=self._most)
            _keep(self._row_ids, guid, record.device.id, most=self._most)
        return record

    def drop(self, guid: str | None) -> None:
        """Forget a device, or, with None, all of them."""
        self._drops += 1
        if guid is None:
            self._records.clear()
        else:
            self._records.pop(guid, None)


def _keep(cache: dict[str, T], guid: str, value: T, *, most: int) -> None:
    while len(cache) >= most and guid not in cache:
        del cache[next(iter(cache))]
    cache[guid] = value
