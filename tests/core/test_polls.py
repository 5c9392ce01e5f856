"""Long polls, one after the other: each message once, wherever an answer ends."""

from collections import deque
from itertools import cycle, pairwise
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

import hub.core.stamps
from hub.core.access import Clause
from hub.core.fanout import FanOut
from hub.core.polls import Gathered
from hub.core.stamps import Stamper
from hub.core.subscription import Published
from protocol.messages import IDS_BEGIN_US, Notification
from protocol.names import Kind
from tests.builders import EARLIER_MS, command, notification
from tests.helpers import connection, placed, subscription

NOW_US = IDS_BEGIN_US + 10**12
HOME, AWAY = 1, 2
"""Networks: the poll may see the first."""

MOST = 3
"""Messages in an answer, so that they are cut."""


class Worker:
    """One that stamps and commits: what it has stamped, and what it has committed and not yet told."""

    def __init__(self, lane: int, behind_us: int) -> None:
        self.stamper = Stamper(lane=lane, mark=0, last_timestamp_ms=0)
        self.stamper.reserved(10**15)
        self.behind_us = behind_us
        self.queue: list[Published] = []
        self.untold: list[Published] = []
        self.told = self.stamped = 0
        """How many, of all that ever was."""


class Hub:
    """Workers on one log, and a poll at the first of them."""

    def __init__(self, behind_us: list[int]) -> None:
        self.now_us = NOW_US
        self.workers = [Worker(lane, behind) for lane, behind in enumerate(behind_us)]
        self.fan_out = FanOut(hold_bytes=700)
        self.log: list[Published] = []

    def stamp(self, number: int, device_id: int) -> None:
        worker = self.workers[number % len(self.workers)]
        stamp = worker.stamper.stamp(device_id, self.now_us - worker.behind_us)
        network = AWAY if device_id == 3 else HOME
        message = Notification(stamp.id, device_id, f"device-{device_id}", "watts", stamp.timestamp_ms)
        worker.queue.append(Published(message, network))
        worker.stamped += 1

    def commit(self, number: int) -> None:
        """All that waits, at once; the poll's own worker publishes it in the same moment."""
        worker = self.workers[number % len(self.workers)]
        self.log += worker.queue
        worker.untold += worker.queue
        worker.queue = []
        if worker is self.workers[0]:
            self.tell(0)

    def tell(self, number: int) -> None:
        worker = self.workers[number % len(self.workers)]
        for one in worker.untold:
            self.fan_out.publish(one)
        worker.told += len(worker.untold)
        worker.untold = []

    def happen(self, steps: deque[tuple[str, int]]) -> None:
        """Whatever stands in the script, until it says to go on."""
        while steps and (step := steps.popleft())[0] != "go on":
            self.do(*step)

    def do(self, what: str, number: int) -> None:
        if what == "stamp":
            self.stamp(number // 3, number % 3 + 1)
        elif what == "commit":
            self.commit(number)
        elif what == "tell":
            self.tell(number)
        else:
            self.now_us += number * 200

    def finish(self) -> None:
        for number in range(len(self.workers)):
            self.commit(number)
            self.tell(number)

    # --- what a gateway does for a poll

    def poll(self, newer_than_ms: int, steps: deque[tuple[str, int]], limit: int) -> list[int]:
        ours = subscription(connection(), Clause(networks=frozenset({HOME})))
        ours.wakes = True
        ours.hold()
        self.fan_out.subscribe(ours)
        self.happen(steps)
        gathered = Gathered(ours, newer_than_ms=newer_than_ms, most=MOST)
        self.read(gathered, steps, limit)
        self.happen(steps)
        self.collect(gathered, ours, steps, limit)
        border_ms = gathered.border(None)
        if border_ms is not None:
            for worker in self.workers:
                self.pass_by(worker, border_ms, steps)
            self.collect(gathered, ours, steps, limit)
        self.fan_out.unsubscribe(ours)
        return [] if border_ms is None else [(one.timestamp_ms, one.id) for one in gathered.up_to(border_ms, None)]

    def collect(self, gathered, ours, steps, limit) -> None:
        self.fan_out.settle()
        gathered.collect()
        if ours.overrun:
            ours.overrun = False
            self.read(gathered, steps, limit)

    def read(self, gathered, steps, limit) -> None:
        after, rest = 0, [None]
        while rest:
            rest = sorted((one for one in self.log if one.message.id > after), key=lambda one: one.message.id)
            page = rest[:limit]
            gathered.add(page)
            after = page[-1].message.id if page else after
            self.happen(steps)

    def pass_by(self, worker, border_ms, steps) -> None:
        while not worker.stamper.pass_by(border_ms, self.now_us - worker.behind_us):
            self.happen(steps)
            self.now_us += 1_000
        stamped = worker.stamped
        self.happen(steps)
        while worker.told < stamped:
            self.commit(self.workers.index(worker))
            self.tell(self.workers.index(worker))
            self.happen(steps)


WORDS = ("stamp", "stamp", "stamp", "commit", "commit", "tell", "tick", *["go on"] * 10)


@settings(max_examples=400)
@given(
    script=st.lists(st.tuples(st.sampled_from(WORDS), st.integers(0, 8)), min_size=20, max_size=200),
    behind_us=st.lists(st.integers(-3_000, 3_000), min_size=1, max_size=2),
    limits=st.lists(st.integers(1, 5), min_size=1),
    ahead_ms=st.sampled_from([1, 3, 10_000]),
)
def test_polls_miss_nothing_and_repeat_nothing(script, behind_us, limits, ahead_ms):
    """Wherever stamps, commits and news from others fall: the answers one after the other are all that is visible.
    Also where timestamps have come as far ahead of the clock as they may, and devices share them."""
    home, steps, sizes = Hub([0, *behind_us[1:]]), deque(script), cycle(limits)
    answers = []

    with mock.patch.object(hub.core.stamps, "AHEAD_MS", ahead_ms):
        while True:
            is_last = not steps
            if is_last:
                home.finish()
            border_ms = next((answer[-1][0] for answer in reversed(answers) if answer), 0)
            answers.append(home.poll(border_ms, steps, next(sizes)))
            if is_last and not answers[-1]:
                break

    got = [number for answer in answers for _, number in answer]
    assert sorted(got) == sorted(one.message.id for one in home.log if one.network_id == HOME)
    assert all(answer == sorted(answer) for answer in answers)
    assert all(one[-1][0] < other[0][0] for one, other in pairwise(filter(None, answers)))
    assert home.fan_out.is_clean()


# --- the same, one case at a time -------------------------------------------------------------------------------------


def gathered(newer_than_ms=None, **members):
    """What a poll of everything has found, and its subscription."""
    ours = subscription(**members)
    ours.hold()
    return Gathered(ours, newer_than_ms=newer_than_ms, most=MOST)


def told(*at, **members):
    """Notifications of these milliseconds."""
    return [placed(notification(timestamp_ms=EARLIER_MS + one, **members)) for one in at]


def times(messages):
    return [one.timestamp_ms - EARLIER_MS for one in messages]


def test_what_is_not_newer_is_passed_over():
    """The comparison is strict: the client has what it names."""
    found = gathered(newer_than_ms=EARLIER_MS + 1)

    found.add(told(0, 1, 2))

    assert found.border(None) == EARLIER_MS + 2
    assert times(found.up_to(EARLIER_MS + 2, None)) == [2]


def test_the_oldest_come_first_however_they_were_found():
    """And of what is read and comes live as well, there is one."""
    found, messages = gathered(), told(3, 1, 2)

    found.add(messages)
    found.add(messages)

    assert times(found.up_to(found.border(None), None)) == [1, 2, 3]


def test_an_answer_ends_with_a_millisecond():
    """Of more messages than an answer takes, those that share its last millisecond are in it."""
    found = gathered()

    found.add(told(1, 2, 3, 3, 3, 4))

    assert found.border(None) == EARLIER_MS + 3
    assert found.is_full
    assert times(found.up_to(EARLIER_MS + 3, None)) == [1, 2, 3, 3, 3]


def test_what_comes_before_the_border_is_still_in_the_answer():
    """What comes behind it is not."""
    found = gathered()
    found.add(told(5))
    border_ms = found.border(None)

    found.add(told(4, 5, 6))

    assert times(found.up_to(border_ms, None)) == [4, 5, 5]


def test_nothing_that_may_be_seen_is_no_border():
    """Access is asked when the answer is made."""
    found = gathered(clauses=(Clause(guids=frozenset({"door"})),))

    found.add(told(1, guid="lamp"))

    assert found.border(None) is None
    assert (len(found), found.is_full) == (0, False)


def test_expired_commands_are_in_no_answer():
    """Unless lifetimes do not count; one may also expire between the border and the answer."""
    short = placed(command(timestamp_ms=EARLIER_MS, lifetime_s=1))
    found, later = gathered(kind=Kind.COMMAND), gathered(kind=Kind.COMMAND)
    found.add([short])
    later.add([short])

    assert later.border(EARLIER_MS + 999) == EARLIER_MS
    assert later.up_to(EARLIER_MS, EARLIER_MS + 1_000) == []
    assert found.border(EARLIER_MS + 1_000) is None
    found.add([short])
    assert found.up_to(found.border(None), None) == [short.message]


def test_what_is_cancelled_is_in_no_answer():
    """Also where it was found before."""
    ours = subscription(kind=Kind.COMMAND)
    ours.hold()
    cancelled: set[int] = set()
    found = Gathered(ours, newer_than_ms=None, cancelled=cancelled)
    off, on = command("lamp", timestamp_ms=EARLIER_MS), command("lamp", timestamp_ms=EARLIER_MS + 1)
    found.add([placed(off), placed(on)])

    before = found.border(None)
    cancelled.add(off.id)

    assert before == EARLIER_MS + 1
    assert found.up_to(before, None) == [on]
