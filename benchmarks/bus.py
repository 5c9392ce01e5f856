"""What the bus costs: ``python -m benchmarks.bus [--url redis://127.0.0.1] [--seconds 3]``.

Encoding and decoding bundles of 1, 100 and 1,000 notifications of about 250 bytes; and, over a real Redis (one is
started when no URL is given), messages per second from one bus to another in the same event loop, with the Redis
commands that each took. Prints JSON.
"""

import argparse
import asyncio
import json
import platform
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

from hub.bus import Bundle, Placed, Section
from hub.bus.redis import RedisBus
from hub.bus.wire import decode, encode
from protocol.messages import Notification

PARAMETERS = b'{"value":60.5,"unit":"W","note":"' + b"x" * 180 + b'"}'
TOPICS = range(64)


def bundle(first: int, size: int, topics: int) -> Bundle:
    """``size`` notifications, spread over so many topics."""
    sections: dict[int, list[Placed]] = {}
    for number in range(first, first + size):
        message = Notification(number, 1, f"device-{number % topics:06}", "watts", 1_700_000_000_000, PARAMETERS)
        sections.setdefault(number % topics, []).append(Placed(message, 1))
    return Bundle("bench", 1, [Section(topic, 0, items) for topic, items in sections.items()])


def wire(size: int, seconds: float) -> dict[str, float]:
    """Microseconds per message, with as many topics as there are, up to 8."""
    sent = bundle(1, size, min(size, 8))
    data = encode(sent)
    assert decode(data, TOPICS) == sent, "it comes back as it was"
    return {
        "size": size,
        "bytes_per_message": round(len(data) / size),
        "encode_us": round(_time_us(lambda: encode(sent), seconds) / size, 2),
        "decode_us": round(_time_us(lambda: decode(data, TOPICS), seconds) / size, 2),
        "skip_us": round(_time_us(lambda: decode(data, ()), seconds) / size, 3),
    }


def _time_us(act: Callable[[], Any], seconds: float) -> float:
    """The median of many."""
    times = []
    end = time.perf_counter() + seconds / 10
    while time.perf_counter() < end:
        began = time.perf_counter()
        act()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


class Counter:
    """A receiver that counts."""

    def __init__(self) -> None:
        self.messages = 0
        self.wanted = 0
        self.done = asyncio.Event()

    def deliver(self, heard: Bundle) -> None:
        self.messages += sum(len(section.items) for section in heard.sections)
        if self.messages >= self.wanted:
            self.done.set()

    def joined(self, topics: Iterable[int]) -> None:
        self.done.set()

    def parted(self) -> None:
        """The figures tell of it."""


async def through(url: str, size: int, seconds: float) -> dict[str, float]:
    """From one bus to another: bundles of ``size`` messages of 8 topics, a new one in each turn of the loop, never
    more than 20,000 messages ahead of the listener."""
    speaker, listener, ear = RedisBus(url, prefix="bench"), RedisBus(url, prefix="bench"), Counter()
    listener.follow(TOPICS)
    await listener.open(ear)
    await speaker.open(Counter())
    sent = [bundle(1, size, min(size, 8))] if size > 1 else [bundle(number, 1, 8) for number in range(1, 9)]
    messages = turns = 0
    began = time.perf_counter()
    cpu = time.process_time()
    while time.perf_counter() - began < seconds:
        if messages - ear.messages < 20_000:
            speaker.publish(sent[turns % len(sent)])
            messages += size
            turns += 1
        await asyncio.sleep(0)
    ear.wanted = messages
    ear.done.clear()
    if ear.messages < messages:
        await asyncio.wait_for(ear.done.wait(), 30)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    figures = speaker.figures()
    await speaker.close()
    await listener.close()
    return {
        "size": size,
        "messages_per_s": round(messages / took),
        "cpu_us_per_message": round(cpu / messages * 1e6, 2),
        "commands_per_message": round(figures["commands_sent"] / messages, 4),
        "dropped": figures["dropped"],
        "reconnects": figures["reconnects"] + listener.figures()["reconnects"],
        "lag_ms": round(figures["lag_ms"], 2),
    }


async def latency(url: str, times: int = 1_000) -> dict[str, float]:
    """Milliseconds from publishing one message on an idle bus to hearing it."""
    speaker, listener, ear = RedisBus(url, prefix="bench"), RedisBus(url, prefix="bench"), Counter()
    listener.follow(TOPICS)
    await listener.open(ear)
    await speaker.open(Counter())
    found = []
    for number in range(1, times + 1):
        ear.done.clear()
        ear.wanted = number
        began = time.perf_counter()
        speaker.publish(bundle(number, 1, 8))
        await asyncio.wait_for(ear.done.wait(), 30)
        found.append((time.perf_counter() - began) * 1e3)
    await speaker.close()
    await listener.close()
    found.sort()
    return {"p50_ms": round(found[times // 2], 3), "p99_ms": round(found[times * 99 // 100], 3)}


def given(url: str | None) -> AbstractAsyncContextManager[str]:
    return _started() if url is None else _there(url)


@asynccontextmanager
async def _there(url: str):  # type: ignore[no-untyped-def]
    yield url


@asynccontextmanager
async def _started():  # type: ignore[no-untyped-def]
    """A Redis of our own, on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        command = ["redis-server", "--port", str(port), "--save", "", "--bind", "127.0.0.1"]
        process = await asyncio.create_subprocess_exec(*command, cwd=directory, stdout=asyncio.subprocess.DEVNULL)
        try:
            while True:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                await asyncio.sleep(0.01)
            yield f"redis://127.0.0.1:{port}"
        finally:
            process.terminate()
            await process.wait()


async def main(url: str | None, seconds: float) -> None:
    sizes = (1, 100, 1_000)
    about = {"python": platform.python_version(), "machine": platform.machine(), "seconds": seconds}
    coded = [wire(size, seconds) for size in sizes]
    async with given(url) as place:
        carried = [await through(place, size, seconds) for size in sizes]
        idle = await latency(place)
    print(json.dumps({**about, "wire": coded, "through_redis": carried, "idle": idle}, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="of a Redis that nobody else uses; one is started otherwise")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.url, arguments.seconds))
