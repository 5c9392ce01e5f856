"""Whose connections the other workers have: what limits that hold for a whole cluster are counted by."""

from collections.abc import Sequence
from typing import Any

from hub.bus import Presence


class Elsewhere:
    """Connections of users and devices on the other workers, as these have told last."""

    def __init__(self) -> None:
        self._users: dict[int, dict[int, int]] = {}
        self._devices: dict[int, dict[int, Sequence[int]]] = {}
        self._takers: dict[int, dict[int, int]] = {}

    def hear(self, lane: int, presence: Presence) -> None:
        """Take in what a worker tells."""
        if presence.whole:
            self.gone(lane)
        for user_id, count in presence.users.items():
            _put(self._users, user_id, lane, count)
        for device_id, times_us in presence.devices.items():
            _put(self._devices, device_id, lane, times_us)
        for device_id, count in presence.takers.items():
            _put(self._takers, device_id, lane, count)

    def gone(self, lane: int) -> None:
        """A worker has gone, and all its connections with it."""
        for table in (self._users, self._devices, self._takers):
            for key in [key for key, by_lane in table.items() if lane in by_lane]:
                _put(table, key, lane, None)

    def of_user(self, user_id: int) -> int:
        """How many connections a user has elsewhere."""
        return sum(self._users.get(user_id, {}).values())

    def of_device(self, device_id: int) -> list[int]:
        """When each of a device's connections elsewhere came, in microseconds since 1970."""
        return [time_us for times_us in self._devices.get(device_id, {}).values() for time_us in times_us]

    def takes(self, device_id: int) -> bool:
        """Whether a connection of a device takes its commands elsewhere."""
        return device_id in self._takers


def _put(table: dict[int, dict[int, Any]], key: int, lane: int, value: Any) -> None:
    by_lane = table.setdefault(key, {})
    if value:
        by_lane[lane] = value
    else:
        by_lane.pop(lane, None)
    if not by_lane:
        del table[key]
