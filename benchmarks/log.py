"""How fast the log of a store is: ``python benchmarks/log.py [--seconds 2] [--dir PLACE] [--database URL]``.

Batches of 1, 100 and 500 notifications of about 250 bytes, one batch at a time, beside an event loop that is idle and
one that never rests, at three switch intervals of Python. Prints JSON: rows per second, and the median and the worst
time of a batch from ``write`` to its answer. A busy loop works for ``TURN_S`` a turn, as a gateway under load does.

Python's own switch interval, 5 ms, is not among them: a loop that gives the GIL up for a moment in every turn, and
whose turns are shorter than that, starves all other threads for seconds: each moment begins their wait anew.

With ``--database``, the same on PostgreSQL beside it, in a database that may be filled. There the store works in the
loop itself, so a busy loop delays it, and the switch interval makes no difference.
"""

import argparse
import asyncio
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hub.store import Append, LogQuery, Store
from hub.store.secrets import Secrets
from hub.store.sqlite import SqliteStore
from protocol.messages import Notification
from protocol.names import Kind

TURN_S = 0.001
INTERVALS_S = (0.0005, 0.0001, 0.00005)
SECRETS = Secrets([b"pepper" * 8])
PARAMETERS = b'{"value":60.5,"unit":"W","note":"' + b"x" * 180 + b'"}'


async def main(seconds: float, place: str | None, url: str | None) -> None:
    about: dict[str, Any] = {"python": platform.python_version(), "machine": platform.machine(), "seconds": seconds}
    with tempfile.TemporaryDirectory(dir=place) as directory:
        store: Store = SqliteStore(Path(directory) / "hub.db", SECRETS, wait_s=60)
        about["sqlite"] = await _measure(store, INTERVALS_S, seconds=seconds)
    if url is not None:
        from hub.store.postgres import PostgresStore

        about["postgresql"] = await _measure(PostgresStore(url, SECRETS, wait_s=60), INTERVALS_S[:1], seconds=seconds)
    print(json.dumps(about, indent=1))


async def _measure(store: Store, intervals_s: Sequence[float], *, seconds: float) -> dict[str, Any]:
    results = []
    await store.open()
    log = Log(store, await store.transact(_device))
    for interval_s in intervals_s:
        sys.setswitchinterval(interval_s)
        for busy in (False, True):
            for rows in (1, 100, 500):
                figures = await log.write(rows, seconds=seconds, busy=busy)
                results.append({"switch_interval_ms": interval_s * 1e3, "busy": busy, "rows": rows, **figures})
            pages = await log.read(seconds=seconds, busy=busy)
            results.append({"switch_interval_ms": interval_s * 1e3, "busy": busy, **pages})
    version = (await store.check())["version"]
    await store.close()
    return {"version": version, "results": results}


def _device(tx: Any) -> int:
    kind = tx.device_class("Sensor", "1") or tx.insert_class(name="Sensor", version="1")
    lamp = tx.device("lamp") or tx.insert_device(guid="lamp", key="k", name="Lamp", class_id=kind.id)
    return int(lamp.id)


class Log:
    """One log that grows with every measurement, as logs do."""

    def __init__(self, store: Store, device_id: int) -> None:
        self._store = store
        self._device_id = device_id
        self._last_id = int(time.time() * 1e6)
        self._first_id = self._last_id

    async def write(self, rows: int, *, seconds: float, busy: bool) -> dict[str, float]:
        times_s = await _repeat(lambda: self._store.write(self._batch(rows)), seconds=seconds, busy=busy)
        return {
            "rows_per_s": round(rows * len(times_s) / sum(times_s)),
            "p50_ms": round(statistics.median(times_s) * 1e3, 2),
            "max_ms": round(max(times_s) * 1e3, 2),
        }

    async def read(self, *, seconds: float, busy: bool) -> dict[str, float]:
        query = LogQuery(Kind.NOTIFICATION, after=(self._first_id + self._last_id) // 2)
        times_s = await _repeat(lambda: self._store.read(query), seconds=seconds / 2, busy=busy)
        return {"page_of_1000_p50_ms": round(statistics.median(times_s) * 1e3, 2)}

    def _batch(self, rows: int) -> list[Append]:
        first = self._last_id + 1
        self._last_id += rows
        return [
            Append(Notification(number, self._device_id, "lamp", "watts", 1_700_000_000_000 + number, PARAMETERS))
            for number in range(first, first + rows)
        ]


async def _repeat(ask: Any, *, seconds: float, busy: bool) -> list[float]:
    """Ask again and again; the time of each, in seconds."""
    times_s: list[float] = []
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        begin_s = time.perf_counter()
        answer = asyncio.ensure_future(ask())
        while busy and not answer.done():
            _work()
            await asyncio.sleep(0)
        await answer
        times_s.append(time.perf_counter() - begin_s)
    return times_s


def _work() -> None:
    """One turn of a busy loop."""
    end_s = time.perf_counter() + TURN_S
    while time.perf_counter() < end_s:
        pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--dir", help="where the database is made; the disk matters")
    parser.add_argument("--database", help="the URL of a PostgreSQL database to measure as well")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.seconds, arguments.dir, arguments.database))
