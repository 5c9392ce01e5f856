"""Wrong passwords, and keys that live as long as they are used."""

import asyncio

from protocol.entities import KeyPermission
from protocol.names import KeyType, UserStatus
from protocol.times import format_ms
from tests.gateway.inside import take_clock, world
from tests.waiting import until

REFUSED = (401, "Invalid credentials")


async def logs_in(home, password, login="admin"):
    peer = await home.connect()
    answer = await peer.ask("authenticate", login=login, password=password)
    await peer.close()
    return (answer.get("code"), answer.get("error")) if answer["status"] == "error" else True


async def attempts(home, login="admin"):
    record = await home.hub.store.find_login(login)
    return record.login_attempts


async def test_guessing_is_slowed_down_and_the_owner_is_not_locked_out(start_hub):
    """After a few wrong passwords even the right one waits, unseen and uncounted; then it works again."""
    home = await start_hub(world(), failed_logins_per_minute=3)
    clock = take_clock(home.hub.gateway)

    assert [await logs_in(home, "wrong") for _ in range(5)] == [REFUSED] * 5
    assert await logs_in(home, "admin-pw") == REFUSED
    assert await attempts(home) == 3
    clock.forward(61)

    assert await logs_in(home, "admin-pw") is True
    assert await attempts(home) == 0


async def test_guesses_that_come_at_once_are_not_looked_at_either(start_hub):
    """Who guesses on many connections at a time gets no more guesses than who guesses one after the other."""
    home = await start_hub(world(), failed_logins_per_minute=3, password_workers=2)
    peers = [await home.connect() for _ in range(20)]

    answers = await asyncio.gather(*(peer.ask("authenticate", login="admin", password="wrong") for peer in peers))

    assert {(answer["code"], answer["error"]) for answer in answers} == {REFUSED}
    assert 3 <= await attempts(home) <= 4  # One may be under way beside the one that is too much.


async def test_lock_out_counts_every_guess_also_those_at_once(start_hub):
    """With lock-out on, as many wrong passwords as it says lock a user, however they come. The last administrator is
    slowed down instead."""
    data = world()
    alice = {"login": "alice", "password": "alice-pw", "role": "CLIENT", "status": "ACTIVE", "networks": []}
    home = await start_hub({**data, "users": [*data["users"], alice]}, login_lockout_after=4)
    clock = take_clock(home.hub.gateway)
    peers = [await home.connect() for _ in range(5)]

    for login in ("alice", "admin"):
        await asyncio.gather(*(peer.ask("authenticate", login=login, password="wrong") for peer in peers))

    statuses = [(await home.hub.store.find_login(login)).user.status for login in ("alice", "admin")]
    assert statuses == [UserStatus.LOCKED_OUT, UserStatus.ACTIVE]
    assert await logs_in(home, "admin-pw") == REFUSED
    clock.forward(61)
    assert await logs_in(home, "alice-pw", login="alice") == REFUSED
    assert await logs_in(home, "admin-pw") is True


async def session_key(home, *, expires_in_s):
    """A SESSION key of the administrator."""
    expires_ms = home.hub.gateway.now_ms() + int(expires_in_s * 1000)
    new = await home.change(
        lambda tx: tx.insert_key(
            user_id=1, label="session", permissions=[KeyPermission()], type=KeyType.SESSION, expires_ms=expires_ms
        )
    )
    return new.key.id, new.secret


async def expiry_in_s(home, key_id):
    record = await home.hub.store.find_key_by_id(key_id)
    return (record.key.expires_ms - home.hub.gateway.now_ms()) / 1000


async def test_a_session_key_slides_when_it_is_presented_late(start_hub):
    """Less than half of its life left: it gets a whole one. More: it stays. Expired: it is nothing any more."""
    home = await start_hub(world(), session_timeout_ms=1_200_000)
    clock = take_clock(home.hub.gateway)
    key_id, home.secrets["session"] = await session_key(home, expires_in_s=1_200)

    clock.forward(500)
    await home.key("session")
    assert await expiry_in_s(home, key_id) == 700
    clock.forward(200)
    await home.key("session")
    assert await expiry_in_s(home, key_id) == 1_200
    clock.forward(1_201)
    peer = await home.connect()
    assert (await peer.ask("authenticate", accessKey=home.secrets["session"]))["code"] == 401


async def test_an_open_connection_lives_as_long_as_its_key_is_prolonged(start_hub):
    """Prolonging the key on one connection keeps the others; when it ends, all of them are closed with 4401."""
    home = await start_hub(world(), session_timeout_ms=100_000)
    clock = take_clock(home.hub.gateway)
    _, home.secrets["session"] = await session_key(home, expires_in_s=100)
    open_one = await home.key("session")

    clock.forward(60)
    await home.key("session")
    clock.forward(60)
    home.hub.gateway.rights.expire(home.hub.gateway.now_ms())
    await until(lambda: asyncio.sleep(0, not home.hub.gateway.rights.stale))
    assert (await open_one.succeed("server/info"))["info"]["serverTimestamp"] <= format_ms(clock.now_us // 1000)
    clock.forward(60)

    assert await open_one.closed() == 4401


async def test_a_stored_configuration_row_wins(start_hub):
    """An administrator's ``user.login.maxAttempts`` locks out where the setting does not."""
    data = world()
    bob = {"login": "bob", "password": "bob-pw", "role": "CLIENT", "status": "ACTIVE", "networks": []}
    home = await start_hub({**data, "users": [*data["users"], bob]})
    await home.change(lambda tx: tx.put_configuration("user.login.maxAttempts", "2"))
    await until(lambda: asyncio.sleep(0, home.hub.gateway.configuration))

    for _ in range(2):
        await logs_in(home, "wrong", login="bob")

    assert (await home.hub.store.find_login("bob")).user.status is UserStatus.LOCKED_OUT
