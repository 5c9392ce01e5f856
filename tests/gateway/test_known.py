"""Credentials that a worker remembers: until they change, and never the secret itself."""

import asyncio
from dataclasses import replace

import pytest

from hub.gateway.known import Digests, KnownKeys, KnownPasswords
from hub.store import KeyRecord, LoginRecord
from tests.builders import access_key, user

SECRET = "a secret that nobody may find in here"


class Keys:
    """A store with these keys, which can be held back after it has read."""

    def __init__(self, **records: KeyRecord) -> None:
        self.records = records
        self.reads = 0
        self.read = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()

    async def find_key(self, secret: str) -> KeyRecord | None:
        self.reads += 1
        record = self.records.get(secret)
        self.read.set()
        await self.answers.wait()
        return record


def record(number: int = 7, owner: int = 2) -> KeyRecord:
    return KeyRecord(access_key(id=number, user_id=owner), user(id=owner))


# --- access keys ------------------------------------------------------------------------------------------------------


async def test_a_key_is_read_once():
    """Whoever presents it again is known."""
    store = Keys(one=record())
    known = KnownKeys(store)

    assert [await known.find("one"), await known.find("one")] == [record(), record()]
    assert store.reads == 1


async def test_what_nobody_knows_is_asked_for_each_time():
    """A key may be made any moment, and guesses shall not fill the memory."""
    store = Keys()
    known = KnownKeys(store)

    assert await known.find("one") is None
    store.records["one"] = record()
    assert await known.find("one") == record()
    assert (store.reads, len(known)) == (2, 1)


@pytest.mark.parametrize(
    ("changed", "reads"),
    [
        (("key", 7), 2),
        (("key", None), 2),
        (("user", 2), 2),
        (("user", None), 2),
        (("key", 2), 1),
        (("user", 7), 1),
    ],
)
async def test_a_key_is_forgotten_with_a_change_of_it_or_of_its_owner(changed, reads):
    """And not with changes of others."""
    store = Keys(one=record(7, owner=2))
    known = KnownKeys(store)
    await known.find("one")

    known.drop(*changed)
    await known.find("one")

    assert store.reads == reads


async def test_a_change_that_comes_while_a_key_is_read_is_not_missed():
    """What was read before it is the answer to this one request, and is not kept."""
    store = Keys(one=record())
    known = KnownKeys(store)
    store.answers.clear()
    asked = asyncio.create_task(known.find("one"))
    await store.read.wait()

    del store.records["one"]
    known.drop("key", 7)
    store.answers.set()

    assert await asked == record()
    assert await known.find("one") is None


async def test_a_key_that_has_gone_leaves_nothing_behind():
    """Looked for again after a change, it is forgotten."""
    store = Keys(one=record())
    known = KnownKeys(store)
    await known.find("one")

    del store.records["one"]
    known.drop("user", 2)

    assert await known.find("one") is None
    assert len(known) == 0


async def test_keys_are_bounded():
    """The oldest go first."""
    store = Keys(**{f"key-{number}": record(number) for number in range(10)})
    known = KnownKeys(store, most=4)

    for name in store.records:
        await known.find(name)
    await known.find("key-9")

    assert (len(known), store.reads) == (4, 10)
    await known.find("key-0")
    assert store.reads == 11


# --- passwords --------------------------------------------------------------------------------------------------------

ANN = LoginRecord(user(id=2, login="ann"), "$argon2id$stored", None)


def test_a_password_is_known_for_a_while():
    """From when it was right, for so many seconds, and not before that either."""
    known = KnownPasswords(for_s=60)

    known.keep(ANN, SECRET, 1_000.0)

    assert [known.knows(ANN, SECRET, now_s) for now_s in (999.9, 1_000.0, 1_059.9, 1_060.0)] == [
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    "other",
    [
        replace(ANN, password_hash="$argon2id$another"),
        replace(ANN, password_salt="salt"),
        replace(ANN, password_hash=None),
        replace(ANN, user=replace(ANN.user, id=3)),
        replace(ANN, user=replace(ANN.user, login="bob")),
        replace(ANN, user=replace(ANN.user, password_changes=1)),
    ],
)
def test_a_password_is_known_for_what_is_stored(other):
    """Another hash, another user: nothing is known of it."""
    known = KnownPasswords()
    known.keep(ANN, SECRET, 0.0)

    assert not known.knows(other, SECRET, 0.0)
    assert known.knows(ANN, SECRET, 0.0)


def test_another_password_is_not_known():
    """Neither one that is nearly the same, nor one with the border between its parts moved."""
    known = KnownPasswords()
    known.keep(ANN, SECRET, 0.0)

    assert not any(known.knows(ANN, other, 0.0) for other in ("", SECRET[:-1], f"{SECRET} ", "\ud800"))
    assert Digests().of("ab", "c") != Digests().of("a", "bc")


def test_a_failure_forgets_what_was_right():
    """After a wrong password the right one is checked again."""
    known = KnownPasswords()
    known.keep(ANN, SECRET, 0.0)

    known.forget(ANN.user.id)

    assert not known.knows(ANN, SECRET, 0.0)
    known.forget(ANN.user.id)


def test_passwords_are_bounded():
    """One a user, and so many users."""
    known = KnownPasswords(most=4)

    for number in range(10):
        for _ in range(2):
            known.keep(replace(ANN, user=user(id=number)), SECRET, 0.0)

    assert len(known) == 4


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_digests_differ_from_process_to_process():
    """With the memory of one nobody recognises a secret in another."""
    one, other = Digests(), Digests()

    assert one.of(SECRET) == one.of(SECRET)
    assert one.of(SECRET) != other.of(SECRET)


async def test_no_secret_is_kept():
    """Nor shown: whoever looks at what is remembered finds digests."""
    keys, passwords = KnownKeys(Keys(**{SECRET: record()})), KnownPasswords()
    await keys.find(SECRET)
    passwords.keep(ANN, SECRET, 0.0)

    assert SECRET not in repr([vars(keys), vars(passwords), keys, passwords])
