"""Changes of rights under open connections: who is concerned, what they may see now, and who has to go."""

import asyncio
import heapq
import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from hub.core.access import Principal, device_principal, key_principal, user_principal
from hub.core.subscription import Subscription
from hub.gateway.named import Named
from hub.gateway.replays import reach_of
from hub.store import Change, KeyRecord, LogQuery
from protocol.errors import STORAGE, HubError
from protocol.names import SUBSCRIBE_ACTION, CloseCode, Role

if TYPE_CHECKING:
    from hub.core.connection import Connection
    from hub.gateway import Gateway

log = logging.getLogger("hub")

SLICE = 64
"""How many connections are recompiled in one turn of the loop."""


CALM_S = 5.0
"""How long a request waits for rights that are being read anew."""

Known = dict[tuple[str, int | bool, int | None], Principal | KeyRecord | None]
"""What one slice has read already."""


class Rights:
    """Who is connected as whom, and what a change means for them.

    A change makes the connections concerned *stale*: their subscriptions hold their messages back until the access is
    compiled anew from what the store says now, in slices, so that no turn takes long.
    """

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway
        self._index: dict[tuple[str, int | str], dict[Connection, None]] = {}
        self._entries_of: dict[Connection, dict[tuple[str, int | str], None]] = {}
        self._stale: dict[Connection, None] = {}
        self._reading: set[Connection] = set()
        self._calm = asyncio.Event()
        self._expiries: list[tuple[int, int]] = []
        self._watched: set[tuple[int, int]] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._own: set[int] = set()
        self._told = False
        self._polling: asyncio.Task[None] | None = None
        self._polled_us = gateway.now_us()
        self.named = Named(gateway)
        self.revision = -1
        self.epoch = 0
        """Moves with every change; what was read at an earlier epoch may be out of date."""

    @property
    def stale(self) -> int:
        """How many connections wait to be recompiled."""
        return len(self._stale)

    def is_stale(self, connection: "Connection") -> bool:
        """Whether what a connection may do is being looked up anew."""
        return connection in self._stale or connection in self._reading

    async def settled(self, connection: "Connection") -> None:
        """Return when a connection's rights are those of now.

        Raises:
            StoreUnavailable: they cannot be read.
        """
        try:
            async with asyncio.timeout(CALM_S):
                while self.is_stale(connection):
                    self._calm.clear()
                    await self._calm.wait()
        except TimeoutError as exc:
            raise STORAGE.error(retry_after_s=1) from exc

    def polled_ago_s(self) -> float:
        """Seconds since the store last told what has changed."""
        return (self._gateway.now_us() - self._polled_us) / 1e6

    async def start(self) -> None:
        self.revision = (await self._gateway.store.changes(-1)).revision
        self._task = asyncio.create_task(self._recompile_on_demand(), name="rights")

    async def stop(self) -> None:
        for task in (self._task, self._polling):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._task = None
        await self.named.stop()

    # --- who is connected

    def add(self, connection: "Connection", principal: Principal) -> None:
        """Remember that a connection acts for this principal (one of several, if it is a gateway's)."""
        entries = self._entries_of.setdefault(connection, {})
        for entry in _entries(principal):
            entries[entry] = None
            self._index.setdefault(entry, {})[connection] = None
        self._watch_expiry(principal)

    def check(self, subscription: Subscription) -> None:
        """A subscription was made; the rights that it was asked for with may have changed since."""
        connection = subscription.connection
        if connection in self._stale or subscription.principal is not connection.principal:
            self.mark_stale(connection)

    def _watch_expiry(self, principal: Principal) -> None:
        key = principal.key
        if key is None or key.expires_ms is None or (key.expires_ms, key.id) in self._watched:
            return
        self._watched.add((key.expires_ms, key.id))
        heapq.heappush(self._expiries, (key.expires_ms, key.id))

    def expire(self, now_ms: int) -> None:
        """Look again at the connections whose key ends by now; a key may have been prolonged meanwhile."""
        while self._expiries and self._expiries[0][0] <= now_ms:
            entry = heapq.heappop(self._expiries)
            self._watched.discard(entry)
            self._mark("key", entry[1])

    def remove(self, connection: "Connection") -> None:
        """Forget whom a connection acts for. Idempotent."""
        for entry in self._entries_of.pop(connection, {}):
            concerned = self._index[entry]
            del concerned[connection]
            if not concerned:
                del self._index[entry]

    def forget(self, connection: "Connection") -> None:
        """Forget a connection altogether. Idempotent."""
        self.remove(connection)
        self.named.forget(connection)
        self._stale.pop(connection, None)
        self._reading.discard(connection)

    # --- changes

    async def poll(self) -> None:
        """Look what others (the command line, other workers) have changed."""
        changes = await self._gateway.store.changes(self.revision)
        self._polled_us = self._gateway.now_us()
        self.revision = changes.revision
        if not changes.complete:
            self._own.clear()
            self._everything()
            return
        self.apply(change for change in changes.changes if change.revision not in self._own)
        self._own = {revision for revision in self._own if revision > changes.revision}

    def poll_soon(self) -> None:
        """Others tell that they have changed something: look at once."""
        self._told = True
        if self._polling is None:
            self._polling = asyncio.create_task(self._poll_now(), name="poll")

    async def _poll_now(self) -> None:
        try:
            while self._told:
                self._told = False
                await self.poll()
        except HubError as error:
            log.warning("changes could not be read", extra={"error": error.text})  # They are looked for again soon.
        finally:
            self._polling = None

    def made(self, changes: Iterable[Change]) -> None:
        """Changes that this worker has committed itself: act at once, and do not act again when they are polled."""
        made = list(changes)
        self._own.update(change.revision for change in made)
        if made and not self._gateway.bus.alone:
            self._gateway.others.changed(max(change.revision for change in made))
        self.apply(made)

    def apply(self, changes: Iterable[Change]) -> None:
        """Drop what the caches know of changed entities, and make the connections concerned stale."""
        for change in changes:
            self.epoch += 1
            if change.entity == "device":
                self._gateway.devices.drop(change.guid)
                self._mark("device", change.guid)
                self.named.changed(change.guid)
            elif change.entity in ("user", "key"):
                self._gateway.logins.changed(change.entity, change.id)
                self._mark(change.entity, change.id)
            elif change.entity == "network":
                self._gateway.devices.drop_network(change.id)
                self.named.changed(None)
            elif change.entity == "class":
                self._gateway.devices.drop_class(change.id)
            elif change.entity == "configuration":
                self._gateway.configuration_changed()

    def _everything(self) -> None:
        self.epoch += 1
        self._gateway.devices.drop(None)
        self._gateway.logins.changed("user", None)
        self._gateway.configuration_changed()
        self.named.changed(None)
        for connection in list(self._entries_of):
            self.mark_stale(connection)

    def _mark(self, entity: str, key: int | str | None) -> None:
        if key is None:
            concerned = [one for entry, those in self._index.items() if entry[0] == entity for one in those]
        else:
            concerned = list(self._index.get((entity, key), ()))
        for connection in concerned:
            self.mark_stale(connection)

    def mark_stale(self, connection: "Connection") -> None:
        """Hold a connection's messages back until its access is compiled anew."""
        self._stale[connection] = None
        fan_out = self._gateway.fan_out
        for subscription in connection.subscriptions.values():
            if subscription.held is None:
                fan_out.settle()
                subscription.hold()
                subscription.position = fan_out.position
                fan_out.reroute(subscription)
        self._wake.set()

    # --- recompiling

    async def _recompile_on_demand(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._stale:
                await self._recompile_slice()

    async def _recompile_slice(self) -> None:
        concerned = list(self._stale)[:SLICE]
        known: Known = {}
        for connection in concerned:
            if connection not in self._stale:
                continue  # It went while the ones before it were read.
            del self._stale[connection]
            self._reading.add(connection)
            try:
                await self._recompile(connection, known)
            except HubError as error:
                # Nothing may be delivered on rights that cannot be read: it stays stale until they can.
                log.warning("rights could not be read", extra={"error": error.text})
                self._stale[connection] = None
                await asyncio.sleep(self._gateway.policy.change_poll_s)
            except Exception:
                # Whoever's rights cannot be told keeps none; the others' still have to be looked at.
                log.exception("rights could not be compiled")
                self._gateway.close(connection, CloseCode.NO_SIGN_OF_LIFE, "internal error")
            finally:
                self._reading.discard(connection)
                self._calm.set()
        await asyncio.sleep(0)

    async def _recompile(self, connection: "Connection", known: "Known") -> None:
        principal = await self._current(connection.principal, connection, known)
        fresh = {
            subscription: await self._current(subscription.principal, connection, known)
            for subscription in list(connection.subscriptions.values())
        }
        if connection not in self._gateway:
            return
        if principal is None:
            self._gateway.close(connection, CloseCode.UNAUTHENTICATED, "credentials are no longer valid")
            return
        connection.principal = principal
        self._watch_expiry(principal)
        for subscription, owner in fresh.items():
            self._refresh(connection, subscription, owner)
        if any(subscription not in fresh for subscription in connection.subscriptions.values()):
            self.mark_stale(connection)
        # A change that came while we read has made it stale again; then its messages go on waiting.
        if connection not in self._stale:
            self._release(connection)
        self.named.look_at(connection)

    def _refresh(self, connection: "Connection", subscription: Subscription, owner: Principal | None) -> None:
        if owner is None:
            self.named.end(subscription)
            return
        subscription.principal = owner
        subscription.clauses = owner.access.scopes(SUBSCRIBE_ACTION[subscription.kind])
        self._gateway.others.refollow(subscription)

    def _release(self, connection: "Connection") -> None:
        self._gateway.fan_out.settle()
        for subscription in connection.subscriptions.values():
            if subscription in self._gateway.replays:
                self._gateway.fan_out.reroute(subscription)  # Its replay lets it flow when it gets there.
            else:
                self._let_flow(subscription)
        self._gateway.visit(connection)

    def _let_flow(self, subscription: Subscription) -> None:
        if not subscription.overrun:
            self._gateway.replays.drop_expired(subscription)
            self._gateway.fan_out.release(subscription)
            return
        # More came than could be held while the rights were read. The log has it.
        subscription.overrun = False
        self._gateway.replay(
            subscription,
            LogQuery(
                subscription.kind,
                after=subscription.position,
                reach=reach_of(subscription.clauses, subscription.guids),
                names=subscription.names,
            ),
        )

    async def _current(self, principal: Principal, connection: "Connection", known: "Known") -> Principal | None:
        """The principal as the store knows it now; None: it is no longer valid."""
        if principal.role is Role.ANONYMOUS:
            return principal
        if principal.role is Role.KEY:
            return await self._read_key(principal, connection, known)
        session = principal.user.password_changes if principal.user is not None else None
        name = (principal.identity, principal.by_password, session)
        if name not in known:
            device = principal.role is Role.DEVICE
            known[name] = await (self._read_device(principal) if device else self._read_user(principal))
        found = known[name]
        assert not isinstance(found, KeyRecord), "records are kept under names of their own"
        return found

    async def _read_device(self, principal: Principal) -> Principal | None:
        known = principal.require_device()
        device = await self._gateway.devices.device(known.guid)
        if device is None or device.id != known.id or device.is_blocked:
            return None
        return device_principal(device)

    async def _read_key(self, principal: Principal, connection: "Connection", known: "Known") -> Principal | None:
        """A key is read once for all its connections, and compiled for each, whose address and origin it asks for."""
        assert principal.key is not None, "a key principal has a key"
        name = ("key", principal.key.id, None)
        if name not in known:
            known[name] = await self._gateway.store.find_key_by_id(principal.key.id)
        record = known[name]
        assert not isinstance(record, Principal), "principals are kept under names of their own"
        if record is None or record.key.expired(self._gateway.now_ms()) or not record.owner.is_active:
            return None
        return key_principal(record.key, record.owner, connection.peer)

    async def _read_user(self, principal: Principal) -> Principal | None:
        known = principal.require_user()
        user = await self._gateway.store.find_user(known.id)
        if user is None or not user.is_active:
            return None
        if principal.by_password and user.password_changes != known.password_changes:
            return None
        return user_principal(user, by_password=principal.by_password)


def _entries(principal: Principal) -> Iterator[tuple[str, int | str]]:
    """Whose changes concern a principal."""
    if principal.user is not None:
        yield "user", principal.user.id
    if principal.key is not None:
        yield "key", principal.key.id
    if principal.device is not None:
        yield "device", principal.device.guid
