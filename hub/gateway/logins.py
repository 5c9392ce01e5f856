"""Checking credentials: passwords in a bounded pool of threads, keys and devices through the store and its caches."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from hub.core.access import Peer, Principal, device_principal, key_principal, user_principal
from hub.core.throttle import LoginThrottle
from hub.gateway.calls import in_task
from hub.passwords import Verdict, hash_password, verify_password
from hub.store import LoginRecord, Tx
from protocol.entities import AccessKey, User
from protocol.errors import BAD_CREDENTIALS, OVERLOAD, HubError
from protocol.names import KeyType, UserStatus

if TYPE_CHECKING:
    from hub.gateway import Gateway

log = logging.getLogger("hub")


class Logins:
    """The ways to become a principal. Every failure is the same ``Invalid credentials``, whatever was wrong."""

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway
        policy = gateway.policy
        self._throttle = LoginThrottle(per_account=policy.failed_logins, per_block=policy.failed_logins_per_block)
        # A password takes a tenth of a second of a core by design: a few at a time, a bounded number in line, and the
        # rest is told to come back.
        self._pool = ThreadPoolExecutor(policy.password_workers, thread_name_prefix="password")
        self._queued = 0
        self._of_keys: WeakValueDictionary[tuple[int, Peer], Principal] = WeakValueDictionary()
        self._slots = asyncio.Semaphore(policy.password_workers)
        self._counting = asyncio.Lock()

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    # --- with a password

    async def by_password(self, login: str, password: str | None, peer: Peer) -> Principal:
        """The principal of a user.

        Raises:
            Unauthorized: wrong, unknown, not active, or slowed down.
            Unavailable: too many passwords wait to be checked.
        """
        self._check_pace(login, peer)
        record = await in_task(self._gateway.store.find_login(login))
        # Whoever had to wait in line is judged by what came of those before.
        verdict = await self._verify(password or "", record, allowed=lambda: self._check_pace(login, peer))
        if record is None or not verdict.correct:
            if self._slows_down:
                self._throttle.failed(login, peer.address, self._now_s())
            if record is not None:
                await self._count_failure(login)
            raise BAD_CREDENTIALS.error()
        if not record.user.is_active:
            raise BAD_CREDENTIALS.error()
        self._throttle.succeeded(login, peer.address)
        await self._count_success(record, rehash=(password or "") if verdict.rehash else None)
        return user_principal(record.user, by_password=True)

    @property
    def _lockout_after(self) -> int:
        return self._gateway.setting("user.login.maxAttempts", self._gateway.policy.login_lockout_after)

    @property
    def _slows_down(self) -> bool:
        return self._lockout_after == 0

    def _now_s(self) -> float:
        return self._gateway.now_us() / 1e6

    def _check_pace(self, login: str, peer: Peer) -> None:
        if self._slows_down and self._throttle.waits(login, peer.address, self._now_s()):
            self._gateway.tally["failed-logins-per-minute"] += 1
            raise BAD_CREDENTIALS.error()

    async def _verify(self, password: str, record: LoginRecord | None, *, allowed: Callable[[], None]) -> Verdict:
        most = self._gateway.policy.password_queue
        if self._queued >= most:
            raise OVERLOAD.error(detail={"limit": "password-queue", "value": most}, retry_after_s=5)
        self._queued += 1
        try:
            stored = (record.password_hash, record.password_salt) if record is not None else (None, None)
            async with self._slots:
                allowed()
                return await asyncio.wrap_future(self._pool.submit(verify_password, password, *stored))
        finally:
            self._queued -= 1

    async def _count_failure(self, login: str) -> None:
        async with self._counting:  # Guesses that come at once must not all count as the same one.
            record = await in_task(self._gateway.store.find_login(login))
            if record is not None:
                await self._count_one_more(record)

    async def _count_one_more(self, record: LoginRecord) -> None:
        lockout_after = self._lockout_after

        def work(tx: Tx, _: object) -> None:
            attempts = record.login_attempts + 1
            if lockout_after and attempts >= lockout_after and record.user.is_active:
                attempts = 0
                if not (record.user.is_admin and tx.active_administrators() <= 1):
                    tx.update_user(record.user.id, status=UserStatus.LOCKED_OUT)
            tx.record_login(record.user.id, now_ms=None, login_attempts=attempts)

        await self._gateway.transact(work)

    async def _count_success(self, record: LoginRecord, *, rehash: str | None) -> None:
        now_ms = self._gateway.now_ms()
        last_ms = record.user.last_login_ms
        distance_ms = self._gateway.setting("user.login.lastTimeout", self._gateway.policy.login_last_timeout_ms)
        moved = last_ms is None or now_ms - last_ms > distance_ms
        if not (moved or record.login_attempts or rehash):
            return
        fresh = None
        if rehash:
            fresh = await asyncio.wrap_future(self._pool.submit(hash_password, rehash))

        def work(tx: Tx, _: object) -> None:
            if fresh is not None:
                tx.set_password(record.user.id, password_hash=fresh, ends_sessions=False)
            tx.record_login(record.user.id, now_ms=now_ms if moved else None, login_attempts=0)

        try:
            await self._gateway.transact(work)
        except HubError as error:
            log.warning("login statistics were not kept", extra={"error": error.text})

    # --- with an access key

    async def by_key(self, secret: str, peer: Peer) -> Principal:
        """The principal of an access key; a SESSION key that is half over is prolonged.

        Raises:
            Unauthorized: unknown, expired, or its owner is not active.
        """
        record = await in_task(self._gateway.store.find_key(secret))
        now_ms = self._gateway.now_ms()
        if record is None or record.key.expired(now_ms) or not record.owner.is_active:
            raise BAD_CREDENTIALS.error()
        key = await self._prolonged(record.key, record.owner, now_ms)
        return self._shared_principal(key, record.owner, peer)

    def _shared_principal(self, key: AccessKey, owner: User, peer: Peer) -> Principal:
        """The principal of a key at a place; connections that are the same in this share one, and its access."""
        place = key.id, peer
        known = self._of_keys.get(place)
        if known is None or known.key != key or known.user != owner:
            known = self._of_keys[place] = key_principal(key, owner, peer)
        return known

    async def _prolonged(self, key: AccessKey, owner: User, now_ms: int) -> AccessKey:
        timeout_ms = self._gateway.setting("session.timeout", self._gateway.policy.session_timeout_ms)
        if key.type is not KeyType.SESSION or key.expires_ms is None:
            return key
        if not 0 < key.expires_ms - now_ms < timeout_ms // 2:
            return key

        def work(tx: Tx, _: object) -> AccessKey | None:
            tx.update_key(key.id, expires_ms=now_ms + timeout_ms)
            return tx.key(key.id)

        return await self._gateway.transact(work) or key

    # --- as a device

    async def by_device(self, guid: str | None, key: str | None) -> Principal:
        """The principal of a device; counts as its activity.

        Raises:
            Unauthorized: unknown, wrong key, or blocked.
        """
        record = await self._gateway.devices.find(guid) if guid is not None else None
        if record is None or key is None or not self._gateway.store.key_matches(key, record.key_hash):
            raise BAD_CREDENTIALS.error()
        if record.device.is_blocked:
            raise BAD_CREDENTIALS.error()
        self._gateway.activity[record.device.id] = self._gateway.now_ms()
        return device_principal(record.device)
