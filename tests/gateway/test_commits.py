"""The queue to the log: bounded in number and in bytes, ended in time, and honest about what it could not keep."""

import asyncio

import pytest

from hub.gateway.commits import TRANSACT_BYTES, WRITE_BYTES, Commits
from hub.store import Amend, Append, Lost, Transact
from protocol.errors import StoreUnavailable
from protocol.messages import CommandPatch
from tests.builders import command, notification
from tests.gateway.inside import world


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
    queue = commits(log)
    told = [notification() for _ in range(3)]

    failed = [queue.submit_answered(Append(one), nothing) for one in told[:2]]
    unanswered = queue.submit(Append(told[2]), nothing)
    await asyncio.gather(*map(_awaited, [*failed, unanswered]), return_exceptions=True)
    lost, log.fails = queue.lost, False
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
    log = Log()
    queue, log.fails = commits(log), True
    commit = queue.submit(Append(notification()), nothing)
    log.free.set()

    await queue.passed()

    assert (commit.done, queue.doubtful, queue.is_idle) == (True, True, False)
    await queue.stop()


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
    store.fails = lambda name: name == "write"
    lost = await notified(admin)
    while not home.hub.gateway.commits.failures:
        await asyncio.sleep(0.001)
    store.fails = lambda name: name == "record_lost"
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
