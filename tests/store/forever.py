"""A program that writes until it is killed, and says what was acknowledged: ``python -m tests.store.forever FILE``."""

import asyncio
import sys
from itertools import count
from pathlib import Path

from hub.store import Append, Transact
from tests.store.conftest import sqlite_at
from tests.store.world import command, insert_device, notification


async def write_forever(path: Path) -> None:
    store = sqlite_at(path)
    await store.open()
    lamp = await store.transact(lambda tx: tx.device("lamp") or insert_device(tx))
    lane = await store.open_lane("forever", queued=False)
    for number in count(lane.last_id + 1, step=10):
        told = [notification(lamp, id=number + place) for place in range(3)]
        asked = command(lamp, id=number + 3)
        change = Transact(lambda tx, number=number: tx.update_device(lamp.id, status=str(number)))
        await store.write([Append(message) for message in told])
        await store.write([Append(asked), change])
        print(number, flush=True)


if __name__ == "__main__":
    asyncio.run(write_forever(Path(sys.argv[1])))
