"""Checking passwords: a few at a time, none for whoever guesses, and not again what was right a moment ago."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from hub.core.access import Peer
from hub.core.throttle import LoginThrottle
from hub.gateway.known import KnownPasswords
from hub.passwords import Verdict, hash_password, verify_password
from hub.store import LoginRecord
from protocol.errors import BAD_CREDENTIALS, OVERLOAD

if TYPE_CHECKING:
    from hub.gateway import Gateway

T = TypeVar("T")

RIGHT = Verdict(correct=True)


class PasswordChecks:
    """Checks passwords in a pool of threads.

    One takes a tenth of a second of a core by design: a few at a time, a bounded number in line, and the rest is told
    to come back.
    """

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway
        policy = gateway.policy
        self._throttle = LoginThrottle(per_account=policy.failed_logins, per_block=policy.failed_logins_per_block)
        self._known = KnownPasswords()
        self._pool = ThreadPoolExecutor(policy.password_workers, thread_name_prefix="password")
        self._slots = asyncio.Semaphore(policy.password_workers)
        self._queued = 0

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def lockout_after(self) -> int:
        """Wrong passwords until a user is locked out; 0: never, attempts are slowed down instead."""
        return max(0, self._gateway.setting("user.login.maxAttempts", self._gateway.policy.login_lockout_after))

    def _now_s(self) -> float:
        return self._gateway.now_us() / 1e6

    # --- the pace of guessing

    def check_pace(self, login: str, peer: Peer) -> None:
        """Refuse an attempt that is too many, before any password is looked at.

        Raises:
            Unauthorized: as if the password were wrong.
        """
        if self._throttle.waits(login, peer.address, self._now_s()):
            self._gateway.tally["failed-logins-per-minute"] += 1
            raise BAD_CREDENTIALS.error()

    def failed(self, login: str, peer: Peer) -> None:
        """An attempt came to nothing. Where users are locked out, that is what slows it down."""
        if self.lockout_after == 0:
            self.slow_down(login, peer)

    def slow_down(self, login: str, peer: Peer) -> None:
        """Let further attempts wait, if there are too many."""
        self._throttle.failed(login, peer.address, self._now_s())

    def succeeded(self, login: str, peer: Peer) -> None:
        self._throttle.succeeded(login, peer.address)

    # --- in the pool

    async def judge(self, login: str, password: str, peer: Peer, record: LoginRecord | None) -> Verdict:
        """What a password is worth. It takes as long for nobody, but not for who was right a moment ago.

        Raises:
            Unauthorized: while it waited in line, its turn was lost to failures.
            Unavailable: too many passwords wait to be checked.
        """
        if record is not None and self._known.knows(record, password, self._now_s()):
            return RIGHT
        stored = (record.password_hash, record.password_salt) if record is not None else (None, None)
        verdict = await self._run(
            lambda: verify_password(password, *stored),
            # Whoever had to wait in line is judged by what came of those before.
            allowed=lambda: self.check_pace(login, peer),
        )
        if record is not None and verdict.correct:
            self._known.keep(record, password, self._now_s())
        elif record is not None:
            self._known.forget(record.user.id)
        return verdict

    async def hash(self, password: str) -> str:
        """The hash to store of a new password of 1 to ``PASSWORD_MAX`` characters.

        Raises:
            Unavailable: too many passwords wait.
        """
        return await self._run(lambda: hash_password(password), allowed=lambda: None)

    async def _run(self, work: Callable[[], T], *, allowed: Callable[[], None]) -> T:
        most = self._gateway.policy.password_queue
        if self._queued >= most:
            raise OVERLOAD.error(detail={"limit": "password-queue", "value": most}, retry_after_s=5)
        self._queued += 1
        try:
            async with self._slots:
                allowed()
                return await asyncio.wrap_future(self._pool.submit(work))
        finally:
            self._queued -= 1
