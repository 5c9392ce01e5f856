"""States of commands: whatever happens in whatever order, none is shown that did not happen."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hub.core.states import CANCEL, EXPIRE, FINISH, RECEIVE, SEND, is_unsettled, of_update, state_of
from protocol.messages import NULL, STAYS, CommandPatch
from protocol.names import CommandState
from tests.builders import command

Q, S, R, D, E, C = CommandState


class Life(RuleBasedStateMachine):
    """One command with a lifetime, everything that can happen to it, and a chronicle of what has."""

    LIFETIME = 10

    def __init__(self):
        super().__init__()
        self.state, self.now = Q, 0
        self.happened: list[tuple[CommandState, int]] = []
        self.shown: list[CommandState] = [Q]

    @property
    def late(self):
        return self.now >= self.LIFETIME

    def move(self, moves):
        self.state = moves.after(self.state, late=self.late)
        self.shown.append(self.state)

    @rule(passes=st.sampled_from([4, 10]))
    def time_passes(self, passes):
        self.now += passes

    @rule()
    def it_is_sent(self):
        self.happened.append((S, self.now))
        self.move(SEND)

    @rule()
    def the_device_has_it(self):
        self.happened.append((R, self.now))
        self.move(RECEIVE)

    @rule()
    def the_device_has_done_it(self):
        self.happened.append((D, self.now))
        self.move(FINISH)

    @rule()
    def somebody_takes_it_back(self):
        self.happened.append((C, self.now))
        self.move(CANCEL)

    @precondition(lambda self: is_unsettled(replace(COMMAND, state=self.state), self.now * 1_000))
    @rule()
    def somebody_asks_when_its_time_is_over(self):
        self.move(EXPIRE)

    @invariant()
    def only_what_happened_is_shown(self):
        when = {state: min([at for one, at in self.happened if one is state], default=None) for state in CommandState}
        received = min([at for one, at in self.happened if one in (R, D)], default=None)
        in_time = received is not None and received < self.LIFETIME
        if self.state in (S, R, D, C):
            assert when[self.state] is not None
        if self.state in (R, D):
            assert in_time
        if self.state is C:
            assert when[C] < self.LIFETIME
            assert received is None or received >= when[C]
        if self.state is E:
            assert self.late
            assert not in_time or when[C] is not None

    @invariant()
    def it_never_goes_back(self):
        path = list(dict.fromkeys(self.shown))
        assert path == sorted(path)
        assert len({E, C} & set(path)) <= 1
        assert not ({E, C} & set(path) and {R, D} & set(path))

    @classmethod
    def steps(cls):
        """All that can happen, as calls on a life."""
        yield lambda life: life.time_passes(passes=cls.LIFETIME)
        yield cls.it_is_sent
        yield cls.the_device_has_it
        yield cls.the_device_has_done_it
        yield cls.somebody_takes_it_back
        yield lambda life: life.late and life.move(EXPIRE)


COMMAND = command(lifetime_s=Life.LIFETIME, timestamp_ms=0)

TestLife = Life.TestCase
TestLife.settings = settings(max_examples=300, stateful_step_count=20)


def test_no_short_path_shows_what_did_not_happen():
    """Every path of five steps, looked at after each."""
    for path in product(Life.steps(), repeat=5):
        life = Life()
        for step in path:
            step(life)
            life.only_what_happened_is_shown()
            life.it_never_goes_back()


@pytest.mark.parametrize("moves", [SEND, RECEIVE, FINISH, CANCEL, EXPIRE, STAYS], ids=str)
@pytest.mark.parametrize("late", [False, True])
def test_what_has_ended_stays_as_it_is(moves, late):
    """Nothing takes back that a command is done, has expired or was cancelled."""
    assert [moves.after(state, late=late) for state in (D, E, C)] == [D, E, C]


@pytest.mark.parametrize(
    ("members", "moves"),
    [
        ({}, RECEIVE),
        ({"status": None, "result": NULL}, RECEIVE),
        ({"parameters": b"1", "lifetime_s": 5}, RECEIVE),
        ({"status": "ok"}, FINISH),
        ({"status": ""}, FINISH),
        ({"result": b"1"}, FINISH),
    ],
    ids=str,
)
def test_an_update_with_a_word_finishes(members, moves):
    """Any other update says that the device has it."""
    assert of_update(CommandPatch(members)) is moves


@pytest.mark.parametrize(
    ("state", "lifetime_s", "now_ms", "unsettled"),
    [
        (Q, 1, 999, False),
        (Q, 1, 1_000, True),
        (S, 1, 1_000, True),
        (R, 1, 1_000, False),
        (E, 1, 1_000, False),
        (Q, None, 1_000, False),
        (Q, 1, None, False),
    ],
)
def test_what_has_run_out_unnoticed_is_not_settled(state, lifetime_s, now_ms, unsettled):
    """Unless it was received, or lifetimes do not count."""
    assert is_unsettled(command(timestamp_ms=0, lifetime_s=lifetime_s, state=state), now_ms) == unsettled


def test_a_command_from_elsewhere_has_the_state_that_is_named_or_proven():
    """Where no state was kept, its update tells."""
    assert state_of("cancelled", command()) is C
    assert state_of(None, command(status="given with the insert")) is Q
    assert state_of(None, command(updated=True)) is R
    assert state_of(None, command(updated=True, status="ok")) is D
    assert state_of(None, command(updated=True, result=1)) is D


def test_each_state_has_a_word():
    """As the wire has it."""
    assert [state.word for state in CommandState] == ["queued", "sent", "received", "done", "expired", "cancelled"]
