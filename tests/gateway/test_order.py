"""Order across workers: what follows from commits waits for the bus, in order, and not for long."""

import asyncio
from collections import deque
from collections.abc import Callable

import pytest

from hub.core.subscription import Published
from hub.core.traced import TracedPublished
from hub.gateway.calls import Commit
from hub.gateway.order import Order
from tests.builders import command, notification
from tests.waiting import until

FOREVER_S = 3_600.0
BRIEFLY_S = 0.02


class SlowBus:
    """A bus whose fences pass when a test says so."""

    def __init__(self) -> None:
        self.is_up = True
        self.fences: deque[Callable[[], None]] = deque()

    def fence(self, passed: Callable[[], None]) -> None:
        self.fences.append(passed)

    def answer(self) -> None:
        """All fences that are out pass."""
        for _ in range(len(self.fences)):
            self.fences.popleft()()


class Ledger:
    """What was let go, in order: ids of messages and of updated commands, and outcomes of commits."""

    def __init__(self, *, within_s: float = FOREVER_S, **options) -> None:
        self.seen: list[object] = []
        self.bus = SlowBus()
        self.are_together = True
        self.order = Order(
            self.bus,
            self,
            within_s=within_s,
            together=lambda: self.are_together,
            released=lambda: None,
            **options,
        )

    def publish(self, one: Published) -> None:
        self.seen.append(one.message.id)

    def update(self, one) -> None:
        self.seen.append(("update", one.id))

    def commit(self, number: int, **members) -> None:
        """A message is committed, and somebody waits for it."""
        self.order.publish(Published(notification(id=number, **members)))
        self.wait_for(number)

    def wait_for(self, number: int) -> None:
        commit = Commit()
        commit.add_done_callback(lambda commit: self.seen.append(("answer", commit.outcome)))
        self.order.finish(commit, number)

    def turn(self, *numbers: int) -> None:
        for number in numbers:
            self.commit(number)
        self.order.end_turn()


@pytest.fixture
def ledger():
    """An order that would wait for ever."""
    return Ledger()


async def test_a_turn_waits_for_its_fence(ledger):
    """Neither sockets nor whoever waits hear of a message before the bus has taken it; then in the order of commits."""
    ledger.turn(1, 2)
    assert (ledger.seen, len(ledger.order)) == ([], 4)

    ledger.bus.answer()

    assert ledger.seen == [1, ("answer", 1), 2, ("answer", 2)]
    assert len(ledger.order) == 0


async def test_turns_follow_each_other(ledger):
    """One fence lets one turn go: the oldest."""
    ledger.turn(1)
    ledger.turn(2)

    ledger.bus.fences.popleft()()

    assert ledger.seen == [1, ("answer", 1)]


async def test_an_answer_does_not_overtake(ledger):
    """What waits for a commit that tells nobody anything needs no fence, but comes behind what was committed before."""
    ledger.wait_for(1)
    ledger.turn(2)
    ledger.wait_for(3)
    ledger.order.end_turn()

    assert (ledger.seen, len(ledger.bus.fences)) == ([("answer", 1)], 1)
    ledger.bus.answer()
    assert ledger.seen == [("answer", 1), 2, ("answer", 2), ("answer", 3)]


async def test_updates_keep_their_place(ledger):
    """Those that are committed here wait; one that is heard comes after the answer to the insert of its command."""
    ledger.order.updated_elsewhere(command(id=1))
    ledger.turn(2)
    ledger.order.updated_elsewhere(command(id=2))
    ledger.order.update(command(id=3))
    ledger.order.end_turn()
    assert ledger.seen == [("update", 1)]

    ledger.bus.answer()

    assert ledger.seen[1:] == [2, ("answer", 2), ("update", 2), ("update", 3)]


async def test_a_followed_message_keeps_its_place_too(ledger):
    """It is of a class of its own."""
    traced = TracedPublished(notification(id=1), None, (), traceparent="00-1-2-01")
    ledger.order.publish(traced)
    ledger.order.update(command(id=9))
    ledger.order.end_turn()

    ledger.bus.answer()

    assert ledger.seen == [1, ("update", 9)]


async def test_whoever_is_alone_waits_for_nothing(ledger):
    """No other worker, no bus, or no time to wait: everything goes at once."""
    ledger.are_together = False
    ledger.turn(1)
    ledger.are_together, ledger.bus.is_up = True, False
    ledger.turn(2)
    ledger.order.update(command(id=3))
    at_once = Ledger(within_s=0)
    at_once.turn(1)

    assert ledger.seen == [1, ("answer", 1), 2, ("answer", 2), ("update", 3)]
    assert at_once.seen == [1, ("answer", 1)]
    assert not ledger.bus.fences
    assert not at_once.bus.fences


async def test_a_turn_whose_bus_is_lost_goes_at_once(ledger):
    """Also when it was lost in the middle of it."""
    ledger.commit(1)
    ledger.bus.is_up = False
    ledger.order.end_turn()

    assert ledger.seen == [1, ("answer", 1)]


async def test_whoever_fails_ends_alone(ledger):
    """The others of the turn go on."""
    commit = Commit()
    commit.add_done_callback(lambda _: 1 / 0)
    ledger.order.publish(Published(notification(id=1)))
    ledger.order.finish(commit, None)
    ledger.turn(2)

    ledger.bus.answer()

    assert ledger.seen == [1, 2, ("answer", 2)]


async def test_a_bus_that_does_not_answer_is_waited_for_once():
    """Everything goes, in order, and what comes then does not wait; each message once, also when the bus answers."""
    ledger = Ledger(within_s=BRIEFLY_S)
    ledger.turn(1)
    ledger.turn(2)
    await until(lambda: asyncio.sleep(0, len(ledger.seen) == 4))
    ledger.turn(3)
    expected = [1, ("answer", 1), 2, ("answer", 2), 3, ("answer", 3)]

    assert (ledger.seen, ledger.order.given_up, len(ledger.order)) == (expected, 1, 0)
    ledger.bus.answer()
    assert ledger.seen == expected


async def test_a_bus_that_is_quick_again_is_waited_for():
    """All that was late has to come back, and then one fence in time."""
    ledger = Ledger(most_bytes=0)
    ledger.turn(1)
    assert not ledger.order.keeps

    ledger.bus.answer()
    assert not ledger.order.keeps
    ledger.bus.answer()

    assert ledger.order.keeps
    assert ledger.seen == [1, ("answer", 1)]


async def test_a_bus_that_stays_slow_is_not_waited_for():
    """It is tried again and again."""
    ledger = Ledger(within_s=BRIEFLY_S, most_bytes=0)
    ledger.turn(1)
    ledger.bus.answer()

    for _ in range(3):
        await asyncio.sleep(BRIEFLY_S)
        ledger.bus.answer()

    assert not ledger.order.keeps
    assert len(ledger.bus.fences) == 1


async def test_a_bus_that_answers_in_time_is_never_given_up(ledger):
    """However many turns come one after the other, each is looked at for itself."""
    for number in range(20):
        ledger.turn(number)
        ledger.order._look()
        ledger.bus.answer()

    assert ledger.order.given_up == 0


async def test_a_worker_that_was_held_up_does_not_blame_the_bus(ledger):
    """A look that comes too late proves nothing."""
    ledger.turn(1)

    for _ in range(3):
        ledger.order._due_s -= 2 * FOREVER_S
        ledger.order._look()

    assert (ledger.seen, ledger.order.given_up) == ([], 0)


async def test_what_waits_is_bounded():
    """Beyond it the bus does not keep up."""
    ledger = Ledger(most_bytes=100_000)
    ledger.turn(1)
    ledger.commit(2, parameters="x" * 100_000)
    ledger.order.end_turn()

    assert ledger.seen == [1, ("answer", 1), 2, ("answer", 2)]
    assert ledger.order.given_up == 1
