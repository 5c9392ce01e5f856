"""Ends: of connections that vanish, of many of them, and of the hub itself."""

import asyncio
import gc

import pytest

from hub.store import LogQuery
from hub.web import server
from hub.web.socket import Socket
from protocol.names import Kind
from tests.edge_client import CLOSE, PING, TEXT, Wire, basic, frame, message, request, upgrade
from tests.fault.process import HubProcess
from tests.waiting import WAIT_S, until
from tests.web.conftest import WORLD
from tests.websocket.conftest import PEPPER, opened, settings_for
from tests.websocket.world import fill

EXTENDED = ("Sec-WebSocket-Protocol", "hub.1.json")
INSERT = {"action": "notification/insert", "deviceGuid": "lamp", "notification": {"notification": "watts"}}
COMMAND = {"action": "command/insert", "deviceGuid": "lamp", "command": {"command": "on"}}


async def logged(settings, kind=Kind.NOTIFICATION):
    """The ids in the log of a hub that has stopped."""
    async with opened(settings) as store:
        return [one.message.id for one in (await store.read(LogQuery(kind))).messages]


async def left_clean(world):
    """Wait until nothing is left of any connection."""

    async def clean():
        gateway = world.hub.gateway
        return not len(gateway) and not len(gateway.replays) and gateway.fan_out.is_clean() and not gateway.rights.stale

    await until(clean)


# --- connections ------------------------------------------------------------------------------------------------------


async def in_the_middle_of_a_handshake(world, wires):
    wire = await wires.connect(world)
    await wire.write(upgrade("/websocket/client", basic("admin", "admin-pw")))
    return wire


async def in_the_middle_of_a_login(world, wires):
    wire = await wires.open(world)
    await wire.send(action="authenticate", login="admin", password="admin-pw")
    return wire


async def in_the_middle_of_a_frame(world, wires):
    wire = await wires.dashboard(world)
    await wire.write(frame(TEXT, b"{" * 100)[:50])
    return wire


async def in_the_middle_of_a_message(world, wires):
    wire = await wires.dashboard(world)
    await wire.write(frame(TEXT, b"{", fin=False))
    return wire


async def in_the_middle_of_everything(world, wires):
    wire = await wires.dashboard(world)
    asked = [{"action": "notification/subscribe"}, {"action": "command/subscribe", "since": 0}, INSERT, COMMAND]
    await wire.write(b"".join(message(**members) for members in [*asked, *asked, INSERT, COMMAND]))
    return wire


async def with_pushes_unread(world, wires):
    wire = await wires.dashboard(world, receive_bytes=4_096)
    await wire.write(message(action="notification/subscribe") + message(**INSERT, padding="x" * 5_000) * 30)
    return wire


@pytest.mark.parametrize("turns", [0, 1, 3, 10, 40])
@pytest.mark.parametrize(
    "begin",
    [
        in_the_middle_of_a_handshake,
        in_the_middle_of_a_login,
        in_the_middle_of_a_frame,
        in_the_middle_of_a_message,
        in_the_middle_of_everything,
        with_pushes_unread,
    ],
)
async def test_who_vanishes_leaves_nothing_behind(world, wires, begin, turns, caplog):
    """At whatever moment: no connection, no subscription, no listener, no task, no word in the log."""
    before = len(asyncio.all_tasks())
    wire = await begin(world, wires)
    for _ in range(turns):
        await asyncio.sleep(0)

    wire.abort()

    await left_clean(world)

    async def as_before():
        return len(asyncio.all_tasks()) <= before

    await until(as_before)
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


async def test_what_was_asked_by_one_who_vanished_is_done_all_the_same(world, wires):
    """An insert that the hub has taken is stored and pushed, though nobody is left to be answered."""
    other, wire = await wires.dashboard(world), await wires.dashboard(world)
    await other.succeed("notification/subscribe")
    await wire.succeed("server/info")
    await wire.write(message(**INSERT))
    wire.close()

    assert (await other.members())["action"] == "notification/insert"
    assert len(world.hub.gateway) == 1


@pytest.mark.slow
async def test_two_thousand_comings_and_goings_leave_nothing_behind(start, caplog):
    """However they end, nothing of them is left, and no object for each of them."""
    world = await start(close_wait_s=0.2, handshake_s=1.0, ping_interval_s=0.5, ping_timeout_s=WAIT_S)
    bearer = ("Authorization", f"Bearer {world.secrets['dashboard']}")
    asked = message(action="notification/subscribe") + message(action="command/subscribe") + message(**INSERT)

    async def come_and_go(number):
        wire = await Wire.open(world.hub.port, "/websocket/client", bearer)
        if number % 2:
            await wire.write(asked)
        if number % 3 == 0:
            await wire.write(frame(CLOSE, b"\x03\xe8"))
            await wire.ended()
        elif number % 3 == 1:
            await wire.write(frame(PING)[:1])
            wire.close()
            return
        wire.abort()

    async def thousand(first):
        for begin in range(first, first + 1_000, 20):
            await asyncio.gather(*(come_and_go(number) for number in range(begin, begin + 20)))
        await left_clean(world)

        async def forgotten():
            gc.collect()
            return sum(type(one) is Socket and one._edge is world.hub.edge for one in gc.get_objects()) < 50

        await until(forgotten)

    await thousand(0)
    await thousand(1_000)

    assert world.hub.edge.counters.accepted == 2_000
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


# --- the hub ----------------------------------------------------------------------------------------------------------


async def test_a_hub_that_stops_says_so_to_everybody(world, wires):
    """Every socket gets 1012; in extended mode it is told first, and when to come back."""
    plain, extended, stranger = (
        await wires.dashboard(world),
        await wires.dashboard(world, EXTENDED),
        await wires.open(world, "/websocket/device"),
    )

    await world.hub.stop()

    announced = await extended.members()
    assert (announced["action"], announced["code"]) == ("connection/closing", 1012)
    assert announced["reconnectAfter"] >= 0
    for wire in (plain, extended, stranger):
        assert (await wire.frame()).code() == 1012


async def test_what_was_acknowledged_before_the_end_is_in_the_log(world, wires):
    """Each insert that was answered, also in the last moment, is there after the restart; none is there twice."""
    wire = await wires.dashboard(world)
    await wire.write(message(**INSERT) * 300)
    answered = [(await wire.members())["notification"]["id"] for _ in range(20)]

    await world.hub.stop()
    try:
        while (one := await wire.frame()).opcode == TEXT:
            answered.append(one.members()["notification"]["id"])
    except (ConnectionResetError, EOFError):
        pass

    stored = await logged(world.settings)
    assert len(stored) == len(set(stored))
    assert set(answered) <= set(stored)


async def test_a_hub_that_drains_is_not_ready(start, wires, monkeypatch):
    """While the last sockets are closed it answers 503, to the question and to a handshake; it is alive, though."""
    monkeypatch.setattr(server, "SMALL_BATCH", 1)
    world = await start(drain_s=2.0)
    for _ in range(4):
        await wires.dashboard(world)
    probe, late = await wires.connect(world), await wires.connect(world)
    for wire in (probe, late):
        await wire.write(request("/readyz", [("Host", "hub")]))
        assert (await wire.response()).status == 200

    stopping = asyncio.create_task(world.hub.stop())

    async def draining():
        return world.hub.edge.draining

    await until(draining)
    await probe.write(request("/readyz", [("Host", "hub")]) + request("/livez", [("Host", "hub")]))
    ready, alive = await probe.response(), await probe.response()
    await late.write(upgrade())
    refused = await late.response()
    await stopping
    assert (ready.status, ready.json()["checks"]["accepting"], alive.status) == (503, False, 200)
    assert refused.status == 503
    assert 1 <= int(refused.headers["retry-after"]) <= 30


async def test_who_is_at_the_door_when_a_hub_ends_is_let_in(world, wires):
    """A connection that was accepted a moment before is answered, not cut off."""
    late = await wires.connect(world)

    async def accepted():
        return world.hub._server.server_state.connections

    await until(accepted)
    stopping = asyncio.create_task(world.hub.stop())
    await asyncio.sleep(0)
    await late.write(request("/livez", [("Host", "hub")]))

    assert (await late.response()).status == 200
    await stopping


@pytest.mark.slow
async def test_no_more_than_a_fifth_is_closed_in_a_second(start, wires, monkeypatch):
    """The drain is spread out: the sockets do not all come back at once, and those that wait are served meanwhile."""
    monkeypatch.setattr(server, "SMALL_BATCH", 1)
    world = await start(drain_s=30.0)
    every = [await wires.dashboard(world) for _ in range(25)]
    loop = asyncio.get_running_loop()
    stopping = asyncio.create_task(world.hub.stop())
    ends = []

    async def watch(wire):
        assert await wire.closed() == 1012
        ends.append(loop.time())

    await asyncio.gather(*(watch(wire) for wire in every), stopping)

    assert max(sum(1 for end in ends if at <= end < at + 0.9) for at in ends) <= 25 / 5 + 1


async def test_a_slow_reader_does_not_hold_up_the_end(start, wires, monkeypatch):
    """Who does not read its goodbye is left behind."""
    monkeypatch.setattr(server, "GOODBYES_S", 0.05)
    world = await start(close_wait_s=0.2)
    device, slow = await wires.device(world), await wires.dashboard(world, receive_bytes=4_096)
    await slow.succeed("notification/subscribe")
    for _ in range(30):
        await device.send(**INSERT | {"notification": {"notification": "n", "parameters": "x" * 30_000}})
        await device.members()

    async with asyncio.timeout(WAIT_S):
        await world.hub.stop()


async def test_a_hub_that_stops_cuts_off_whoever_does_not_answer(world, wires, monkeypatch):
    """A peer that keeps silent, and one whose handshake is under way: both are gone when the hub has stopped."""
    monkeypatch.setattr(server, "GOODBYES_S", 0.05)
    never = asyncio.Event()

    async def by_key(*_):
        await never.wait()

    silent = await wires.dashboard(world)
    monkeypatch.setattr(world.hub.gateway.logins, "by_key", by_key)
    early = await wires.connect(world)
    await early.write(upgrade("/websocket/client", ("Authorization", "Bearer x")))

    async def both():
        return len(world.hub.edge.sockets) == 2

    await until(both)
    await world.hub.stop()

    assert not world.hub.edge.sockets
    assert await silent.closed() == 1012
    assert await early.ended() == b""
    never.set()


@pytest.mark.slow
async def test_a_process_ends_in_good_order(tmp_path):
    """SIGTERM: every socket gets 1012, the exit code is 0, and all that was acknowledged is in the log."""
    settings = settings_for(tmp_path)
    async with opened(settings) as store:
        secrets = await store.transact(lambda tx: fill(tx, WORLD))
    process = HubProcess(tmp_path, HUB_PEPPER=PEPPER, HUB_DRAIN_S="0.4")
    await process.start()
    bearer = ("Authorization", f"Bearer {secrets['dashboard']}")
    busy = await Wire.open(process.port, "/websocket/client", bearer)
    idle = await Wire.open(process.port, "/websocket/client", bearer, EXTENDED)
    await busy.write(message(**COMMAND) * 200)
    answered = [(await busy.members())["command"]["id"] for _ in range(20)]

    stopping = asyncio.create_task(process.stop())
    assert (await idle.members())["action"] == "connection/closing"
    assert (await idle.frame()).code() == 1012
    while (one := await busy.frame()).opcode == TEXT:
        answered.append(one.members()["command"]["id"])
    busy.close()
    idle.close()

    assert one.code() == 1012
    assert await stopping == 0
    assert "Traceback" not in process.log
    assert set(answered) <= set(await logged(settings, Kind.COMMAND))
