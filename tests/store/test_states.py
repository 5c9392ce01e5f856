"""States of commands in the log: it moves them by the rules of hub.core.states, and what is over is not pending."""

from dataclasses import replace

import pytest

from hub.core.states import CANCEL, EXPIRE, FINISH, RECEIVE, SEND
from hub.store import Advance, Amend, LogQuery, Step, Stepped
from protocol.messages import CommandPatch
from protocol.names import CommandState, Kind
from tests.store.world import add_device, append, command

MOVES = {"send": SEND, "receive": RECEIVE, "finish": FINISH, "cancel": CANCEL, "expire": EXPIRE}

IN_TIME, LATE = 1_000, 3_000


async def a_command_in_each_state(store, lamp):
    """Of each state one that ends after two seconds, and one that never ends."""
    found = [
        command(lamp, lifetime_s=lifetime_s, timestamp_ms=0, state=state)
        for state in CommandState
        for lifetime_s in (2, None)
    ]
    await append(store, found)
    return found


@pytest.mark.parametrize("at_ms", [0, IN_TIME, LATE])
@pytest.mark.parametrize("event", MOVES)
async def test_a_step_moves_a_state_as_the_rules_say(store, event, at_ms):
    """From each state, in time and late; at time 0 lifetimes do not count."""
    lamp = await add_device(store)
    before = await a_command_in_each_state(store, lamp)

    [outcome] = await store.write(
        [Advance([Step(lamp.id, "lamp", one.id, one.id + 5) for one in before], MOVES[event], at_ms)]
    )

    expected = [
        replace(one, state=MOVES[event].after(one.state, late=at_ms == LATE and one.lifetime_s is not None))
        for one in before
    ]
    assert outcome == [
        Stepped(after, after.state is not one.state) for one, after in zip(before, expected, strict=True)
    ]
    assert [await store.command(lamp.id, one.id) for one in before] == expected
    moved = [after.id for one, after in zip(before, expected, strict=True) if after.state is not one.state]
    assert [update.command.id for update in (await store.read_updates(after=0)).updates] == moved


@pytest.mark.parametrize("at_ms", [0, IN_TIME, LATE])
@pytest.mark.parametrize("event", MOVES)
async def test_an_update_moves_a_state_by_the_same_rules(store, event, at_ms):
    """In the statement that stores it; what ended in time counts as of before the update, which may prolong it."""
    lamp = await add_device(store)
    before = await a_command_in_each_state(store, lamp)
    patch = CommandPatch({"status": "ok", "lifetime_s": 60})

    outcome = await store.write([Amend(lamp.id, "lamp", one.id, patch, 0, MOVES[event], at_ms) for one in before])

    assert [one.state for one in outcome] == [
        MOVES[event].after(one.state, late=at_ms == LATE and one.lifetime_s is not None) for one in before
    ]
    assert {(one.status, one.lifetime_s, one.updated) for one in outcome} == {("ok", 60, True)}


async def test_who_is_not_there_is_not_moved(store):
    """A command that is not there, or another device's, has no outcome; the others have theirs."""
    lamp, fan = await add_device(store), await add_device(store, "fan")
    ours, theirs = command(lamp), command(fan)
    await append(store, [ours, theirs])

    [outcome] = await store.write(
        [Advance([Step(lamp.id, "lamp", number) for number in (theirs.id, ours.id, 7)], CANCEL)]
    )

    assert outcome == [None, Stepped(replace(ours, state=CommandState.CANCELLED), True), None]
    assert (await store.command(fan.id, theirs.id)) == theirs


@pytest.mark.parametrize("at_ms", [0, LATE])
async def test_what_is_cancelled_is_not_pending(store, at_ms):
    """No replay has it and no limit counts it, whether lifetimes count or not; whoever names it still sees it whole."""
    lamp = await add_device(store)
    one, other = command(lamp, lifetime_s=60), command(lamp)
    kept = command(lamp)
    await append(store, [one, other, kept])

    await store.write([Advance([Step(lamp.id, "lamp", each.id) for each in (one, other)], CANCEL, at_ms)])

    page = await store.read(LogQuery(Kind.COMMAND, pending_at_ms=at_ms))
    assert [logged.message for logged in page.messages] == [kept]
    assert (await store.open_commands([lamp.id], at_ms=at_ms, most=10))[lamp.id].number == 1
    assert (await store.command(lamp.id, one.id)).lifetime_s == 60
    everything = await store.read(LogQuery(Kind.COMMAND))
    assert [logged.message.state for logged in everything.messages] == [CommandState.CANCELLED] * 2 + [
        CommandState.QUEUED
    ]


async def test_steps_and_updates_of_a_batch_are_taken_in_their_order(store):
    """What comes first in a batch is what the next one finds."""
    lamp = await add_device(store)
    asked = command(lamp)
    await append(store, [asked])
    steps = [Step(lamp.id, "lamp", asked.id)]

    sent, updated, cancelled = await store.write(
        [
            Advance(steps, SEND),
            Amend(lamp.id, "lamp", asked.id, CommandPatch({}), moves=RECEIVE),
            Advance(steps, CANCEL),
        ]
    )

    assert (sent[0].command.state, updated.state) == (CommandState.SENT, CommandState.RECEIVED)
    assert cancelled == [Stepped(updated, False)]
