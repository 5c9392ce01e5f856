"""Access keys: made once, recognised, never stored."""

import pytest

from protocol.entities import KeyPermission
from protocol.names import KeyType, Kind
from tests.store.conftest import PEPPER, opened
from tests.store.world import add_device, add_user, append, command, notification

PERMISSIONS = (
    KeyPermission(),
    KeyPermission(
        domains=(), subnets=("10.0.0.0/8",), actions=("GetDevice",), network_ids=(1, 2), device_guids=("lamp",)
    ),
)


@pytest.fixture
async def alice(store):
    return await add_user(store)


async def add_key(store, user, label="a key", permissions=(), **members):
    return await store.transact(
        lambda tx: tx.insert_key(user_id=user.id, label=label, permissions=permissions, **members)
    )


async def test_a_key_is_found_by_its_secret_with_its_owner(store, alice):
    """One look-up brings what the evaluation of a request needs."""
    made = await add_key(store, alice, permissions=PERMISSIONS, type=KeyType.SESSION, expires_ms=5)

    record = await store.find_key(made.secret)

    assert (made.key, alice) == (record.key, record.owner)
    assert (made.key.permissions, made.key.type, made.key.expires_ms) == (PERMISSIONS, KeyType.SESSION, 5)
    assert record == await store.find_key_by_id(made.key.id)


async def test_a_secret_has_44_characters_and_starts_as_the_key_says(store, alice):
    """32 random bytes in base64."""
    made = await add_key(store, alice)

    assert len(made.secret) == 44
    assert made.secret[:6] == made.key.start
    assert len(made.key.masked) == 44


@pytest.mark.parametrize("secret", ["", "x", "\ud800", "A" * 44])
async def test_a_wrong_secret_finds_nothing(store, alice, secret):
    """Whatever a peer sends in its place."""
    await add_key(store, alice)

    assert await store.find_key(secret) is None


async def test_no_key_is_stored(store, alice, tmp_path):
    """A copy of the database is worth nothing without the pepper, sealed copies included."""
    made = await add_key(store, alice)
    await store.close()

    assert not any(made.secret.encode() in file.read_bytes() for file in tmp_path.iterdir())


async def test_a_readable_key_can_be_shown_again(store, alice):
    """Where the installation wants that, a sealed copy is kept."""
    made = await add_key(store, alice)

    assert made.secret == await store.transact(lambda tx: tx.readable_key(made.key.id))
    assert await store.transact(lambda tx: tx.readable_key(made.key.id + 1)) is None


async def test_new_permissions_replace_all(store, alice):
    """No permission at all allows nothing; UNSET leaves them."""
    made = await add_key(store, alice, permissions=PERMISSIONS)

    def work(tx):
        tx.update_key(made.key.id, label="renamed", expires_ms=None)
        renamed = tx.key(made.key.id)
        tx.update_key(made.key.id, permissions=[])
        return renamed, tx.key(made.key.id)

    renamed, emptied = await store.transact(work)

    assert (renamed.label, renamed.permissions) == ("renamed", PERMISSIONS)
    assert emptied.permissions == ()


async def test_an_update_of_a_missing_key_is_nothing(store, alice):
    """It went in the meantime."""

    def work(tx):
        tx.update_key(99, label="x", permissions=PERMISSIONS)
        return tx.changes()

    assert await store.transact(work) == []


async def test_keys_are_listed_by_owner(store, alice):
    """A user's keys, or everybody's."""
    bob = await add_user(store, "bob")
    mine, his = await add_key(store, alice), await add_key(store, bob)

    assert [mine.key] == await store.transact(lambda tx: tx.keys(alice.id))
    assert [mine.key, his.key] == await store.transact(lambda tx: tx.keys())


async def test_a_key_is_found_by_its_label(store, alice):
    """Of a user's keys with the same label, the first."""
    bob = await add_user(store, "bob")
    await add_key(store, bob, "a key")
    mine = [await add_key(store, alice, label) for label in ("a key", "a key", "another")]

    found = await store.transact(
        lambda tx: [tx.key_by_label(alice.id, label) for label in ("a key", "another", "A key")]
    )

    assert found == [mine[0].key, mine[2].key, None]


async def test_expired_keys_are_deleted_and_leave_a_trace(store, alice):
    """However many there are; those without an end stay."""
    for _ in range(3):
        await add_key(store, alice, expires_ms=10)
    kept = [await add_key(store, alice, expires_ms=11), await add_key(store, alice)]
    start = (await store.changes(-1)).revision

    assert await store.delete_expired_keys(11) == 3

    assert [made.key for made in kept] == await store.transact(lambda tx: tx.keys())
    assert [change.entity for change in (await store.changes(start)).changes] == ["key"] * 3


async def test_a_key_survives_the_rotation_of_the_pepper(tmp_path):
    """Keys are recognised under every active pepper, and new ones are hashed with the first."""
    from hub.store.secrets import Secrets
    from hub.store.sqlite import SqliteStore

    path, newer = tmp_path / "hub.db", b"another pepper of more than 32 bytes"
    async with opened(SqliteStore(path, Secrets([PEPPER]))) as before:
        old = await add_key(before, await add_user(before))
    async with opened(SqliteStore(path, Secrets([newer, PEPPER]))) as during:
        owner = (await during.find_key(old.secret)).owner
        new = await add_key(during, owner)
    async with opened(SqliteStore(path, Secrets([newer]))) as after:
        assert await after.find_key(old.secret) is None
        assert new.key == (await after.find_key(new.secret)).key


# --- a copy of an installation ----------------------------------------------------------------------------------------


async def test_hashes_that_are_put_back_open_what_they_opened(store, alice):
    """Of access keys and devices; each leaves a trace."""
    made = await add_key(store, alice)
    lamp = await add_device(store)

    def work(tx):
        of_key, of_device = tx.kept_secrets("key", made.key.id), tx.kept_secrets("device", lamp.id)
        again = tx.insert_key(user_id=alice.id, label="again", permissions=[])
        tx.delete_key(made.key.id)
        tx.put_secrets("key", again.key.id, of_key)
        tx.update_device(lamp.id, key="another")
        tx.put_secrets("device", lamp.id, of_device)
        return again.key.id, tx.device_key_matches(lamp.id, "another"), {change.entity for change in tx.changes()}

    key_id, matches, changed = await store.transact(work)

    assert (await store.find_key(made.secret)).key.id == key_id
    assert not matches
    assert {"key", "device"} <= changed


async def test_a_password_hash_that_is_put_back_ends_logins(store, alice):
    """Salts of old hashes come along."""

    def work(tx):
        tx.put_secrets("user", alice.id, {"password_hash": "h", "password_salt": "s"})
        return tx.kept_secrets("user", alice.id), tx.user(alice.id).password_changes

    kept, changes = await store.transact(work)

    assert kept == {"password_hash": "h", "password_salt": "s"}
    assert changes == alice.password_changes + 1


async def test_the_pepper_is_known_by_its_mark(store):
    """It is always the same, and never the pepper."""
    marks = {await store.transact(lambda tx: tx.pepper_mark()) for _ in range(2)}

    assert [len(mark) for mark in marks] == [44]


async def test_whose_a_message_is_is_found_by_its_id(store):
    """Of each kind apart."""
    lamp = await add_device(store)
    told, asked = notification(lamp), command(lamp)
    await append(store, [told])
    await append(store, [asked])

    def work(tx):
        ids = {Kind.NOTIFICATION: told.id, Kind.COMMAND: asked.id}
        return [tx.message_device(kind, ids[kind]) for kind in ids], tx.message_device(Kind.COMMAND, 1)

    assert await store.transact(work) == ([lamp.id, lamp.id], None)
