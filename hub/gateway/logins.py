"""Becoming a principal: with a password, with an access key, as a device."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from hub.core.access import (
    Peer,
    Principal,
    client_principal,
    device_principal,
    key_principal,
    user_principal,
)
from hub.gateway.calls import in_task
from hub.gateway.devices import make_room
from hub.gateway.known import KEYS, KnownKeys
from hub.gateway.password_checks import PasswordChecks
from hub.store import KeyRecord, LoginRecord, Tx
from protocol.account_forms import Login
from protocol.entities import AccessKey, OAuthClient, User
from protocol.errors import BAD_CREDENTIALS, OVERLOAD, PROVIDER_UNREACHABLE, HubError, Unauthorized
from protocol.names import KeyType, Provider, UserStatus

if TYPE_CHECKING:
    from hub.gateway import Gateway

log = logging.getLogger("hub")

AskProvider = Callable[[Provider, Login], Awaitable[str]]


class Logins:
    """The ways to become a principal. Every failure is the same ``Invalid credentials``, whatever was wrong."""

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway
        self.passwords = PasswordChecks(gateway)
        self._keys = KnownKeys(gateway.store)
        self._of_keys: WeakValueDictionary[tuple[int, Peer], Principal] = WeakValueDictionary()
        self._recent: dict[tuple[int, Peer], Principal] = {}
        """The principals of requests, which no connection keeps alive."""
        self._counting = asyncio.Lock()
        self._recording: set[int] = set()
        self._prolonging: set[int] = set()
        self.ask_provider: AskProvider | None = None
        """Asks an identity provider which e-mail whoever logs in has there; None: this hub reaches none."""
        self.asking_providers = 0
        self.providers_said: Counter[tuple[str, str]] = Counter()
        """How often each provider vouched for somebody, or what came of it instead."""

    def close(self) -> None:
        self.passwords.close()

    # --- with a password

    async def by_password(self, login: str, password: str | None, peer: Peer) -> Principal:
        """The principal of a user.

        Raises:
            Unauthorized: wrong, unknown, not active, or slowed down.
            Unavailable: too many passwords wait to be checked.
        """
        user = await self._log_in(login, password or "", peer, lambda user: True)
        return user_principal(user, by_password=True)

    async def by_basic(self, name: str, secret: str, peer: Peer) -> Principal:
        """The principal of a user by login and password or, where nobody has this login, of an OAuth client by its id
        and its secret: 144 random bits, which nobody has to be slowed down from guessing.

        Raises:
            Unauthorized, Unavailable: as :meth:`by_password`.
        """
        try:
            self.passwords.check_pace(name, peer)
        except Unauthorized:
            # How long this takes must not tell whether anybody has the login: the same is looked up in either case.
            client = await self._client(name, secret)
            if client is None or await in_task(self._gateway.store.find_login(name)) is not None:
                raise
            return client_principal(client)
        record = await in_task(self._gateway.store.find_login(name))
        if record is None and (client := await self._client(name, secret)) is not None:
            return client_principal(client)
        return user_principal(await self._judge(name, secret, peer, record), by_password=True)

    async def _client(self, oauth_id: str, secret: str) -> OAuthClient | None:
        return await self._gateway.store.consult(lambda tx: tx.oauth.client_with_secret(oauth_id, secret))

    async def active_user(self, login: str, password: str, peer: Peer) -> User:
        """The user that a login names. Who is not active is as good as unknown: the password is not looked at, and
        nothing is counted.

        Raises:
            Unauthorized, Unavailable: as :meth:`by_password`.
        """
        return await self._log_in(login, password, peer, lambda user: user.is_active)

    async def _log_in(self, login: str, password: str, peer: Peer, counts: Callable[[User], bool]) -> User:
        self.passwords.check_pace(login, peer)
        record = await in_task(self._gateway.store.find_login(login))
        if record is not None and not counts(record.user):
            record = None
        return await self._judge(login, password, peer, record)

    async def _judge(self, login: str, password: str, peer: Peer, record: LoginRecord | None) -> User:
        verdict = await self.passwords.judge(login, password, peer, record)
        if record is None or not verdict.correct:
            self.passwords.failed(login, peer)
            if record is not None:
                await self._count_failure(login, peer)
            raise BAD_CREDENTIALS.error()
        if not record.user.is_active:
            raise BAD_CREDENTIALS.error()
        self.passwords.succeeded(login, peer)
        await self._count_success(record, rehash=password if verdict.rehash else None)
        return record.user

    async def confirms(self, user: User, password: str, peer: Peer) -> bool:
        """Whether a user's present password is this one. Guesses are slowed down as those at a login are.

        Raises:
            Unavailable: too many passwords wait to be checked.
        """
        try:
            self.passwords.check_pace(user.login, peer)
            record = await in_task(self._gateway.store.find_login(user.login))
            verdict = await self.passwords.judge(user.login, password, peer, record)
        except Unauthorized:
            return False
        if verdict.correct and record is not None and record.user.id == user.id:
            return True
        self.passwords.failed(user.login, peer)
        return False

    async def email_at(self, provider: Provider, ask: Login) -> str:
        """The e-mail address that an identity provider vouches for.

        Raises:
            HubError: for none; or it is not reached, or too many wait for theirs.
        """
        if self.ask_provider is None:
            raise PROVIDER_UNREACHABLE.error()
        most = self._gateway.policy.provider_logins
        if self.asking_providers >= most:
            raise OVERLOAD.error(detail={"limit": "provider-logins", "value": most}, retry_after_s=5)
        self.asking_providers += 1
        said = "internal"
        try:
            email = await self.ask_provider(provider, ask)
            said = "vouched"
        except HubError as error:
            said = error.reason
            raise
        finally:
            self.asking_providers -= 1
            self.providers_said[provider.value, said] += 1
        return email

    async def welcome(self, user: User) -> None:
        """An identity provider has vouched for a user: keep the statistics of a login."""
        record = await in_task(self._gateway.store.find_login(user.login))
        if record is not None:
            await self._count_success(record, rehash=None)

    @property
    def session_timeout_ms(self) -> int:
        """How long a session key lives."""
        return self._gateway.setting("session.timeout", self._gateway.policy.session_timeout_ms)

    # --- statistics of logins

    async def _count_failure(self, login: str, peer: Peer) -> None:
        async with self._counting:  # Guesses that come at once must not all count as the same one.
            record = await in_task(self._gateway.store.find_login(login))
            if record is not None:
                await self._count_one_more(record, peer)

    async def _count_one_more(self, record: LoginRecord, peer: Peer) -> None:
        user, lockout_after = record.user, self.passwords.lockout_after

        def work(tx: Tx, _: object) -> bool:
            attempts = record.login_attempts + 1
            stays = user.is_admin and user.is_active and tx.active_administrators() <= 1
            if lockout_after and attempts >= lockout_after and user.is_active:
                attempts = 0
                if not stays:
                    tx.update_user(user.id, status=UserStatus.LOCKED_OUT)
            tx.record_login(user.id, now_ms=None, login_attempts=attempts)
            return stays

        # Whom nobody can lock out is slowed down instead, or anyone could guess for ever.
        if await self._gateway.transact(work) and lockout_after:
            self.passwords.slow_down(user.login, peer)

    async def _count_success(self, record: LoginRecord, *, rehash: str | None) -> None:
        now_ms = self._gateway.now_ms()
        last_ms = record.user.last_login_ms
        distance_ms = self._gateway.setting("user.login.lastTimeout", self._gateway.policy.login_last_timeout_ms)
        moved = last_ms is None or now_ms - last_ms > distance_ms
        user_id = record.user.id
        # Of requests that come at once, one says for all of them that the user was here.
        if user_id in self._recording or not (moved or record.login_attempts or rehash):
            return
        self._recording.add(user_id)
        try:
            await self._record(record.user, now_ms if moved else None, rehash)
        except HubError as error:
            log.warning("login statistics were not kept", extra={"error": error.text})
        finally:
            self._recording.discard(user_id)

    async def _record(self, user: User, now_ms: int | None, rehash: str | None) -> None:
        fresh = await self.passwords.hash(rehash) if rehash else None

        def work(tx: Tx, _: object) -> None:
            present = tx.user(user.id)
            if present is None:
                return
            if fresh is not None and present.password_changes == user.password_changes:
                tx.set_password(user.id, password_hash=fresh, ends_sessions=False)
            tx.record_login(user.id, now_ms=now_ms, login_attempts=0)

        await self._gateway.transact(work)

    # --- with an access key

    async def by_key(self, secret: str, peer: Peer) -> Principal:
        """The principal of an access key; a SESSION key that is half over is prolonged.

        Raises:
            Unauthorized: unknown, expired, or its owner is not active.
        """
        return await self._of_record(await in_task(self._gateway.store.find_key(secret)), peer)

    async def by_known_key(self, secret: str, peer: Peer) -> Principal:
        """As :meth:`by_key`, for somebody who presents the key with every request: what the worker knows of it already
        is not read again, until it changes.

        Raises:
            Unauthorized: as before.
        """
        principal = await self._of_record(await self._keys.find(secret), peer)
        self._remember(principal, peer)
        return principal

    def changed(self, entity: str, row_id: int | None) -> None:
        """A ``user`` or a ``key`` has changed; None: many of them."""
        self._keys.drop(entity, row_id)

    async def _of_record(self, record: KeyRecord | None, peer: Peer) -> Principal:
        now_ms = self._gateway.now_ms()
        if record is None or record.key.expired(now_ms) or not record.owner.is_active:
            raise BAD_CREDENTIALS.error()
        key = await self._prolonged(record.key, now_ms)
        return self._shared_principal(key, record.owner, peer)

    def _shared_principal(self, key: AccessKey, owner: User, peer: Peer) -> Principal:
        """The principal of a key at a place; those that are the same in this share one, and its access."""
        place = key.id, peer
        known = self._of_keys.get(place)
        if known is None or known.key != key or known.user != owner:
            known = self._of_keys[place] = key_principal(key, owner, peer)
        return known

    def _remember(self, principal: Principal, peer: Peer) -> None:
        assert principal.key is not None, "only keys are remembered"
        place = principal.key.id, peer
        if place not in self._recent:
            make_room(self._recent, KEYS)
        self._recent[place] = principal

    async def _prolonged(self, key: AccessKey, now_ms: int) -> AccessKey:
        if key.id in self._prolonging or not self._is_half_over(key, now_ms):
            return key
        end_ms = now_ms + self.session_timeout_ms

        def work(tx: Tx, _: object) -> AccessKey | None:
            # It may be another one by now than the one that was looked up.
            present = tx.key(key.id)
            if present is not None and self._is_half_over(present, now_ms):
                tx.update_key(key.id, expires_ms=end_ms)
            return tx.key(key.id)

        self._prolonging.add(key.id)
        try:
            prolonged: AccessKey | None = await self._gateway.transact(work)
        finally:
            self._prolonging.discard(key.id)
        if prolonged is None:
            raise BAD_CREDENTIALS.error()
        return prolonged

    def _is_half_over(self, key: AccessKey, now_ms: int) -> bool:
        if key.type is not KeyType.SESSION or key.expires_ms is None:
            return False
        return 0 < key.expires_ms - now_ms < self.session_timeout_ms // 2

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
