"""Credentials that a worker has seen lately, so that a request does not have to be looked up, or checked, as if nobody
had ever asked before. No secret is kept, only what it was under a digest whose key this process alone has.
"""

import hashlib
import hmac
import secrets
from weakref import WeakValueDictionary

from hub.gateway.calls import in_task
from hub.gateway.devices import make_room
from hub.store import KeyRecord, LoginRecord, Store

KEYS = 10_000
"""Access keys that are remembered."""

PASSWORDS = 1_000
"""Users whose password is remembered to have been right."""

PASSWORD_S = 60.0
"""For how long."""


class Digests:
    """Tells secrets apart without keeping them."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def of(self, *parts: str) -> bytes:
        """What is kept instead of these, in this order."""
        digest = hashlib.blake2b(key=self._key, digest_size=32)
        for part in parts:
            # surrogatepass: whatever text a peer manages to send is a wrong secret, not an error.
            data = part.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "big") + data)
        return digest.digest()


class _Mark:
    """Whether nothing is known to have changed about a user or a key."""

    __slots__ = ("__weakref__", "is_current")

    def __init__(self) -> None:
        self.is_current = True


class _Entry:
    __slots__ = ("_marks", "record")

    def __init__(self, record: KeyRecord, *marks: _Mark) -> None:
        self.record = record
        self._marks = marks

    @property
    def is_current(self) -> bool:
        return all(mark.is_current for mark in self._marks)


class KnownKeys:
    """Access keys with their owners, as they are now. Bounded; the oldest entries go first.

    What nobody knows is not remembered: whoever guesses keys shall not fill our memory.

    Args:
        most: how many are kept.
    """

    def __init__(self, store: Store, *, most: int = KEYS) -> None:
        self._store = store
        self._most = most
        self._digests = Digests()
        self._entries: dict[bytes, _Entry] = {}
        self._marks: dict[str, WeakValueDictionary[int, _Mark]] = {
            "key": WeakValueDictionary(),
            "user": WeakValueDictionary(),
        }
        self._drops = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"KnownKeys({len(self)})"

    async def find(self, secret: str) -> KeyRecord | None:
        """The key with this secret, from memory or from the store; whether it has expired is the caller's question."""
        digest = self._digests.of(secret)
        entry = self._entries.get(digest)
        if entry is not None and entry.is_current:
            return entry.record
        drops = self._drops
        record = await in_task(self._store.find_key(secret))
        self._entries.pop(digest, None)
        # A change that came while we read may be newer than what we read: that is answered, but not kept.
        if record is not None and drops == self._drops:
            make_room(self._entries, self._most)
            self._entries[digest] = _Entry(
                record, self._mark("key", record.key.id), self._mark("user", record.owner.id)
            )
        return record

    def drop(self, entity: str, row_id: int | None) -> None:
        """Forget what is known of a ``user`` or a ``key``, or, with None, of all of them."""
        self._drops += 1
        marks = self._marks[entity]
        for number in list(marks) if row_id is None else [row_id]:
            mark = marks.pop(number, None)
            if mark is not None:
                mark.is_current = False

    def _mark(self, entity: str, row_id: int) -> _Mark:
        marks = self._marks[entity]
        mark = marks.get(row_id)
        if mark is None:
            mark = marks[row_id] = _Mark()
        return mark


class KnownPasswords:
    """Which password of a user was right a moment ago.

    It is bound to what is stored: after a change of the password nothing here is right any more, whoever made it.
    """

    def __init__(self, *, most: int = PASSWORDS, for_s: float = PASSWORD_S) -> None:
        self._most = most
        self._for_s = for_s
        self._digests = Digests()
        self._entries: dict[int, tuple[bytes, float]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"KnownPasswords({len(self)})"

    def knows(self, record: LoginRecord, password: str, now_s: float) -> bool:
        """Whether this password was right for this user, as it is stored, not long before."""
        digest, since_s = self._entries.get(record.user.id, (b"", 0.0))
        return 0 <= now_s - since_s < self._for_s and hmac.compare_digest(digest, self._digest(record, password))

    def keep(self, record: LoginRecord, password: str, now_s: float) -> None:
        """The password was checked, and is right."""
        self._entries.pop(record.user.id, None)
        make_room(self._entries, self._most)
        self._entries[record.user.id] = self._digest(record, password), now_s

    def forget(self, user_id: int) -> None:
        """Somebody has tried another one."""
        self._entries.pop(user_id, None)

    def _digest(self, record: LoginRecord, password: str) -> bytes:
        user = record.user
        stored = record.password_hash or "", record.password_salt or ""
        return self._digests.of(str(user.id), user.login, str(user.password_changes), *stored, password)
