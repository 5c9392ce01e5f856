"""How fast the log of a SQLite store is: ``python benchmarks/log.py [--seconds 2] [--dir PLACE]``.

Batches of 1, 100 and 500 notifications of about 250 bytes, one batch at a time, beside an event loop that is idle and
one that never rests, at three switch intervals of Python. Prints JSON: rows per second, and the median and the worst
time of a batch from ``write`` to its answer. A busy loop works for ``TURN_S`` a turn, as a gateway under load does.

Python's own switch interval, 5 ms, is not among them: a loop that gives the GIL up for a moment in every turn, and
whose turns are shorter than that, starves all other threads for seconds: each moment begins their wait anew.
"""

import argparse
import asyncio
import json
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hub.store import Append, LogQuery, Store
from hub.store.secrets import Secrets
from hub.store.sqlite import SqliteStore
from protocol.messages import Notification
from protocol.names import Kind

TURN_S = 0.001
INTERVALS_S = (0.0005, 0.0001, 0.00005)
PARAMETERS = b'{"value":60.5,"unit":"W","note":"' + b"x" * 180 + b'"}'


async def main(seconds: float, place: str | None) -> None:
    results = []
    with tempfile.TemporaryDirectory(dir=place) as directory:
        store = SqliteStore(Path(directory) / "hub.db", Secrets([b"pepper" * 8]), wait_s=60)
        await store.open()
        log = Log(store, await store.transact(_device))
        for interval_s in INTERVALS_S:
            sys.setswitchinterval(interval_s)
            for busy in (False, True):
                for rows in (1, 100, 500):
                    figures = await log.write(rows, seconds=seconds, busy=busy)
                    results.append({"switch_interval_ms": interval_s * 1e3, "busy": busy, "rows": rows, **figures})
                pages = await log.read(seconds=seconds, busy=busy)
                results.append({"switch_interval_ms": interval_s * 1e3, "busy": busy, **pages})
        await store.close()
    about = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version, "machine": platform.machine()}
    print(json.dumps({**about, "seconds": seconds, "results": results}, indent=1))


def _device(tx: Any) -> int:
    kind = tx.insert_class(name="Sensor", version="1")
    return int(tx.insert_device(guid="lamp", key="k", name="Lamp", class_id=kind.id).id)


class Log:
    """One log that grows with every measurement, as logs do."""

    def __init__(self, store: Store, device_id: int) -> None:
        self._store = store
        self._device_id = device_id
        self._last_id = 0

    async def write(self, rows: int, *, seconds: float, busy: bool) -> dict[str, float]:
        times_s = await _repeat(lambda: self._store.write(self._batch(rows)), seconds=seconds, busy=busy)
        return {
            "rows_per_s": round(rows * len(times_s) / sum(times_s)),
            "p50_ms": round(statistics.median(times_s) * 1e3, 2),
            "max_ms": round(max(times_s) * 1e3, 2),
        }

    async def read(self, *, seconds: float, busy: bool) -> dict[str, float]:
        query = LogQuery(Kind.NOTIFICATION, after=self._last_id // 2)
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
    arguments = parser.parse_args()
    asyncio.run(main(arguments.seconds, arguments.dir))
