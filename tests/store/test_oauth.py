"""OAuth clients and grants: what is kept of them, and what goes with what."""

import asyncio

import pytest

from hub.store import Listing
from protocol.entities import KeyPermission
from protocol.errors import Conflict
from protocol.names import AccessType, GrantType, KeyType
from tests.store.world import add_user

APP = {"name": "App", "domain": "app.com", "redirect_uri": "https://app.com/cb", "oauth_id": "app-id"}
CODE = "0d2c9f4e-0000-4000-8000-000000000000"


@pytest.fixture
async def alice(store):
    return await add_user(store)


async def add_client(store, **members):
    return await store.transact(lambda tx: tx.oauth.insert_client(**{**APP, **members}))


def insert_grant(tx, user, client, **members):
    """A grant of type Code, with a key of its own."""
    given = {
        "timestamp_ms": 1_000,
        "type": GrantType.CODE,
        "access_type": AccessType.ONLINE,
        "redirect_uri": "https://app.com/cb",
        "scope": "GetDevice",
        **members,
    }
    made = tx.insert_key(user_id=user.id, label="app", permissions=[KeyPermission()], type=KeyType.OAUTH)
    return tx.oauth.insert_grant(user_id=user.id, client_id=client.id, key_id=made.key.id, **given)


async def add_grant(store, user, client, **members):
    return await store.transact(lambda tx: insert_grant(tx, user, client, **members))


async def grants(store, *, listing=Listing(), **options):
    return await store.consult(lambda tx: tx.oauth.list_grants(listing, **options))


# --- clients ----------------------------------------------------------------------------------------------------------


async def test_a_client_is_found_by_its_secret_only(store):
    """24 characters, told once more to whoever may know; nobody else's secret will do."""
    made = await add_client(store, subnet="10.0.0.0/8")
    other = await add_client(store, oauth_id="other")

    def work(tx):
        return [tx.oauth.client_with_secret(*pair) for pair in pairs]

    pairs = [("app-id", made.secret), ("app-id", other.secret), ("app-id", "\ud800"), ("nobody", made.secret)]
    assert [made.client, None, None, None] == await store.consult(work)
    assert len(made.secret) == 24
    assert made.secret == await store.consult(lambda tx: tx.oauth.client_secret(made.client.id))


async def test_no_secret_of_a_client_is_stored(store, tmp_path):
    """A copy of the database is worth nothing without the pepper."""
    made = await add_client(store)
    await store.close()

    assert not any(made.secret.encode() in file.read_bytes() for file in tmp_path.iterdir())


async def test_the_id_of_a_client_is_its_own(store):
    """Two with one id are a conflict; names may be the same, and the first is meant."""
    first = await add_client(store)
    with pytest.raises(Conflict):
        await add_client(store)
    second = await add_client(store, oauth_id="other")

    with pytest.raises(Conflict):
        await store.transact(lambda tx: tx.oauth.update_client(second.client.id, oauth_id="app-id"))
    assert first.client == await store.consult(lambda tx: tx.oauth.client_by_name("App"))
    assert second.client == await store.consult(lambda tx: tx.oauth.client_by_oauth_id("other"))


async def test_a_change_of_a_client_leaves_what_is_not_given(store):
    """Its secret, too; and it leaves a trace."""
    made = await add_client(store, subnet="10.0.0.0/8")

    def work(tx):
        tx.oauth.update_client(made.client.id, domain="app.org", subnet=None)
        return [(change.entity, change.id) for change in tx.changes()]

    assert await store.transact(work) == [("oauth_client", made.client.id)]
    changed = await store.consult(lambda tx: tx.oauth.client_with_secret("app-id", made.secret))
    assert (changed.domain, changed.subnet, changed.name) == ("app.org", None, "App")


async def test_clients_are_listed_as_asked(store):
    """By filters, patterns, order and page."""
    for name, oauth_id in (("Wall", "b"), ("Phone", "a"), ("Watch", "c")):
        await add_client(store, name=name, oauth_id=oauth_id)

    async def names(**asked):
        listing = Listing(**asked)
        return [one.name for one in await store.consult(lambda tx: tx.oauth.list_clients(listing))]

    assert await names(sort="oauth_id", descending=True, take=2) == ["Watch", "Wall"]
    assert await names(like={"name": "Wa%"}) == ["Wall", "Watch"]
    assert await names(equal={"oauth_id": "a"}) == ["Phone"]


# --- grants -----------------------------------------------------------------------------------------------------------


async def test_a_grant_comes_back_as_it_was_made(store, alice):
    """With its client and its key."""
    client = (await add_client(store)).client

    made = await add_grant(store, alice, client, auth_code=CODE, network_ids=(2, 1))

    assert (made.client, made.key.label, made.key.type) == (client, "app", KeyType.OAUTH)
    assert (made.network_ids, made.auth_code, made.scope) == ((2, 1), CODE, "GetDevice")
    assert made == await store.consult(lambda tx: tx.oauth.grant(made.id))
    assert made == await store.consult(lambda tx: tx.oauth.grant_by_code(CODE))
    assert CODE not in repr(made)


async def test_of_many_that_take_a_code_one_gets_it(store, alice):
    """It is there once."""
    client = (await add_client(store)).client
    made = await add_grant(store, alice, client, auth_code=CODE)

    taken = await asyncio.gather(
        *(store.transact(lambda tx: tx.oauth.take_code(made.id, CODE)) for _ in range(8)),
    )

    assert sorted(taken) == [False] * 7 + [True]
    assert await store.consult(lambda tx: tx.oauth.grant_by_code(CODE)) is None


async def test_two_stores_on_one_database_give_a_code_once(open_store, clock):
    """As two workers have them."""
    async with open_store() as one, open_store() as other:
        alice, client = await add_user(one), (await add_client(one)).client
        for number in range(5):
            code = f"{CODE[:-1]}{number}"
            made = await add_grant(one, alice, client, auth_code=code)
            tries = [store.transact(lambda tx: tx.oauth.take_code(made.id, code)) for store in (one, other)]  # noqa: B023
            assert sorted(await asyncio.gather(*tries)) == [False, True]


async def test_old_codes_are_forgotten_and_their_grants_stay(store, alice):
    """A few at a time; younger ones are left."""
    client = (await add_client(store)).client
    for number in range(4):
        await add_grant(store, alice, client, timestamp_ms=number, auth_code=f"{CODE[:-1]}{number}")

    gone = [await store.transact(lambda tx: tx.oauth.forget_codes(3, limit=2)) for _ in range(3)]

    assert gone == [2, 1, 0]
    assert [one.auth_code for one in await grants(store)] == [None, None, None, f"{CODE[:-1]}3"]


async def test_a_grant_changes_as_far_as_is_said(store, alice):
    """What is not given stays."""
    client = (await add_client(store)).client
    made = await add_grant(store, alice, client, auth_code=CODE, network_ids=(1,))

    def work(tx):
        tx.oauth.update_grant(
            made.id, type=GrantType.TOKEN, access_type=AccessType.OFFLINE, network_ids=None, auth_code=None
        )
        return tx.oauth.grant(made.id)

    changed = await store.transact(work)
    assert (changed.type, changed.access_type, changed.network_ids) == (GrantType.TOKEN, AccessType.OFFLINE, None)
    assert (changed.scope, changed.timestamp_ms, changed.auth_code) == ("GetDevice", 1_000, None)


async def test_grants_are_listed_as_asked(store, alice):
    """Of a user or of all; between two times, which do not belong to it; by the id of their client."""
    bob = await add_user(store, "bob")
    app, other = (await add_client(store)).client, (await add_client(store, oauth_id="other")).client
    for at, user, client in ((1, alice, app), (2, bob, app), (3, alice, other), (4, alice, app)):
        await add_grant(store, user, client, timestamp_ms=at)

    async def times(listing=Listing(), **options):
        return [one.timestamp_ms for one in await grants(store, listing=listing, **options)]

    assert await times() == [1, 2, 3, 4]
    assert await times(user_id=alice.id, after_ms=1, before_ms=10**15) == [3, 4]
    assert await times(before_ms=2) == [1]
    assert await times(Listing(equal={"client_oauth_id": "app-id"}, sort="timestamp_ms", descending=True)) == [4, 2, 1]


async def test_a_password_grant_is_found_by_its_exact_scope(store, alice):
    """Other types are others."""
    client = (await add_client(store)).client
    await add_grant(store, alice, client)
    made = await add_grant(store, alice, client, type=GrantType.PASSWORD)

    def find(scope):
        return store.consult(lambda tx: tx.oauth.password_grant(user_id=alice.id, client_id=client.id, scope=scope))

    assert [made, None] == [await find("GetDevice"), await find("GetDevice GetNetwork")]


# --- what goes with what ----------------------------------------------------------------------------------------------


async def test_a_grant_goes_with_its_key_and_its_key_with_it(store, alice):
    """And with its user; both leave a trace."""
    client = (await add_client(store)).client
    first, second, third = [await add_grant(store, alice, client) for _ in range(3)]

    def delete_grant(tx):
        assert tx.oauth.delete_grant(first.id)
        assert not tx.oauth.delete_grant(first.id)
        assert tx.key(first.key.id) is None
        return [(change.entity, change.id) for change in tx.changes()]

    assert await store.transact(delete_grant) == [("oauth_grant", first.id), ("key", first.key.id)]
    await store.transact(lambda tx: tx.delete_key(second.key.id))
    assert [third] == await grants(store)
    await store.transact(lambda tx: tx.delete_user(alice.id))
    assert await grants(store) == []


async def test_a_client_takes_its_grants_and_their_keys_along(store, alice):
    """Some at a time, and itself with the last of them; those of another stay."""
    client = (await add_client(store)).client
    other = (await add_client(store, oauth_id="other")).client
    kept, *made = await add_grant(store, alice, other), *[await add_grant(store, alice, client) for _ in range(3)]

    async def delete_some():
        gone = await store.transact(lambda tx: tx.oauth.delete_client(client.id, limit=2))
        return gone, await store.consult(lambda tx: tx.oauth.client(client.id)) is None

    assert [await delete_some() for _ in range(3)] == [(2, False), (1, True), (0, True)]
    assert await grants(store) == [kept]
    assert [await store.consult(lambda tx, one=one: tx.key(one.key.id)) for one in (kept, *made)] == [kept.key] + [
        None
    ] * 3


async def test_a_renewed_key_is_another_one_of_the_same_id(store, alice):
    """The old secret finds nothing any more."""
    made = await store.transact(
        lambda tx: tx.insert_key(user_id=alice.id, label="x", permissions=[KeyPermission()], expires_ms=5)
    )

    renewed = await store.transact(lambda tx: tx.renew_key(made.key.id))

    assert (await store.find_key(renewed.secret)).key == renewed.key
    assert await store.find_key(made.secret) is None
    assert (renewed.key.id, renewed.key.expires_ms) == (made.key.id, 5)
    assert renewed.key.start == renewed.secret[:6]
    assert renewed.secret == await store.transact(lambda tx: tx.readable_key(made.key.id))
