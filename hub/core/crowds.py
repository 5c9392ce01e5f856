"""Crowds: how many connections each address, each user and each device has.

Addresses and users that have too many are refused one more. A device is not: one that lost its network comes back
before the hub has noticed, so its newest connections win.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

from hub.core.access import Address

T = TypeVar("T", bound=Hashable)


class Crowds(Generic[T]):
    """Counts connections, whatever stands for one.

    An IPv6 address counts as its /64, which is what one customer has.

    Args:
        per_address, per_user, per_device: how many there may be; 0: no limit.
    """

    def __init__(self, *, per_address: int = 0, per_user: int = 0, per_device: int = 0) -> None:
        self._per_address = per_address
        self._per_user = per_user
        self._per_device = per_device
        self._addresses: Counter[bytes] = Counter()
        self._users: Counter[int] = Counter()
        self._devices: dict[int, dict[T, int]] = {}
        self._who: dict[T, tuple[int | None, int | None]] = {}

    def __len__(self) -> int:
        """How many addresses and connections are known; 0 when all have gone."""
        return len(self._addresses) + len(self._users) + len(self._devices) + len(self._who)

    # --- addresses

    def arrive(self, address: Address | None) -> bool:
        """Count one more from an address, unless there are too many: then False. None, an unknown one, always may."""
        if address is None:
            return True
        block = _block(address)
        if self._per_address and self._addresses[block] >= self._per_address:
            return False
        self._addresses[block] += 1
        return True

    def depart(self, address: Address | None) -> None:
        """One that had arrived from this address has gone."""
        if address is not None:
            _count_down(self._addresses, _block(address))

    # --- who they are

    def has_room(self, user_id: int, elsewhere: int = 0) -> bool:
        """Whether a user may have one more, who has so many on other workers."""
        return not self._per_user or self._users[user_id] + elsewhere < self._per_user

    def enter(
        self,
        one: T,
        *,
        user_id: int | None,
        device_id: int | None,
        now_us: int = 0,
        elsewhere: Sequence[int] = (),
    ) -> list[T]:
        """A connection is this user's or this device's from now on. Nothing happens if it had entered before.

        Args:
            now_us: when that is, in microseconds; never less than the time before.
            elsewhere: when those of the device came that are on other workers.

        Returns:
            The device's oldest ones, which have to make room.
        """
        if one in self._who:
            return []
        self._who[one] = user_id, device_id
        if user_id is not None:
            self._users[user_id] += 1
        if device_id is None:
            return []
        self._devices.setdefault(device_id, {})[one] = now_us
        return self.crowded_out(device_id, elsewhere)

    def crowded_out(self, device_id: int, elsewhere: Sequence[int] = ()) -> list[T]:
        """Of a device's connections here, those that have to make room for newer ones."""
        ones = self._devices.get(device_id, {})
        excess = len(ones) + len(elsewhere) - self._per_device
        if not self._per_device or excess <= 0:
            return []
        if not elsewhere:
            return list(ones)[:excess]
        times: list[tuple[int, T | None]] = [*((time_us, one) for one, time_us in ones.items())]
        times += [(time_us, None) for time_us in elsewhere]
        times.sort(key=lambda entry: entry[0])
        return [one for _, one in times[:excess] if one is not None]

    def of_user(self, user_id: int) -> int:
        """How many connections a user has here."""
        return self._users.get(user_id, 0)

    def of_device(self, device_id: int) -> list[int]:
        """When each of a device's connections here came."""
        return list(self._devices.get(device_id, {}).values())

    @property
    def users(self) -> list[int]:
        return list(self._users)

    @property
    def devices(self) -> list[int]:
        return list(self._devices)

    def leave(self, one: T) -> tuple[int | None, int | None]:
        """A connection has gone. Idempotent. Returns whose it was: row ids of a user and of a device."""
        user_id, device_id = self._who.pop(one, (None, None))
        if user_id is not None:
            _count_down(self._users, user_id)
        if device_id is not None:
            ones = self._devices[device_id]
            del ones[one]
            if not ones:
                del self._devices[device_id]
        return user_id, device_id


def _block(address: Address) -> bytes:
    return address.packed if address.version == 4 else address.packed[:8]


K = TypeVar("K", bound=Hashable)


def _count_down(counts: Counter[K], key: K) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
