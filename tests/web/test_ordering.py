"""Order on one connection: requests are answered as they came, and before what they cause."""

import asyncio

import pytest

from tests.edge_client import basic, message, upgrade
from tests.waiting import until


def inserting(number, **members):
    return message(
        action="notification/insert",
        requestId=number,
        deviceGuid="lamp",
        notification={"notification": "watts", "parameters": number},
        **members,
    )


class Gate:
    """Holds a store's writes back while it is closed, and counts them."""

    def __init__(self, store, monkeypatch):
        self.seen = 0
        self._write = store.write
        self._open = asyncio.Event()
        self._open.set()
        monkeypatch.setattr(store, "write", self.write)

    async def write(self, batch):
        self.seen += len(batch)
        await self._open.wait()
        return await self._write(batch)

    def close(self):
        self.seen = 0
        self._open.clear()

    def open(self):
        self._open.set()


@pytest.fixture
def gate(world, monkeypatch):
    """The gate of this test's hub; it is open at the end, or the hub could not stop."""
    gate = Gate(world.hub.store, monkeypatch)
    yield gate
    gate.open()


async def test_a_pipeline_is_answered_in_its_order(world, wires):
    """Authenticate with a password, subscribe and fifty inserts in one go: as if each had waited for the one before."""
    wire = await wires.open(world)
    await wire.write(
        message(action="authenticate", requestId="login", login="admin", password="admin-pw")
        + message(action="notification/subscribe", requestId="subscribe")
        + b"".join(inserting(number) for number in range(50))
        + message(action="server/info", requestId="info")
    )

    answers, pushes, early = [], [], []
    while len(answers) < 53 or len(pushes) < 50:
        members = await wire.members()
        if "requestId" in members:
            assert members["status"] == "success"
            answers.append(members["requestId"])
            continue
        pushes.append(members["notification"]["parameters"])
        if pushes[-1] not in answers:
            early.append(pushes[-1])

    assert answers == ["login", "subscribe", *range(50), "info"]
    assert pushes == list(range(50))
    assert not early


async def test_an_update_comes_behind_the_answer_that_caused_it(world, wires):
    """Who inserts a command and updates it itself reads the response first, then the push."""
    wire = await wires.dashboard(world)
    command = {"command": "on"}

    for _ in range(20):
        inserted = await wire.succeed("command/insert", deviceGuid="lamp", command=command)
        given = {"deviceGuid": "lamp", "commandId": inserted["command"]["id"], "command": {"status": "done"}}
        await wire.send(action="command/update", requestId="update", **given)
        first, second = await wire.members(), await wire.members()
        assert first["requestId"] == "update"
        assert (second["action"], "requestId" in second) == ("command/update", False)


async def test_a_device_s_instant_update_comes_behind_the_insert_s_answer(world, wires):
    """However fast the device is, the inserter knows the command's id before its update arrives."""
    client, device = await wires.dashboard(world), await wires.device(world)
    await device.succeed("command/subscribe")

    async def answer_everything():
        while True:
            if (push := await device.members())["action"] == "command/insert":
                command = {"status": "done", "result": push["command"]["id"]}
                await device.send(action="command/update", commandId=push["command"]["id"], command=command)

    answering = asyncio.create_task(answer_everything())
    for _ in range(20):
        inserted = await client.succeed("command/insert", deviceGuid="lamp", command={"command": "on"})
        assert (await client.members())["command"]["result"] == inserted["command"]["id"]
    answering.cancel()


async def test_a_slow_password_reorders_nothing(world, wires):
    """Three log-ins, right and wrong, with requests between them: each request sees what came before it."""
    wire = await wires.open(world)
    insert = {"deviceGuid": "lamp", "notification": {"notification": "watts"}}
    await wire.write(
        message(action="notification/insert", requestId=0, **insert)
        + message(action="authenticate", requestId=1, login="admin", password="wrong")
        + message(action="notification/insert", requestId=2, **insert)
        + message(action="authenticate", requestId=3, login="admin", password="admin-pw")
        + message(action="notification/insert", requestId=4, **insert)
        + message(action="authenticate", requestId=5, login="admin", password="wrong")
        + message(action="notification/insert", requestId=6, **insert)
    )

    answers = [await wire.members() for _ in range(7)]

    assert [answer["requestId"] for answer in answers] == list(range(7))
    assert [answer["status"] == "success" for answer in answers] == [False, False, False, True, True, False, True]


async def test_a_password_in_the_handshake_reorders_nothing(world, wires):
    """What came behind the handshake waits for it."""
    wire = await wires.connect(world)
    head = upgrade("/websocket/client", basic("admin", "admin-pw"))
    await wire.write(head + b"".join(inserting(number) for number in range(30)))

    assert (await wire.response()).status == 101
    answers = [await wire.members() for _ in range(30)]
    assert [(answer["requestId"], answer["status"]) for answer in answers] == [(n, "success") for n in range(30)]


async def test_sixteen_requests_wait_for_their_commit_and_no_more(world, wires, gate):
    """Beyond that the hub stops reading that connection, goes on with the others, and resumes when the log does."""
    wire, other = await wires.dashboard(world), await wires.dashboard(world)
    await wire.write(inserting("first"))  # From now on the hub has the device in its cache.
    assert (await wire.members())["status"] == "success"
    gate.close()

    await wire.write(b"".join(inserting(number) for number in range(100)))

    async def under_way():
        return gate.seen + len(world.hub.gateway.commits) >= 16

    await until(under_way)
    for _ in range(5):
        assert (await other.ask("server/info"))["status"] == "success"
    connections = {len(one._open) for one in world.hub.gateway.connections}
    gate.open()
    answers = [await wire.members() for _ in range(100)]

    assert connections == {0, 16}
    assert [answer["requestId"] for answer in answers] == list(range(100))


async def test_what_waits_for_all_before_it_holds_back_all_behind_it(world, wires, gate):
    """An unsubscribe between inserts takes effect between them, however long the log takes."""
    wire = await wires.dashboard(world)
    subscription = (await wire.succeed("notification/subscribe"))["subscriptionId"]
    await wire.write(inserting(0))  # From now on the hub has the device in its cache.
    assert [(await wire.members())["action"] for _ in range(2)] == ["notification/insert"] * 2
    gate.close()
    await wire.write(
        inserting(1)
        + inserting(2)
        + message(action="notification/unsubscribe", requestId="stop", subscriptionId=subscription)
        + inserting(3)
        + message(action="server/info", requestId="last")
    )

    async def under_way():
        return gate.seen + len(world.hub.gateway.commits) >= 2

    await until(under_way)
    gate.open()
    found = []
    while not found or found[-1].get("requestId") != "last":
        found.append(await wire.members())

    assert [members["requestId"] for members in found if "requestId" in members] == [1, 2, "stop", 3, "last"]
    behind = found[[members.get("requestId") for members in found].index("stop") :]
    assert all("requestId" in members for members in behind)


async def test_requests_that_cannot_be_stored_are_answered_in_their_order_too(world, wires, monkeypatch):
    """A log that fails makes errors of the requests concerned, and of none behind them."""
    wire = await wires.dashboard(world)
    store, fails = world.hub.store, [True]
    write = store.write

    async def failing(batch):
        if fails and fails.pop():
            raise OSError("the disk is on fire")
        return await write(batch)

    monkeypatch.setattr(store, "write", failing)
    await wire.write(inserting(0))
    answers = [await wire.members()]
    await wire.write(b"".join(inserting(number) for number in range(1, 40)))
    answers += [await wire.members() for _ in range(39)]

    assert [answer["requestId"] for answer in answers] == list(range(40))
    assert answers[0]["code"] == 503
    assert {answer["status"] for answer in answers[1:]} == {"success"}


@pytest.mark.parametrize("count", [1, 7])
async def test_many_connections_are_answered_each_in_its_own_order(world, wires, count):
    """Batches of the log mix connections, never their answers."""
    every = [await wires.dashboard(world) for _ in range(8)]
    for wire in every:
        await wire.write(b"".join(inserting(number) for number in range(20 * count)))

    for wire in every:
        answers = [await wire.members() for _ in range(20 * count)]
        assert [answer["requestId"] for answer in answers] == list(range(20 * count))
