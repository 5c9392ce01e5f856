"""The worker's cache of devices: what every message needs to know, without asking the database."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any
from weakref import WeakValueDictionary

from hub.gateway.together import Together
from hub.store import DeviceRecord, Store
from protocol.entities import Device, DeviceClass, Network

Changed = set[tuple[str, str | int | None]]
"""What was dropped: ``device``, ``class`` or ``network``, and which; None: all of them."""


class _Shared:
    """A class or a network, as all devices have it that are in it: a change makes all of them stale at once."""

    __slots__ = ("__weakref__", "is_current", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.is_current = True


_NO_NETWORK = _Shared(None)
_GONE = _Shared(None)
_GONE.is_current = False


class _Entry:
    __slots__ = ("device_class", "network", "record")

    def __init__(self, record: DeviceRecord, device_class: _Shared, network: _Shared) -> None:
        self.record = record
        self.device_class = device_class
        self.network = network


class Devices:
    """Devices by guid, as they are now. Bounded; the oldest entries go first.

    What is not known here is read from the store, for all who ask in one turn together. Devices share the objects of
    their class and network, so that a class with much equipment costs no more with many devices than with one.

    Args:
        most: how many are kept.
        patience_s: how long a look-up may take.
    """

    def __init__(self, store: Store, *, most: int, patience_s: float = 5.0) -> None:
        self._store = store
        self._most = most
        self._entries: dict[str, _Entry] = {}
        self._classes: WeakValueDictionary[int, _Shared] = WeakValueDictionary()
        self._networks: WeakValueDictionary[int, _Shared] = WeakValueDictionary()
        self._together: Together[str, DeviceRecord] = Together(self._read, patience_s=patience_s)
        self._changed: Changed | None = None
        """What was dropped since the reading began that is under way; None: nothing is being read."""

    def __len__(self) -> int:
        return len(self._entries)

    # --- asking

    def cached(self, guid: str) -> Device | None:
        """The device, if it is known here already."""
        entry = self._entries.get(guid)
        if entry is not None and entry.device_class.is_current and entry.network.is_current:
            return entry.record.device
        return None

    async def find(self, guid: str) -> DeviceRecord | None:
        """The device, from the cache or from the store; None: there is none."""
        entry = self._entries.get(guid)
        if entry is not None and entry.device_class.is_current and entry.network.is_current:
            return entry.record
        return await self._together.find(guid)

    async def device(self, guid: str) -> Device | None:
        record = await self.find(guid)
        return record.device if record is not None else None

    async def devices(self, guids: Sequence[str]) -> list[Device | None]:
        """Many devices, in the order of their guids; those that are not known here are read together."""
        found = {guid: self.cached(guid) for guid in guids}
        unknown = [guid for guid, device in found.items() if device is None]
        records = await asyncio.gather(*map(self._together.find, unknown)) if unknown else []
        for guid, record in zip(unknown, records, strict=True):
            found[guid] = record.device if record is not None else None
        return [found[guid] for guid in guids]

    def row_id(self, guid: str) -> int | None:
        """The row that a device had when it was last looked up, whatever has changed about it since."""
        entry = self._entries.get(guid)
        return entry.record.device.id if entry is not None else None

    # --- forgetting

    def drop(self, guid: str | None) -> None:
        """Forget a device, or, with None, all of them."""
        self._note("device", guid)
        for entry in self._entries.values() if guid is None else filter(None, [self._entries.get(guid)]):
            entry.device_class = _GONE

    def drop_class(self, class_id: int | None) -> None:
        """Forget what is known of a class, and with it of its devices; with None, of all of them."""
        self._drop_shared("class", self._classes, class_id)

    def drop_network(self, network_id: int | None) -> None:
        """Forget what is known of a network, and with it of its devices; with None, of all of them."""
        self._drop_shared("network", self._networks, network_id)

    def _drop_shared(self, kind: str, shared: "WeakValueDictionary[int, _Shared]", number: int | None) -> None:
        self._note(kind, number)
        for one in list(shared) if number is None else [number]:
            part = shared.pop(one, None)
            if part is not None:
                part.is_current = False

    def _note(self, kind: str, which: str | int | None) -> None:
        if self._changed is not None:
            self._changed.add((kind, which))

    # --- reading

    async def _read(self, guids: list[str]) -> dict[str, DeviceRecord]:
        changed: Changed = set()
        self._changed = changed
        try:
            records = await self._store.find_devices(guids)
        finally:
            self._changed = None
        # A change that came while we read may be newer than what we read: that is answered, but not kept.
        found = {record.device.guid: record for record in records}
        found |= self._keep([record for record in records if not (changed and _concerned(record.device, changed))])
        for guid in guids:
            if guid not in found:
                self._entries.pop(guid, None)
        return found

    def _keep(self, records: list[DeviceRecord]) -> dict[str, DeviceRecord]:
        read_classes = {record.device.device_class.id: record.device.device_class for record in records}
        read_networks = {one.device.network.id: one.device.network for one in records if one.device.network is not None}
        classes = {number: _share(self._classes, one) for number, one in read_classes.items()}
        networks = {number: _share(self._networks, one) for number, one in read_networks.items()}
        kept: dict[str, DeviceRecord] = {}
        for record in records:
            device = record.device
            device_class = classes[device.device_class.id]
            network = networks[device.network.id] if device.network is not None else _NO_NETWORK
            device = replace(device, device_class=device_class.value, network=network.value)
            if device.guid not in self._entries:
                make_room(self._entries, self._most)
            kept[device.guid] = replace(record, device=device)
            self._entries[device.guid] = _Entry(kept[device.guid], device_class, network)
        return kept


def _concerned(device: Device, changed: Changed) -> bool:
    own = {("device", device.guid), ("class", device.device_class.id), ("network", device.network_id)}
    return not changed.isdisjoint(own | {("device", None), ("class", None), ("network", None)})


def _share(shared: "WeakValueDictionary[int, _Shared]", value: DeviceClass | Network) -> _Shared:
    part = shared.get(value.id)
    if part is not None and part.value == value:
        return part
    if part is not None:
        part.is_current = False  # It has changed, and nobody has told us yet.
    part = shared[value.id] = _Shared(value)
    return part


def make_room(cache: dict[Any, Any], most: int) -> None:
    """Let the oldest entries of a full cache go: a few at a time, since finding the first one of a dict takes the
    longer, the more have gone from its beginning."""
    if len(cache) >= most:
        for key in list(islice(cache, 1 + most // 64)):
            del cache[key]
