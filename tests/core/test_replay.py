"""Replay: history and the live stream become one, without gap and without repetition, however they interleave."""

from collections.abc import Iterator, Sequence
from itertools import cycle

from hypothesis import given, settings
from hypothesis import strategies as st

from hub.core.access import Clause
from hub.core.fanout import FanOut
from hub.core.replay import Replay
from hub.core.subscription import Published
from protocol.codecs import CODECS, JSON, Codec
from tests.builders import notification
from tests.helpers import connection, ids, placed, subscription

VISIBLE, HIDDEN = 1, 2
"""Networks: the subscription may see the first."""


class Hub:
    """A log, messages that are published after they were committed, and one subscription that replays.

    Attributes:
        log: what is committed, in order; the first ``published`` of it have come live.
    """

    def __init__(self, codec: Codec, *, hold_bytes: int) -> None:
        self.fan_out = FanOut(hold_bytes=hold_bytes)
        self.here = connection(codec)
        self.log: list[Published] = []
        self.published = 0
        self.got: list[int] = []

    def commit(self, network_id: int) -> None:
        self.log.append(placed(notification("lamp"), network_id))

    def publish(self) -> None:
        if self.published < len(self.log):
            self.fan_out.publish(self.log[self.published])
            self.published += 1

    def visit(self) -> None:
        self.fan_out.take_ready()
        self.got += ids(self.here)

    def register(self) -> Replay:
        self.ours = subscription(self.here, Clause(networks=frozenset({VISIBLE})))
        self.ours.hold()
        self.fan_out.subscribe(self.ours)
        return Replay(self.ours)

    def page(self, after: int, limit: int) -> tuple[Sequence[Published], int, bool]:
        """What the log has after this id: at most so many, where it was read to, whether that is all."""
        rest = [one for one in self.log if one.message.id > after]
        page = rest[:limit]
        return page, page[-1].message.id if page else after, len(page) == len(rest)

    def hold(self) -> None:
        self.ours.hold()
        self.fan_out.reroute(self.ours)

    def release(self) -> None:
        self.fan_out.release(self.ours)

    def needs_more(self, replay: Replay) -> bool:
        self.fan_out.settle()
        return replay.overrun(self.fan_out.position)

    def published_id(self, part: float) -> int:
        """The id of a published message, by its place among them; 0 is before the first."""
        last = round(part * self.published)
        return self.log[last - 1].message.id if last else 0

    def finish(self) -> None:
        while self.published < len(self.log):
            self.publish()
        self.visit()

    def visible(self, after: int) -> list[int]:
        return [one.message.id for one in self.log if one.network_id == VISIBLE and one.message.id > after]


STEPS = ("commit", "commit", "commit elsewhere", "publish", "publish", "visit", "go on", "go on")


def happen(hub: Hub, steps: Iterator[str]) -> None:
    """What happens between two steps of a replay: whatever stands in the script, until it says to go on."""
    for step in steps:
        if step == "commit":
            hub.commit(VISIBLE)
        elif step == "commit elsewhere":
            hub.commit(HIDDEN)
        elif step == "publish":
            hub.publish()
        elif step == "visit":
            hub.visit()
        else:
            return


@settings(max_examples=500)
@given(
    script=st.lists(st.sampled_from(STEPS), max_size=60),
    limits=st.lists(st.integers(1, 5), min_size=1),
    start=st.floats(0, 1),
    hold_bytes=st.sampled_from([100, 300, 1_000_000]),
    codec=st.sampled_from(CODECS),
    stale=st.booleans(),
)
def test_history_and_live_become_one_stream(script, limits, start, hold_bytes, codec, stale):
    """Each visible message comes exactly once, in order of ids, wherever commits, publications and pages fall."""
    hub, steps, sizes = Hub(codec, hold_bytes=hold_bytes), iter(script), cycle(limits)
    happen(hub, steps)
    since = hub.published_id(start)

    replay = hub.register()
    read_to, complete = since, False
    while not complete or hub.needs_more(replay):
        happen(hub, steps)
        page, read_to, complete = hub.page(read_to, next(sizes))
        happen(hub, steps)
        hub.fan_out.replayed(hub.ours, replay.accept(page))
        happen(hub, steps)
    replay.join(hub.fan_out.position)
    stale = stale and hold_bytes > 300
    if stale:  # Its rights are still being read: it goes on holding.
        happen(hub, steps)
    hub.release()
    happen(hub, steps)
    if stale:
        hub.hold()
        happen(hub, steps)
        hub.release()
    hub.finish()

    assert hub.got == hub.visible(since)
    assert hub.ours.is_plain, "a replay that is over costs nothing more"


# --- the same, one case at a time -------------------------------------------------------------------------------------


def read(hub: Hub, replay: Replay, after: int = 0) -> None:
    """Read the whole log, and go live."""
    hub.fan_out.replayed(hub.ours, replay.accept(hub.page(after, 1_000)[0]))
    assert not hub.needs_more(replay)
    replay.join(hub.fan_out.position)
    hub.release()


def test_history_comes_before_what_is_live():
    """A message that comes while the log is read waits until the log was read."""
    hub = Hub(JSON, hold_bytes=1_000_000)
    hub.commit(VISIBLE)
    hub.publish()
    replay = hub.register()
    hub.commit(VISIBLE)
    hub.publish()
    hub.visit()

    early = list(hub.got)
    read(hub, replay)
    hub.visit()

    assert early == []
    assert hub.got == hub.visible(0)


def test_what_was_read_before_it_was_published_is_not_sent_again():
    """The log may be ahead of the live stream."""
    hub = Hub(JSON, hold_bytes=1_000_000)
    replay = hub.register()
    for _ in range(3):
        hub.commit(VISIBLE)

    read(hub, replay)
    for _ in range(3):
        hub.publish()
        hub.visit()
    hub.commit(VISIBLE)
    hub.finish()

    assert hub.got == hub.visible(0)
    assert hub.ours.is_plain


def test_what_was_published_in_the_turn_of_the_joining_comes_once():
    """Also when nobody has looked at this turn's messages yet."""
    hub = Hub(JSON, hold_bytes=1_000_000)
    replay = hub.register()
    hub.commit(VISIBLE)
    hub.publish()

    read(hub, replay)
    hub.visit()

    assert hub.got == hub.visible(0)


def test_more_than_can_be_held_is_read_again():
    """Whatever was dropped stands in the log: the replay reads on until it has caught up."""
    hub = Hub(JSON, hold_bytes=300)
    replay = hub.register()
    for _ in range(10):
        hub.commit(VISIBLE)
        hub.publish()
    hub.visit()

    overrun = hub.needs_more(replay)
    read(hub, replay)
    hub.finish()

    assert overrun
    assert hub.got == hub.visible(0)


def test_a_replay_that_lags_behind_remembers_no_more_than_is_held():
    """However much comes live while it reads: what it has sent and cannot meet any more is forgotten."""
    hub = Hub(JSON, hold_bytes=300)
    replay = hub.register()
    most = read_to = 0
    for _ in range(100):
        for _ in range(10):
            hub.commit(VISIBLE)
            hub.publish()
        page, read_to, _ = hub.page(read_to, 10)
        hub.fan_out.replayed(hub.ours, replay.accept(page))
        assert hub.needs_more(replay)
        most = max(most, replay.remembered)

    read(hub, replay, after=read_to)
    hub.finish()

    assert most <= 10
    assert hub.got == hub.visible(0)


def test_what_may_not_be_seen_is_not_replayed():
    """The log is read for many; a subscription gets what it admits."""
    hub = Hub(JSON, hold_bytes=1_000_000)
    hub.commit(HIDDEN)
    hub.commit(VISIBLE)
    hub.publish()
    hub.publish()

    read(hub, hub.register())
    hub.visit()

    assert hub.got == hub.visible(0) == [hub.log[1].message.id]


# --- messages of several workers --------------------------------------------------------------------------------------


def test_from_several_workers_nothing_comes_twice():
    """Their messages do not come in the order of their ids: what was read may come live behind newer ones."""
    hub = Hub(JSON, hold_bytes=1_000_000)
    for _ in range(4):
        hub.commit(VISIBLE)
    hub.fan_out.advance(hub.log[0].message.id)
    hub.fan_out.publish(hub.log[3])
    replay = hub.register()

    read(hub, replay)
    hub.fan_out.publish(hub.log[2])
    hub.fan_out.publish(hub.log[1])
    hub.visit()

    assert hub.got == hub.visible(0)


def test_what_has_just_come_is_not_forgotten_when_all_has_come():
    """In one turn the last of them comes and it is told that there are no more."""
    hub = Hub(JSON, hold_bytes=1_000_000)
    for _ in range(2):
        hub.commit(VISIBLE)
    hub.fan_out.advance(hub.log[0].message.id - 1)
    read(hub, hub.register())

    for one in hub.log:
        hub.fan_out.publish(one)
    hub.fan_out.advance(hub.log[1].message.id)
    hub.visit()

    assert hub.got == hub.visible(0)


def test_what_will_not_come_live_is_not_waited_for():
    """When everything up to some id has come, the subscription is an ordinary one again."""
    hub = Hub(JSON, hold_bytes=1_000_000)
    for _ in range(3):
        hub.commit(VISIBLE)
    hub.fan_out.advance(hub.log[0].message.id - 1)
    read(hub, hub.register())
    before = hub.ours.is_plain

    hub.fan_out.advance(hub.log[1].message.id)
    still = hub.ours.is_plain
    hub.fan_out.advance(hub.log[2].message.id)

    assert (before, still, hub.ours.is_plain) == (False, False, True)


def test_a_subscription_that_has_caught_up_by_itself_needs_no_word():
    """Also not one that ended while it waited."""
    hub = Hub(JSON, hold_bytes=1_000_000)
    hub.commit(VISIBLE)
    hub.fan_out.advance(hub.log[0].message.id - 1)
    read(hub, hub.register())
    first = hub.ours
    hub.publish()
    hub.visit()
    hub.commit(VISIBLE)
    read(hub, hub.register(), hub.log[0].message.id)
    hub.fan_out.unsubscribe(hub.ours)

    hub.fan_out.advance(hub.log[1].message.id)
    hub.fan_out.unsubscribe(first)

    assert first.is_plain
    assert hub.fan_out.is_clean()
