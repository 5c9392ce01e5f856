"""Whatever happens to a command, in whatever order, by way of a real hub: no state is shown that did not happen, none
is taken back, and what is cancelled or expired is not pushed."""

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.gateway.inside import Clock, take_clock
from tests.websocket.conftest import World
from tests.websocket.peer import Frame, Peer

LIFETIME_S = 10
ORDER = ["queued", "sent", "received", "done", "expired", "cancelled"]
ENDS = ("expired", "cancelled")
JSON_MODE = {"subprotocols": ["hub.1.json"]}

happenings = st.lists(
    st.one_of(
        st.sampled_from(["insert", "insert mortal", "come", "come for new ones", "go", "look"]),
        st.tuples(st.sampled_from(["receive", "note", "finish", "cancel"]), st.integers(0, 3)),
        st.tuples(st.just("wait"), st.sampled_from([4, LIFETIME_S + 1])),
    ),
    min_size=3,
    max_size=12,
)
beginnings = st.sampled_from([[], ["insert mortal"], ["come", "insert mortal"], ["come", "insert mortal", "look"]])


class Chronicle:
    """A device, a dashboard, and what has happened between them, by what each was told."""

    def __init__(self, home: World, clock: Clock, admin: Peer) -> None:
        self.home, self.clock, self.admin = home, clock, admin
        self.lamp: Peer | None = None
        self.ids: list[int] = []
        self.ends_us: dict[int, int] = {}
        self.said: dict[int, set[str]] = {}
        self.shown: dict[int, list[str]] = {}
        self.pushed: set[int] = set()
        self.unread: set[int] = set()

    async def insert(self, lifetime_s: int | None) -> None:
        command = {"command": "on", "lifetime": lifetime_s}
        answer = await self.admin.succeed("command/insert", deviceGuid="lamp", command=command)
        number = answer["command"]["id"]
        self.ids.append(number)
        self.said[number], self.shown[number] = set(), ["queued"]
        if lifetime_s is not None:
            self.ends_us[number] = self.clock.now_us + lifetime_s * 1_000_000

    async def come(self, **cursor: Any) -> None:
        await self.go()
        self.lamp = await self.home.device("lamp", "lamp-key")
        await self.lamp.succeed("command/subscribe", **cursor)

    async def go(self) -> None:
        await self.hear()
        if self.lamp is not None:
            await self.lamp.close()
            # What a replay was writing at that moment nobody has read; but it was written.
            self.unread.update(self.ids)
        self.lamp = None

    async def tell(self, what: str, number: int) -> None:
        """The device, or somebody for it, says something; or the dashboard takes it back."""
        named = {"deviceGuid": "lamp", "commandId": number}
        if what == "cancel":
            answer = await self.admin.ask("command/cancel", **named)
            if answer["status"] == "success":
                self.said[number].add("cancelled")
            return
        device = self.lamp or await self.home.device("lamp", "lamp-key")
        self.said[number].add("late" if self.is_over(number) else "received")
        if what == "receive":
            self.show(number, (await device.succeed("command/receive", **named))["command"]["state"])
        else:
            patch = {"status": "ok"} if what == "finish" else {"parameters": 1}
            self.said[number].add("done" if what == "finish" else "noted")
            await device.succeed("command/update", **named, command=patch)

    def is_over(self, number: int) -> bool:
        return self.clock.now_us >= self.ends_us.get(number, self.clock.now_us + 1)

    async def look(self) -> None:
        for number in self.ids:
            asked = {"deviceGuid": "lamp", "commandId": number}
            self.show(number, (await self.admin.succeed("command/get", **asked))["command"]["state"])
        await self.hear()

    def show(self, number: int, state: str) -> None:
        """A state is shown: it has happened, and nothing that was shown before forbids it."""
        said, before = self.said[number], self.shown[number]
        before.append(state)
        assert state in ("queued", "sent", "expired") or state in said, (state, said)
        assert state != "expired" or (self.is_over(number) and not said & {"received", "cancelled"}), (before, said)
        assert not {"received", "done"} & {*before} or not {*ENDS} & {*before}, before

    async def hear(self) -> None:
        """Everything that is on its way to either."""
        for push in await self.lamp.pushes() if self.lamp is not None else []:
            self.push(push)
        for push in await self.admin.pushes():
            if push["action"] == "command/update":
                self.show(push["command"]["id"], push["command"]["state"])

    def push(self, push: Frame) -> None:
        number = push["command"]["id"]
        self.pushed.add(number)

    def check(self) -> None:
        for number, states in self.shown.items():
            assert "sent" not in states or number in self.pushed | self.unread, states
            asked = [state for state in states if state != "queued"]
            assert not asked or "queued" not in states[states.index(asked[0]) :], states


async def happen(chronicle: Chronicle, what: Any) -> None:
    match what:
        case "insert" | "insert mortal":
            await chronicle.insert(LIFETIME_S if what == "insert mortal" else None)
        case "come":
            await chronicle.hear()
            gone = {one for one in chronicle.ids if "cancelled" in chronicle.said[one] or chronicle.is_over(one)}
            before = set(chronicle.pushed)
            await chronicle.come(since=0)
            await chronicle.hear()
            assert not (chronicle.pushed - before) & gone
        case "come for new ones":
            await chronicle.come()
        case "go":
            await chronicle.go()
        case "look":
            await chronicle.look()
        case "wait", seconds:
            await chronicle.hear()
            chronicle.clock.forward(seconds)
        case told, index if chronicle.ids:
            await chronicle.tell(told, chronicle.ids[index % len(chronicle.ids)])


@pytest.mark.slow
@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=40)
@given(beginnings, happenings)
@example(["come", "insert mortal", "look"], [("wait", LIFETIME_S + 1), ("receive", 0), ("finish", 0)])
@example(["insert mortal"], [("wait", LIFETIME_S + 1), ("cancel", 0), "come", ("note", 0)])
@example(["insert", "insert mortal"], [("cancel", 0), "come", ("finish", 0), ("finish", 1), "look", ("cancel", 1)])
async def test_no_path_shows_a_state_that_did_not_happen(home, begun, taken):
    """Inserted, sent live or by replay, received, answered, cancelled, expired, looked at: in any order."""
    gateway = home.hub.gateway
    clock = gateway.now_us if isinstance(gateway.now_us, Clock) else take_clock(gateway)
    clock.forward(1_000_000)  # What the example before has left is over, or too old to matter.
    chronicle = Chronicle(home, clock, await home.user("admin", **JSON_MODE))
    left = await gateway.store.transact(lambda tx: tx.delete_messages([tx.device("lamp").id], limit=100_000))

    for what in [*begun, *taken]:
        await happen(chronicle, what)
    await chronicle.look()
    await chronicle.go()

    assert left >= 0
    chronicle.check()
    await chronicle.admin.close()
