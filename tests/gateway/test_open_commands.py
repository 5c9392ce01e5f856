"""A device with too many commands that are neither answered nor expired takes no more."""

import asyncio

import pytest

from protocol.names import Kind
from tests.gateway.inside import take_clock, world

LIMIT = 5
REFUSED = (429, f"Too many requests: at most {LIMIT} open commands of one device")
DONE = (200, None)


@pytest.fixture
async def home(failing, start_hub):
    """A hub that takes five open commands of a device."""
    return await start_hub(world(), open_commands_per_device=LIMIT)


async def insert(peer, device="lamp", **members):
    answer = await peer.ask("command/insert", deviceGuid=device, command={"command": "go", **members})
    return answer.get("code", 200), answer.get("error")


async def fill(peer, device="lamp", **members):
    """Ids of as many commands as a device takes."""
    ask = {"deviceGuid": device, "command": {"command": "go", **members}}
    return [(await peer.succeed("command/insert", **ask))["command"]["id"] for _ in range(LIMIT)]


async def count(home, device="lamp"):
    """How many commands of a device the log has."""
    found = await home.hub.gateway.devices.device(device)
    counts = await home.hub.store.open_commands([found.id], at_ms=0, most=1_000)
    return counts[found.id].number


async def test_a_full_device_takes_no_more_and_another_one_does(home):
    """429 names the limit and its value; nothing is stored, and it is counted."""
    admin = await home.key("admin")
    await fill(admin)

    outcomes = [await insert(admin), await insert(admin), await insert(admin, "fan")]

    assert outcomes == [REFUSED, REFUSED, DONE]
    assert (await count(home), await count(home, "fan")) == (LIMIT, 1)
    assert home.hub.gateway.tally["open-commands-per-device"] == 2


async def test_an_extended_connection_hears_the_limit_s_name_and_when_it_ends(home):
    """``retryAfter`` is there where waiting helps: when the first of the commands expires."""
    admin = await home.key("admin", subprotocols=["hub.1.json"])
    await fill(admin, lifetime=60)
    await fill(admin, "fan")

    lamp, fan = [
        await admin.ask("command/insert", deviceGuid=guid, command={"command": "go"}) for guid in ("lamp", "fan")
    ]

    assert lamp["detail"] == fan["detail"] == {"limit": "open-commands-per-device", "value": LIMIT}
    assert 1 <= lamp["retryAfter"] <= 60
    assert "retryAfter" not in fan


async def test_an_answer_makes_room_for_one_more(home):
    """Whoever answers its commands is never full for long."""
    admin = await home.key("admin")
    (first, *_) = await fill(admin)
    assert await insert(admin) == REFUSED

    await admin.succeed("command/update", deviceGuid="lamp", commandId=first, command={"status": "done"})

    assert [await insert(admin), await insert(admin)] == [DONE, REFUSED]


async def test_the_end_of_a_lifetime_makes_room(home):
    """An expired command is not open, though nobody has answered it."""
    clock, admin = take_clock(home.hub.gateway), await home.key("admin")
    await fill(admin, lifetime=60)
    assert await insert(admin) == REFUSED

    clock.forward(61)

    assert await insert(admin) == DONE


async def test_lifetimes_that_are_not_enforced_make_no_room(start_hub):
    """Under ``HUB_COMMAND_LIFETIME=ignore`` only an answer ends a command."""
    home = await start_hub(world(), open_commands_per_device=LIMIT, command_lifetime="ignore")
    clock, admin = take_clock(home.hub.gateway), await home.key("admin")
    await fill(admin, lifetime=60)

    clock.forward(61)

    assert [await insert(admin), await insert(admin)] == [REFUSED, REFUSED]


async def test_retention_makes_room(home):
    """Open commands go by age."""
    clock, admin = take_clock(home.hub.gateway), await home.key("admin")
    await fill(admin)
    assert await insert(admin) == REFUSED

    clock.forward(100)
    await home.hub.gateway.duties.prune(Kind.COMMAND, kept_s=60, per_device=100)

    assert await insert(admin) == DONE


async def test_many_at_once_are_not_too_many(home):
    """However they overlap, exactly as many are taken as the limit says."""
    peers = [await home.key("admin") for _ in range(4)]

    for peer in peers:
        for number in range(LIMIT):
            await peer.send(action="command/insert", requestId=number, deviceGuid="lamp", command={"command": "go"})
    answers = [await peer.receive() for peer in peers for _ in range(LIMIT)]

    assert [answer["status"] for answer in answers].count("success") == LIMIT == await count(home)


async def test_a_repeated_insert_is_answered_by_a_full_device(home):
    """What was stored is acknowledged again; a new key is refused like any other insert."""
    admin = await home.key("admin")
    ask = {"deviceGuid": "lamp", "command": {"command": "go"}}
    stored = await admin.succeed("command/insert", **ask, idempotencyKey="first")
    for _ in range(LIMIT - 1):
        assert await insert(admin) == DONE

    again = await admin.succeed("command/insert", **ask, idempotencyKey="first")
    other = await admin.ask("command/insert", **ask, idempotencyKey="other")

    assert again["command"]["id"] == stored["command"]["id"]
    assert (other["code"], other["error"]) == REFUSED


async def test_refusing_costs_the_database_nothing(home, failing):
    """A device that stays full is not counted again; one that has room is counted once."""
    asked = []
    failing(home).fails = lambda name: bool(asked.append(name))
    admin = await home.key("admin")
    await fill(admin)
    for _ in range(10):
        assert await insert(admin) == REFUSED

    assert asked.count("open_commands") == 2
    assert asked.count("write") <= LIMIT + 2


async def test_a_count_that_an_answer_overtakes_is_taken_again(home, failing):
    """A command that is answered while the log is counted makes room at once."""
    admin, other = await home.key("admin"), await home.key("admin")
    (first, *_) = await fill(admin)
    store = failing(home)
    counted, update = store._store.open_commands, {"deviceGuid": "lamp", "commandId": first, "command": {}}

    async def count_and_wait(*args, **options):
        counts = await counted(*args, **options)
        store._store.open_commands = counted
        await other.succeed("command/update", **update)
        return counts

    store._store.open_commands = count_and_wait

    assert [await insert(admin), await insert(admin)] == [DONE, REFUSED]


async def test_a_log_that_cannot_be_counted_refuses_with_503(home, failing):
    """Without knowing, nothing is taken; the next insert asks again."""
    admin = await home.key("admin")
    failing(home).fails = lambda name: name == "open_commands"
    unknown = await asyncio.gather(insert(admin))
    failing(home).fails = lambda name: False

    assert unknown == [(503, "Storage is not available, try again")]
    assert await insert(admin) == DONE
