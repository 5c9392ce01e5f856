"""Credentials of requests: remembered by the worker, and worth nothing as soon as they are not valid any more."""

import asyncio

import pytest

import hub.app
import hub.gateway.password_checks
from hub.store import Store
from protocol.entities import KeyPermission
from protocol.names import KeyType, UserStatus
from tests.gateway.inside import take_clock
from tests.rest import http
from tests.waiting import until


def told(response):
    """Status and message of a refusal."""
    return response.status, response.json()["message"]


@pytest.fixture
def reads(monkeypatch):
    """What was looked up in the store, by the method's name."""
    found = []
    make = hub.app.make_store
    monkeypatch.setattr(hub.app, "make_store", lambda settings: Watched(make(settings), found))
    return found


class Watched:
    """A store that writes down which look-ups it is asked for."""

    def __init__(self, store: Store, found: list[str]) -> None:
        self._store = store
        self._found = found

    def __getattr__(self, name):
        if name.startswith("find_"):
            self._found.append(name)
        return getattr(self._store, name)


@pytest.fixture
def checks(monkeypatch):
    """The passwords that were checked by Argon2."""
    found = []
    check = hub.gateway.password_checks.verify_password

    def checked(password, *stored):
        found.append(password)
        return check(password, *stored)

    monkeypatch.setattr(hub.gateway.password_checks, "verify_password", checked)
    return found


# --- access keys ------------------------------------------------------------------------------------------------------


async def test_a_key_is_looked_up_once(reads, start_site):
    """However often it is presented, from wherever; an unknown one each time."""
    site = await start_site()
    client = site.by_key("alices")

    for _ in range(5):
        await client.get("/user/current")
        await client.get("/info", headers=[("Origin", "http://a.example")])
    assert reads == ["find_key"]
    for _ in range(3):
        assert told(await site.client(http.key("unknown")).get("/info")) == (401, "Unauthorized")

    assert reads == ["find_key"] * 4


async def test_sockets_are_looked_up_each_time(reads, start_site):
    """Whoever connects is asked about anew."""
    site = await start_site()
    await site.by_key("alices").get("/info")
    reads.clear()

    for _ in range(2):
        await site.key("alices")

    assert reads.count("find_key") == 2


def by_another_process(site, work):
    """A change as the command line makes it."""
    return site.change(work)


def by_this_worker(site, work):
    """A change as a request or a socket of the hub makes it."""
    return site.hub.gateway.transact(lambda tx, _: work(tx))


CHANGES = {
    "the key is deleted": lambda tx: tx.delete_key(2),
    "the key has expired": lambda tx: tx.update_key(2, expires_ms=1),
    "the key may nothing": lambda tx: tx.update_key(2, permissions=[]),
    "the key may other things": lambda tx: tx.update_key(2, permissions=[KeyPermission(actions=("GetDevice",))]),
    "the owner is disabled": lambda tx: tx.update_user(2, status=UserStatus.DISABLED),
    "the owner is deleted": lambda tx: tx.delete_user(2),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_that_the_worker_makes_counts_for_the_next_request(site, change):
    """Not a moment later."""
    client = site.by_key("alices")
    assert (await client.get("/user/current")).status == 200

    await by_this_worker(site, CHANGES[change])

    assert told(await client.get("/user/current")) == (401, "Unauthorized")


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_that_somebody_else_makes_is_heard_of(site, change):
    """The hub looks for them twice a second."""
    client = site.by_key("alices")
    assert (await client.get("/user/current")).status == 200

    await by_another_process(site, CHANGES[change])

    await until(lambda: _refuses(client))


async def _refuses(client):
    return (await client.get("/user/current")).status == 401


async def test_what_a_user_reaches_is_that_of_now(site):
    """A membership that ends, ends for the keys of the user."""
    client = site.by_key("alices")
    assert (await client.get("/user/2/network/1")).status == 200

    await by_this_worker(site, lambda tx: tx.remove_member(2, 1))

    assert (await client.get("/user/2/network/1")).status == 404


async def test_a_key_that_is_remembered_expires_all_the_same(site):
    """It is asked at each use whether its time has come."""
    clock = take_clock(site.hub.gateway)
    ends_ms = site.hub.gateway.now_ms() + 10_000
    await by_this_worker(site, lambda tx: tx.update_key(2, expires_ms=ends_ms))
    client = site.by_key("alices")

    clock.forward(9)
    assert (await client.get("/user/current")).status == 200
    clock.forward(2)

    assert told(await client.get("/user/current")) == (401, "Unauthorized")


async def session(site, *, ends_in_s):
    """The id of a session key of alice's, and a client with it."""
    ends_ms = site.hub.gateway.now_ms() + 1000 * ends_in_s
    made = await site.hub.gateway.transact(
        lambda tx, _: tx.insert_key(
            user_id=2, label="x", permissions=[KeyPermission()], type=KeyType.SESSION, expires_ms=ends_ms
        )
    )
    return made.key.id, site.client(http.key(made.secret))


async def test_requests_that_come_at_once_prolong_a_session_once(start_site):
    """Each of them would otherwise write the same, and make every worker look the key up again."""
    site = await start_site(session_timeout_ms=100_000, rest_requests_per_s=0.0)
    take_clock(site.hub.gateway)
    key_id, client = await session(site, ends_in_s=40)
    before = site.hub.gateway.rights.epoch

    answers = await asyncio.gather(*(client.get("/user/current") for _ in range(8)))

    assert {answer.status for answer in answers} == {200}
    record = await site.hub.store.find_key_by_id(key_id)
    assert record.key.expires_ms == site.hub.gateway.now_ms() + 100_000
    assert site.hub.gateway.rights.epoch == before + 1


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda tx, key_id: tx.delete_key(key_id), 401),
        (lambda tx, key_id: tx.update_key(key_id, type=KeyType.DEFAULT), 200),
    ],
)
async def test_what_is_no_session_any_more_is_not_prolonged(start_site, change, status):
    """Whether the worker has heard of the change already or not."""
    site = await start_site(session_timeout_ms=100_000)
    clock = take_clock(site.hub.gateway)
    key_id, client = await session(site, ends_in_s=60)
    assert (await client.get("/user/current")).status == 200
    clock.forward(30)

    await by_another_process(site, lambda tx: change(tx, key_id))

    assert (await client.get("/user/current")).status == status
    record = await site.hub.store.find_key_by_id(key_id)
    assert record is None or record.key.expires_ms == site.hub.gateway.now_ms() + 30_000


async def test_a_key_is_judged_by_where_it_comes_from(start_site):
    """What was remembered of it with one origin says nothing about another."""
    site = await start_site()
    await by_this_worker(site, lambda tx: tx.update_key(2, permissions=[KeyPermission(domains=("good.example",))]))
    client = site.by_key("alices")

    for origin, status in (("http://good.example", 200), ("http://bad.example", 401), ("http://good.example", 200)):
        assert (await client.get("/user/current", headers=[("Origin", origin)])).status == status
    assert (await client.get("/user/current")).status == 200


# --- passwords --------------------------------------------------------------------------------------------------------


async def test_a_password_is_checked_once_a_minute(checks, site):
    """It costs a tenth of a second of a core by design, which is too much for each request."""
    clock = take_clock(site.hub.gateway)
    alice = site.by_login("alice")

    for _ in range(5):
        assert (await alice.get("/user/current")).status == 200
    assert checks == ["alice-pw"]
    clock.forward(61)
    await alice.get("/user/current")

    assert checks == ["alice-pw"] * 2


async def test_a_wrong_password_is_checked_each_time(checks, site):
    """And after it the right one, once."""
    clients = {password: site.client(http.user("alice", password)) for password in ("alice-pw", "wrong")}
    await clients["alice-pw"].get("/info")

    for password in ("wrong", "wrong", "alice-pw", "alice-pw"):
        status = (await clients[password].get("/info")).status
        assert status == (401 if password == "wrong" else 200)

    assert checks == ["alice-pw", "wrong", "wrong", "alice-pw"]
    assert (await site.hub.store.find_login("alice")).login_attempts == 0


REVOKING = {
    "another password": lambda tx: tx.set_password(2, password_hash="$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$eA"),
    "no password": lambda tx: tx.set_password(2, password_hash=None),
    "disabled": lambda tx: tx.update_user(2, status=UserStatus.DISABLED),
    "another login": lambda tx: tx.update_user(2, login="ally"),
    "deleted": lambda tx: tx.delete_user(2),
}


@pytest.mark.parametrize("change", REVOKING)
@pytest.mark.parametrize("make", [by_this_worker, by_another_process])
async def test_a_password_that_was_right_is_worth_what_the_user_is(site, change, make):
    """The very next request is refused, whoever made the change."""
    alice = site.by_login("alice")
    assert (await alice.get("/user/current")).status == 200

    await make(site, REVOKING[change])

    assert told(await alice.get("/user/current")) == (401, "Invalid credentials")


async def test_a_last_login_is_written_once_a_while(start_site):
    """However many requests come, also at once."""
    site = await start_site(login_last_timeout_ms=1_000, rest_requests_per_s=0.0)
    clock = take_clock(site.hub.gateway)
    alice = site.by_login("alice")
    begin_ms = clock.now_us // 1000

    async def last_login_s():
        return ((await site.hub.store.find_login("alice")).user.last_login_ms - begin_ms) / 1000

    found = []
    for _ in range(4):
        await asyncio.gather(*(alice.get("/info") for _ in range(5)))
        found.append(await last_login_s())
        clock.forward(0.6)

    assert found == [0, 0, 1.2, 1.2]


SALTED = "+IC4w+NeByiymEWlI5H1xbtNe4YKmPlLRZ7j3xaireg="
"""DeviceHive's hash of ``admin_pass`` with that salt, from its documentation."""


async def test_a_password_from_another_installation_is_hashed_anew(checks, site):
    """At its first use, once."""
    await site.change(
        lambda tx: tx.insert_user(login="old", role=1, password_hash=SALTED, password_salt="9KynX3ShWnFym4y8Dla039py")
    )
    client = site.client(http.user("old", "admin_pass"))

    for _ in range(3):
        assert (await client.get("/user/current")).status == 200

    assert (await site.hub.store.find_login("old")).password_hash.startswith("$argon2id$")
    assert checks == ["admin_pass"] * 2


@pytest.mark.parametrize(
    "header", ["Basic", "Basic !", "Basic YWxpY2U=", "Basic /w==", "Digest x", "Bearer", "bearer  ", "x"]
)
async def test_credentials_that_are_none_are_refused(site, header):
    """On every path, also where none are needed."""
    assert (await site.client((("Authorization", header),)).get("/info")).status == 401


# --- from a foreign page ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "status"), [("http://evil.example", 403), ("null", 403), ("https://friend.example", 204), (None, 204)]
)
async def test_stored_basic_credentials_change_nothing_for_a_foreign_page(start_site, origin, status):
    """Browsers send them by themselves; what is read, and what a key does, is left to the browser and the key."""
    site = await start_site(allowed_origins=["https://friend.example"])
    headers = [("Origin", origin)] if origin else []

    changed = await site.admin.put("/user/2", {"data": 1}, headers=headers)

    assert changed.status == status
    if status == 403:
        assert changed.json()["message"] == "Origin not allowed"
    assert (await site.admin.get("/user/2", headers=headers)).status == 200
    assert (await site.by_key("everything").put("/user/2", {"data": 1}, headers=headers)).status == 204


async def test_the_own_page_may_use_them(site):
    """It is the same host."""
    own = [("Origin", f"http://127.0.0.1:{site.hub.port}")]

    assert (await site.admin.put("/user/2", {"data": 1}, headers=own)).status == 204


async def test_devicehive_did_not_look_at_origins(start_site):
    """So whoever asks for its ways gets them."""
    site = await start_site(compat="devicehive")
    foreign = [("Origin", "http://evil.example")]

    assert (await site.admin.put("/user/2", {"data": 1}, headers=foreign)).status == 204


async def test_a_login_that_no_database_could_hold_is_not_looked_up(reads, site):
    """PostgreSQL takes no NUL in a text, and would call the question an error."""
    reads.clear()

    assert told(await site.client(http.user("al\0ice", "alice-pw")).get("/info")) == (401, "Invalid credentials")

    assert reads == []
