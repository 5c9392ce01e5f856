"""Slowing down whoever guesses passwords, without ever locking out the owner of an account."""

from collections import OrderedDict
from dataclasses import dataclass

from hub.core.access import Address
from protocol.names import LOGIN_MAX

FIRST_WAIT_S = 60.0
LONGEST_WAIT_S = 300.0
WINDOW_S = 60.0
REMEMBERED = 100_000
"""How many (account, block) pairs and blocks are remembered at most; the oldest are forgotten first."""


@dataclass(slots=True)
class _Record:
    window_start_s: float
    failures: int = 0
    waits: int = 0
    blocked_until_s: float = 0.0


class LoginThrottle:
    """Failed logins per account and address block, and per address block alone.

    A block is a /24 of IPv4 or a /64 of IPv6, so an attacker elsewhere costs the owner nothing.

    Args:
        per_account: failures a minute from one block for one account, before it has to wait; 0: no limit.
        per_block: failures a minute from one block for any accounts; 0: no limit.
    """

    def __init__(self, *, per_account: int = 5, per_block: int = 60) -> None:
        self._limits = {True: per_account, False: per_block}
        self._records: OrderedDict[tuple[str, str | None], _Record] = OrderedDict()

    def waits(self, login: str, address: Address | None, now_s: float) -> bool:
        """Whether this attempt has to be refused without looking at the password."""
        return any(
            record is not None and record.blocked_until_s > now_s
            for record in map(self._records.get, _keys(login, address))
        )

    def failed(self, login: str, address: Address | None, now_s: float) -> None:
        """Count a wrong password."""
        for key in _keys(login, address):
            self._count(key, self._limits[key[1] is not None], now_s)

    def succeeded(self, login: str, address: Address | None) -> None:
        """Forget the failures of this account from this block."""
        self._records.pop(_keys(login, address)[0], None)

    def _count(self, key: tuple[str, str | None], limit: int, now_s: float) -> None:
        if not limit:
            return
        record = self._records.pop(key, None) or _Record(now_s)
        self._records[key] = record
        if now_s - record.window_start_s > WINDOW_S:
            if now_s - record.blocked_until_s > LONGEST_WAIT_S:
                record.waits = 0
            record.window_start_s, record.failures = now_s, 0
        record.failures += 1
        if record.failures >= limit:
            record.blocked_until_s = now_s + min(FIRST_WAIT_S * 2**record.waits, LONGEST_WAIT_S)
            record.waits += 1
            record.failures = 0
        while len(self._records) > REMEMBERED:
            self._records.popitem(last=False)


def _keys(login: str, address: Address | None) -> tuple[tuple[str, str | None], ...]:
    block = _block(address)
    # No account has a longer login: what else somebody sends shall not be what fills our memory.
    return (block, login[:LOGIN_MAX]), (block, None)


def _block(address: Address | None) -> str:
    if address is None:
        return ""
    return address.packed[: 3 if address.version == 4 else 8].hex()
