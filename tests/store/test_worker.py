"""The threads of a store: jobs in order, answers to whoever still waits, and an orderly end."""

import asyncio
import threading

import pytest

from hub.store.worker import Worker
from protocol.errors import StoreUnavailable
from tests.waiting import WAIT_S


def worker(acquire=list, release=lambda jobs: None, wait_s=WAIT_S):
    """A worker whose resource is a list."""
    return Worker("test", acquire=acquire, release=release, wait_s=wait_s)


async def test_jobs_are_done_in_order_in_one_thread():
    """The resource belongs to the worker's thread alone."""
    one = worker()
    await one.start()

    await asyncio.gather(*(one.do(lambda jobs, n=n: jobs.append(n)) for n in range(100)))

    assert list(range(100)) == await one.do(list)
    assert threading.current_thread().name != await one.do(lambda jobs: threading.current_thread().name)
    await one.stop()


async def test_a_failure_belongs_to_its_caller():
    """Whatever a job raises, the next one is done."""
    one = worker()
    await one.start()

    for error in (ZeroDivisionError, KeyboardInterrupt):
        with pytest.raises(error):
            await one.do(_raising(error))

    assert await one.do(list) == []
    await one.stop()


def _raising(error):
    def job(jobs):
        raise error

    return job


async def test_a_resource_that_cannot_be_had_is_told_at_the_start():
    """And the thread has ended."""
    one = worker(acquire=lambda: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        await one.start()

    with pytest.raises(StoreUnavailable):
        await one.do(list)
    await one.stop()


async def test_stopping_finishes_first_and_lets_go_once():
    """Jobs that were asked for before are done; stopping again is harmless."""
    released = []
    one = worker(release=released.append)
    await one.start()
    jobs = [asyncio.create_task(one.do(lambda done, n=n: done.append(n))) for n in range(5)]
    await asyncio.sleep(0)

    await asyncio.gather(one.stop(), one.stop())

    await asyncio.gather(*jobs)
    assert released == [[0, 1, 2, 3, 4]]


async def test_a_worker_that_never_began_stops_too():
    """Closing a store that failed to open."""
    await worker().stop()


async def test_a_job_that_nobody_waits_for_is_not_begun():
    """Otherwise a backlog of answers for nobody would follow an outage."""
    one = worker(wait_s=0.05)
    await one.start()
    stuck = threading.Event()
    first = asyncio.create_task(one.do(lambda jobs: stuck.wait(WAIT_S)))
    await asyncio.sleep(0)

    with pytest.raises(StoreUnavailable):
        await one.do(lambda jobs: jobs.append("late"))
    stuck.set()

    with pytest.raises(StoreUnavailable):
        await first
    assert await one.do(list, wait_s=WAIT_S) == []
    await one.stop()
