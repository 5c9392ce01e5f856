"""The queue to the log: bounded in number and in bytes, ended in time, and honest about what it could not keep."""

import asyncio
import random
from collections import Counter

import pytest

from hub.gateway.commits import AGAIN_S, TRANSACT_BYTES, WRITE_BYTES, Commits
from hub.store import Amend, Append, Lost, Transact
from protocol.errors import STORAGE, StoreUnavailable
from protocol.messages import CommandPatch
from tests.builders import command, notification
from tests.gateway.inside import LoopTime, world
from tests.waiting import until


class Log:
    """A store that only writes, when it is let to.

    Attributes:
        batches: the writes of each batch.
        recorded: the ids that were told to be lost, one list for each time.
    """

    def __init__(self):
        self.batches, self.recorded = [], []
        self.free = asyncio.Event()
        self.fails = False

    async def write(self, batch):
        self.batches.append(batch)
        await self.free.wait()
        if self.fails:
            raise TimeoutError
        return [getattr(write, "message", None) for write in batch]

    async def record_lost(self, ids):
        self.recorded.append(ids)


def nothing(outcome=None):
    pass


async def caught_up():
    pass


def commits(log, **limits):
    made = Commits(log, settled=nothing, catch_up=caught_up, **limits)
    made.start()
    return made


SIZES = [
    (Append(notification("lamp", "watts", "x" * 998)), WRITE_BYTES + 1_000 + len("watts")),
    (Append(command("lamp", "on", "x" * 98, result="y" * 8, status="ok")), WRITE_BYTES + 100 + 10 + len("on") + 2),
    (Amend(1, "lamp", 1, CommandPatch({"result": b"12345", "status": "abc", "lifetime_s": 7})), WRITE_BYTES + 8),
    (Transact(nothing), TRANSACT_BYTES),
]


@pytest.mark.parametrize(("write", "size"), SIZES)
async def test_what_waits_is_measured(write, size):
    """By what is in it; it counts until it is in the log."""
    log = Log()
    queue = commits(log)

    commit = queue.submit(write, nothing)
    waiting = queue.bytes
    await asyncio.sleep(0)
    log.free.set()
    await commit

    assert (waiting, queue.bytes) == (size, 0)
    await queue.stop()


async def test_too_many_bytes_are_refused():
    """Also while they are being written; the error names the limit and its value."""
    log = Log()
    queue = commits(log, most_bytes=3_000)
    big = Append(notification("lamp", parameters="x" * 2_000))
    first = queue.submit(big, nothing)
    while not log.batches:
        await asyncio.sleep(0)

    with pytest.raises(StoreUnavailable) as refused:
        queue.submit(big, nothing)
    log.free.set()
    await first
    await queue.submit(big, nothing)

    assert refused.value.detail == {"limit": "pending-write-bytes", "value": 3_000}
    await queue.stop()


async def test_a_batch_is_bounded_in_bytes():
    """However much waits, one statement writes no more than some megabytes."""
    log = Log()
    log.free.set()
    queue = commits(log)
    message = notification("lamp", parameters="x" * 1_000_000)

    await asyncio.gather(*(_awaited(queue.submit(Append(message), nothing)) for _ in range(10)))

    assert [len(batch) for batch in log.batches] == [5, 5]
    await queue.stop()


async def _awaited(commit):
    return await commit


async def test_an_end_does_not_wait_for_ever():
    """What cannot be written in time is refused, what is being written included."""
    log = Log()
    queue = commits(log, batch=1)
    waiting = [asyncio.create_task(_awaited(queue.submit(Append(notification()), nothing))) for _ in range(3)]
    await asyncio.sleep(0)

    await queue.stop(within_s=0.01)

    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 3
    assert (len(queue), queue.bytes, queue.alive) == (0, 0, False)


async def test_what_was_answered_and_not_stored_is_lost():
    """Until the store has heard of it the queue itself tells; then nothing newer is written before that."""
    log = Log()
    log.free.set()
    log.fails = True
    known = asyncio.Event()
    queue = Commits(log, settled=nothing, catch_up=known.wait)
    queue.start()
    told = [notification() for _ in range(3)]

    failed = [queue.submit_answered(Append(one), nothing) for one in told[:2]]
    unanswered = queue.submit(Append(told[2]), nothing)
    await asyncio.gather(*map(_awaited, [*failed, unanswered]), return_exceptions=True)
    lost, log.fails = queue.lost, False
    known.set()
    await queue.submit_answered(Append(notification()), nothing)

    assert lost == [Lost(told[0].id - 1, told[1].id + 1)]
    assert log.recorded == [[told[0].id, told[1].id]]
    assert queue.lost == []
    await queue.stop()


async def test_what_is_given_up_at_the_end_is_lost_as_well():
    """Whoever ends the run must not say that everything was stored."""
    queue = commits(Log())
    message = notification()
    queue.submit_answered(Append(message), nothing)

    await queue.stop(within_s=0.01)

    assert queue.lost == [Lost(message.id - 1, message.id + 1)]


# --- patience ---------------------------------------------------------------------------------------------------------

PATIENCE_S = 5.0


class CatchUp:
    """What is done when a batch has failed, when it is let to."""

    def __init__(self):
        self.times, self.fails = 0, False
        self.free = asyncio.Event()
        self.free.set()

    async def __call__(self):
        self.times += 1
        await self.free.wait()
        if self.fails:
            raise STORAGE.error()


def patient(log, catch_up=caught_up):
    made = Commits(log, settled=nothing, catch_up=catch_up, patience_s=PATIENCE_S)
    made.start()
    return made


async def after_a_failure(catch_up):
    """A queue whose first batch has failed, and its log, which works again."""
    log = Log()
    log.free.set()
    log.fails = True
    queue = patient(log, catch_up)
    assert refused(await _ended(queue.submit(plain(), nothing)))
    log.fails = False
    return queue, log


async def _ended(commit):
    await asyncio.gather(_awaited(commit), return_exceptions=True)
    return commit


def plain(device="lamp"):
    return Append(notification(device))


def refused(commit):
    return commit.done and type(commit.outcome) is StoreUnavailable


async def test_a_write_behind_a_batch_that_hangs_is_refused_with_it():
    """It does not wait for a batch of its own, and it never gets to the store."""
    time, log = LoopTime(), Log()
    queue = patient(log)
    first, second = plain(), plain()
    ahead = queue.submit(first, nothing)
    await time.forward(4)
    behind = queue.submit(second, nothing)
    early = ahead.done

    await time.forward(1)

    assert not early
    assert refused(ahead)
    assert refused(behind)
    assert log.batches == [[first]]
    assert (len(queue), queue.bytes) == (0, WRITE_BYTES + len(first.message.parameters) + len(first.message.name))
    await queue.stop(within_s=0)


async def test_while_the_store_is_away_writes_are_refused_at_once():
    """Until it has answered: then they are written again."""
    time, log = LoopTime(), Log()
    queue = patient(log)
    queue.submit(plain(), nothing)
    await time.forward(PATIENCE_S)

    with pytest.raises(StoreUnavailable):
        queue.submit(plain(), nothing)
    with pytest.raises(StoreUnavailable):
        queue.submit_answered(plain(), nothing)
    log.free.set()
    await time.forward(0)
    await queue.submit(plain(), nothing)

    assert [len(batch) for batch in log.batches] == [1, 1]
    assert queue.lost == []
    await queue.stop()


async def test_what_was_refused_and_is_committed_after_all_has_its_consequences():
    """Who asked hears once that it is not known; whoever subscribes gets the message."""
    time, log = LoopTime(), Log()
    queue = patient(log)
    published = []
    message = plain()
    commit = queue.submit(message, published.append)
    await time.forward(PATIENCE_S)
    before, doubtful = list(published), queue.doubtful

    log.free.set()
    await time.forward(0)

    assert refused(commit)
    assert (before, doubtful) == ([], True)
    assert published == [message.message]
    assert (queue.bytes, queue.doubtful, queue.away) == (0, False, False)
    await queue.stop()


async def test_a_batch_in_doubt_is_settled_without_another_write():
    """Whoever subscribes does not wait for the next insert to get what was committed after all."""
    catch_up = CatchUp()
    queue, log = await after_a_failure(catch_up)

    await until(lambda: asyncio.sleep(0, not queue.doubtful))

    assert (catch_up.times, len(log.batches)) == (1, 1)
    await queue.stop()


async def test_a_write_does_not_wait_longer_for_what_comes_before_its_batch():
    """Finding out what became of the batch before counts for its time, too."""
    time, catch_up = LoopTime(), CatchUp()
    catch_up.free.clear()
    queue, log = await after_a_failure(catch_up)
    commit = queue.submit(plain(), nothing)

    await time.forward(PATIENCE_S)

    assert refused(commit)
    assert len(log.batches) == 1
    await queue.stop(within_s=0)


async def test_writes_outlast_a_short_absence():
    """Where asking the store fails at once, it is asked again; who waits is refused when his own time is up."""
    time, catch_up = LoopTime(), CatchUp()
    catch_up.fails = True
    queue, _ = await after_a_failure(catch_up)
    first = queue.submit(plain(), nothing)
    await time.forward(4)
    catch_up.fails = False
    await time.forward(AGAIN_S)
    await first
    queue.submit(plain(), nothing)

    assert catch_up.times == 3
    assert not queue.away
    await queue.stop()


async def test_a_store_that_is_away_is_asked_until_it_answers(caplog):
    """With one line at the beginning and one at the end."""
    time, catch_up = LoopTime(), CatchUp()
    catch_up.fails = True
    queue, _ = await after_a_failure(catch_up)
    caplog.clear()
    commit = queue.submit(plain(), nothing)

    await time.forward(PATIENCE_S)
    times, told = catch_up.times, len(caplog.records)
    for _ in range(5):
        await time.forward(AGAIN_S)
    asked, catch_up.fails = catch_up.times - times, False
    await time.forward(AGAIN_S)
    await queue.submit(plain(), nothing)

    assert refused(commit)
    assert (told, asked) == (1, 5)
    assert [record.getMessage() for record in caplog.records] == [
        "the store does not answer; writes are refused until it does",
        "the store answers again",
    ]
    await queue.stop()


async def test_a_mistake_in_settling_is_told_once(caplog):
    """With its traceback; it is tried again all the same."""
    time, times = LoopTime(), []

    async def mistaken():
        times.append(time())
        raise ValueError

    queue, _ = await after_a_failure(mistaken)

    for _ in range(5):
        await time.forward(AGAIN_S)

    told = [record.getMessage() for record in caplog.records]
    assert len(times) == 6
    assert told == ["the log could not be written", "what became of a batch could not be found out"]
    await queue.stop()


async def test_what_was_answered_already_waits_for_the_store_to_come_back():
    """Nobody waits for it, so nothing has to be lost as long as there is room."""
    time, log = LoopTime(), Log()
    queue = patient(log)
    first, second, later = plain(), plain(), plain()
    queue.submit(first, nothing)
    await time.forward(0)
    queue.submit_answered(second, nothing)
    await time.forward(PATIENCE_S)
    waiting = len(queue)

    log.free.set()
    await time.forward(0)
    await queue.submit(later, nothing)

    assert waiting == 1
    assert log.batches == [[first], [second], [later]]
    assert queue.lost == []
    await queue.stop()


async def test_a_store_that_is_busy_for_long_is_not_away():
    """As long as each write is done in time, none is refused."""
    time, log = LoopTime(), Log()
    queue = patient(log)

    for _ in range(5):
        commit = queue.submit(plain(), nothing)
        await time.forward(4)
        log.free.set()
        await commit
        log.free.clear()

    assert not queue.away
    await queue.stop()


class Whim:
    """A store that takes what time it likes, and fails when it likes; what it was asked to do it has done all the same,
    or not.

    Attributes:
        stored: the ids of what it has.
    """

    def __init__(self, dice):
        self.stored, self.lost = set(), set()
        self._dice = dice
        self._gate = asyncio.Event()

    def answer(self):
        self._gate.set()
        self._gate = asyncio.Event()

    async def write(self, batch):
        await self._gate.wait()
        fails = self._dice.random() < 0.3
        if not fails or self._dice.random() < 0.5:
            self.stored |= {write.message.id for write in batch}
        if fails:
            raise self._dice.choice([TimeoutError(), STORAGE.error()])
        return [write.message for write in batch]

    async def record_lost(self, ids):
        await self._gate.wait()
        self.lost |= set(ids) - self.stored

    async def catch_up(self, publish):
        await self._gate.wait()
        if self._dice.random() < 0.3:
            raise STORAGE.error()
        for one in self.stored:
            publish(one)


@pytest.mark.parametrize("seed", range(50))
async def test_whatever_the_store_does_every_write_is_answered_in_time_and_truly(seed):
    """Success means stored; all that is stored is published, once; what was answered before is stored or lost."""
    time, dice = LoopTime(), random.Random(seed)
    store, published = Whim(dice), Counter()
    asked, told = [], []

    def publish(message_id):
        if message_id not in published:
            published[message_id] += 1

    def then(message):
        published[message.id] += 1

    async def catch_up():
        await store.catch_up(publish)

    queue = Commits(store, settled=nothing, catch_up=catch_up, batch=3, patience_s=PATIENCE_S)
    queue.start()
    for _ in range(200):
        write = plain()
        try:
            if dice.random() < 0.3:
                queue.submit_answered(write, then)
                told.append(write.message.id)
            else:
                asked.append((write.message.id, time(), queue.submit(write, then)))
        except StoreUnavailable:
            assert queue.away
        if dice.random() < 0.5:
            store.answer()
        await time.forward(dice.random())
        late = [message_id for message_id, at_s, commit in asked if not commit.done and time() > at_s + PATIENCE_S]
        assert not late
    while queue._waiting or queue._writing or queue.doubtful:
        store.answer()
        await time.forward(1)
    await queue.stop()

    succeeded = {message_id for message_id, _, commit in asked if not isinstance(commit.outcome, Exception)}
    assert 0 < len(succeeded) < len(asked)
    assert succeeded <= store.stored
    assert published == Counter(store.stored)
    assert set(told) <= store.stored | store.lost


async def test_passed_is_all_that_was_submitted_before():
    """What comes later is not waited for, what is being written is; and where nothing is left, nobody waits."""
    log = Log()
    queue, order = commits(log), []
    await queue.passed()
    for name in ("one", "two"):
        queue.submit(Append(notification(name=name)), lambda message: order.append(message.name))

    waits = asyncio.create_task(queue.passed())
    await asyncio.sleep(0)
    queue.submit(Append(notification(name="later")), lambda message: order.append(message.name))
    busy = queue.is_idle
    log.free.set()
    await waits

    assert (busy, order[:2]) == (False, ["one", "two"])
    await queue.stop()
    assert queue.is_idle


async def test_passed_is_also_what_failed():
    """It will never be written, as far as is known: whoever has to know asks whether that is doubtful."""
    log, catch_up = Log(), CatchUp()
    catch_up.free.clear()
    queue, log.fails = patient(log, catch_up), True
    commit = queue.submit(plain(), nothing)
    log.free.set()

    await queue.passed()

    assert (commit.done, queue.doubtful, queue.is_idle) == (True, True, False)
    await queue.stop(within_s=0)


# --- in a whole hub ---------------------------------------------------------------------------------------------------


async def resumed(peer, since):
    answer = await peer.succeed("notification/subscribe", since=since)
    return {name: answer.get(name) for name in ("recovered", "missed")}


async def stored_all(peer):
    """A command is answered when it is in the log, and so is all that came before it."""
    await peer.succeed("command/insert", deviceGuid="lamp", command={"command": "go"})


async def notified(peer):
    answer = await peer.succeed("notification/insert", deviceGuid="lamp", notification={"notification": "watts"})
    return answer["notification"]["id"]


async def test_a_cursor_into_what_could_not_be_stored_hears_so(start_hub, failing):
    """Without any crash: at once, and after the log has come back (G17)."""
    home = await start_hub(world(), durability="queued")
    admin, store = await home.key("admin"), failing(home)
    before = await notified(admin)
    store.fails = lambda name: name in ("write", "record_lost")
    lost = await notified(admin)
    commits = home.hub.gateway.commits
    await until(lambda: asyncio.sleep(0, commits.failures))
    at_once = await resumed(await home.key("admin"), lost)
    store.fails = lambda name: False
    after = await notified(admin)
    await stored_all(admin)

    missed = {"reason": "unknown-position", "after": lost, "before": lost + 1}
    assert at_once == await resumed(admin, lost) == {"recovered": False, "missed": missed}
    assert await resumed(admin, before) == {"recovered": True, "missed": None}
    assert await resumed(admin, after) == {"recovered": True, "missed": None}
    assert await home.hub.store.lost() == [Lost(lost - 1, lost + 1)]


async def test_a_doubtful_batch_that_was_stored_after_all_is_not_lost(start_hub, failing):
    """The store looks what the log has before it records a loss."""
    home = await start_hub(world(), durability="queued")
    admin, store = await home.key("admin"), failing(home)
    write = store._store.write

    async def write_and_be_silent(batch):
        await write(batch)
        raise TimeoutError

    store._store.write = write_and_be_silent
    stored = await notified(admin)
    while not home.hub.gateway.commits.failures:
        await asyncio.sleep(0.001)
    store._store.write = write
    await notified(admin)
    await stored_all(admin)

    assert await resumed(admin, stored) == {"recovered": True, "missed": None}
    assert await home.hub.store.lost() == []
