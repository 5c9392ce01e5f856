"""What only Redis shows: how it goes away, comes back, refuses, and fills up."""

import asyncio
import logging
import random
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from hub.bus.errors import CannotOpen
from hub.bus.redis import RedisBus
from hub.bus.redis_address import Address
from hub.bus.redis_link import Link, Lost
from hub.bus.redis_session import channel_of
from tests.bus.hearing import OTHERS, WATTS, bundle, run, section
from tests.bus.servers import Cluster, Proxy, Server, need, ports
from tests.certificates import self_signed
from tests.waiting import until

pytestmark = pytest.mark.slow

NOTICED_S = 5.0
"""How long a silence may stay unnoticed."""


async def up(bus: RedisBus) -> None:
    async def is_up() -> bool:
        return bus.is_up

    await until(is_up)


async def away(bus: RedisBus) -> None:
    async def is_away() -> bool:
        return not bus.is_up

    await until(is_away)


async def heard_after(speaker, bus, ear, number: int) -> None:
    """Publish on a topic until it is heard: buses come back one after the other."""
    worker = run()

    async def heard() -> bool:
        if speaker.is_up and bus.is_up:
            speaker.publish(bundle(section(WATTS, number), worker=worker))
        await asyncio.sleep(0.02)
        return number in ear.ids(WATTS)

    await until(heard)


# --- away and back ----------------------------------------------------------------------------------------------------


async def test_a_worker_starts_while_redis_is_away(opened, server):
    """Opening returns, publishing raises nothing and is counted, and all is well once Redis is there."""
    await server.kill()
    bus, ear = await opened(server.url, WATTS)
    bus.publish(bundle(section(WATTS, 1)))
    lost = bus.figures()["dropped"]
    log = list(ear.log)

    await server.start()

    await ear.until_joined(WATTS)
    assert (lost, log) == (1, [])


async def test_redis_may_come_back_empty(opened, server):
    """After a crash and a restart every topic is joined again, and what is published then is heard."""
    speaker, _ = await opened(server.url)
    bus, ear = await opened(server.url, WATTS)

    await server.kill()
    await away(bus)
    await away(speaker)
    bus.follow([OTHERS])
    await server.start()
    await ear.until_joined(WATTS, OTHERS)
    await heard_after(speaker, bus, ear, 2)

    assert [entry for entry in ear.log if entry != "heard"] == ["joined", "parted", "joined"]
    assert bus.figures()["reconnects"] == 1


async def test_a_killed_subscription_is_noticed_at_once(opened, server):
    """``CLIENT KILL TYPE pubsub`` parts and joins, each time it happens; nothing reconnects in silence."""
    speaker, _ = await opened(server.url)
    bus, ear = await opened(server.url, WATTS)

    for times in range(1, 6):
        await server.ask("CLIENT", "KILL", "TYPE", "pubsub")

        async def back(times: int = times) -> bool:
            return ear.log.count("parted") == times and bus.is_up

        await until(back)

    await heard_after(speaker, bus, ear, 1)
    assert [entry for entry in ear.log if entry != "heard"] == ["joined", *["parted", "joined"] * 5]


async def test_a_killed_publishing_connection_parts_too(opened, server):
    """What is lost on its way out is not taken for sent."""
    bus, ear = await opened(server.url)

    await server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    async def parted() -> bool:
        return "parted" in ear.log

    await until(parted)
    await up(bus)


async def test_a_silent_line_is_noticed(opened, server):
    """Without any sign from the network, the connection is given up within seconds, and found again."""
    async with Proxy(server.port) as proxy:
        bus, ear = await opened(proxy.url, WATTS)
        loop = asyncio.get_running_loop()
        began_s = loop.time()

        proxy.swallow()
        await away(bus)
        noticed_s = loop.time() - began_s
        proxy.pass_on()

        await ear.until_joined(WATTS)
        await bus.close()
    assert noticed_s <= NOTICED_S


async def test_a_fence_on_a_silent_line_passes_when_it_is_lost(opened, server):
    """Whoever waits for it does not wait for ever, nor is he forgotten when the bus is back."""
    async with Proxy(server.port) as proxy:
        bus, _ = await opened(proxy.url, WATTS)
        order: list[str] = []

        proxy.swallow()
        for name in ("sent", "offered"):
            bus.publish(bundle(section(WATTS, 1), worker=run()))
            bus.fence(partial(order.append, name))
            await asyncio.sleep(0.01)
        assert order == []
        await away(bus)

        assert order == ["sent", "offered"]
        await bus.close()


async def test_publishing_into_a_silent_line_stays_within_bounds(opened, server):
    """While nothing moves, what waits never exceeds its bound; the rest is dropped and counted."""
    async with Proxy(server.port) as proxy:
        bus, _ = await opened(proxy.url, buffer_bytes=100_000)
        proxy.swallow()
        worker = run()
        most = 0.0
        for number in range(1, 3_001):
            bus.publish(bundle(section(WATTS, number, parameters="x" * 1_000), worker=worker))
            most = max(most, bus.figures()["buffered_bytes"])
        dropped = bus.figures()["dropped"]
        await bus.close()

    assert most <= 100_000
    assert dropped >= 2_800


async def test_closing_does_not_wait_for_a_silent_line(opened, server):
    """A bus leaves within about a second, whatever waits to be sent."""
    async with Proxy(server.port) as proxy:
        bus, _ = await opened(proxy.url)
        proxy.swallow()
        bus.publish(bundle(section(WATTS, 1)))
        loop = asyncio.get_running_loop()
        began_s = loop.time()

        await bus.close()

    assert loop.time() - began_s < 2.0


async def test_closing_leaves_no_task_behind(opened, server):
    """Every task ends with its bus."""
    before = asyncio.all_tasks()
    bus, _ = await opened(server.url, WATTS)

    await bus.close()

    assert asyncio.all_tasks() == before


async def test_an_answer_never_goes_to_the_next_question(shared_redis):
    """Whatever moment a question is cancelled at, its connection is not used again."""
    chance = random.Random(1)
    cancelled = 0
    link = None
    for number in range(600):
        if link is None:
            link = Link(Address.parse(shared_redis.url))
            await link.connect()
        asking = asyncio.create_task(link.ask("ECHO", f"question-{number}"))
        if chance.random() < 1 / 3:
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            asking.cancel()
        try:
            assert await asking == f"question-{number}".encode()
        except asyncio.CancelledError:
            cancelled += 1
            # One that was cancelled before it began has asked nothing.
            with suppress(Lost):
                assert await link.ask("ECHO", "next") == b"next"
            await link.close()
            link = None
    assert cancelled > 100
    if link is not None:
        await link.close()


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_writing_to_a_connection_that_has_just_ended_loses_it():
    """uvloop says RuntimeError to whoever writes before the reader has seen the end."""
    uvloop = pytest.importorskip("uvloop")

    chance = random.Random(1)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(chance.randrange(20)):
            await reader.read(1_000)
            writer.write(b"+PONG\r\n")
        writer.transport.abort()

    async def write(link: Link) -> None:
        while True:
            await link.write([("PING",)])
            await asyncio.sleep(chance.choice([0, 0, 0.0001]))

    async def read(link: Link) -> None:
        while True:
            await link.read()

    async def lose_many() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1") as server:
            for _ in range(200):
                link = Link(Address.parse(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
                await link.connect()
                ends = await asyncio.gather(read(link), write(link), write(link), return_exceptions=True)
                assert {type(end) for end in ends} == {Lost}, ends

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(lose_many())


async def test_a_full_redis_harms_nothing(opened, server):
    """Under ``noeviction`` at the limit of memory, nobody parts."""
    speaker, spoken = await opened(server.url)
    _, ear = await opened(server.url, WATTS)
    await server.ask("CONFIG", "SET", "maxmemory", "1")

    speaker.publish(bundle(section(WATTS, 1), worker=run()))

    async def settled() -> bool:
        return bool(ear.ids(WATTS)) or speaker.figures()["dropped"] == 1

    await until(settled)
    assert "parted" not in ear.log + spoken.log


async def test_a_refused_message_is_dropped_and_no_more(opened, server):
    """Without the right to a channel a message is counted as dropped; the others go through."""
    _, ear = await opened(server.url, OTHERS)
    allowed = [f"&{channel_of('hub', topic).decode()}" for topic in (OTHERS, None)]
    await server.ask("ACL", "SETUSER", "hub", "on", ">secret", "resetchannels", *allowed, "+@all")
    bus, own = await opened(f"redis://hub:secret@127.0.0.1:{server.port}")

    bus.publish(bundle(section(WATTS, 1), section(OTHERS, 2), worker=run()))

    await ear.until_heard(OTHERS, [2])
    assert bus.figures()["dropped"] == 1
    assert own.log == ["joined"]


async def test_a_user_with_the_least_rights_will_do(opened, server):
    """Publishing and subscribing to the hub's channels is all that the hub must be allowed."""
    rights = ["+publish", "+subscribe", "+unsubscribe", "+ping"]
    await server.ask("ACL", "SETUSER", "hub", "on", ">secret", "resetchannels", "&hub:*", *rights)
    url = f"redis://hub:secret@127.0.0.1:{server.port}"
    speaker, _ = await opened(url)
    _, ear = await opened(url, WATTS)

    speaker.publish(bundle(section(WATTS, 1), worker=run()))

    await ear.until_heard(WATTS, [1])


@pytest.mark.parametrize("user", ["hub:s3cr%65t", ":s3cr%65t", "hub:s3cr%65t-but-wrong"])
async def test_the_password_is_never_shown(opened, server, caplog, user):
    """Neither logs nor errors, texts nor figures have it, whether it is right or wrong."""
    await server.ask("ACL", "SETUSER", "hub", "on", ">s3cret", "&*", "+@all")
    await server.ask("CONFIG", "SET", "requirepass", "other")
    with caplog.at_level(logging.DEBUG):
        bus, _ = await opened(f"redis://{user}@127.0.0.1:{server.port}")
        shown = [repr(bus), repr(bus._address), str(bus.figures())]
        try:
            shown.append(str(await bus.check()))
        except OSError as exc:
            shown += [str(exc), repr(exc), repr(exc.__cause__)]

    ours = [str(vars(record)) for record in caplog.records if record.name.startswith("hub")]
    assert not [text for text in shown + ours if "s3cret" in text or "s3cr%65t" in text]
    assert any("127.0.0.1" in text for text in ours)


async def test_a_wrong_password_is_said_once_and_tried_again(opened, server, caplog):
    """The log has one warning, however often it is tried; the right password lets the bus in."""
    await server.ask("ACL", "SETUSER", "hub", "on", ">other", "&*", "+@all")
    bus, _ = await opened(f"redis://hub:secret@127.0.0.1:{server.port}")
    assert not bus.is_up

    await server.ask("ACL", "SETUSER", "hub", "resetpass", ">secret")

    await up(bus)
    assert [record.levelname for record in caplog.records if record.name == "hub.bus"].count("WARNING") == 1


async def test_something_else_at_the_other_end_is_said(opened, caplog):
    """A web server in place of Redis: a warning, no exception, and the search goes on."""

    async def web(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(web, "127.0.0.1", 0) as listening:
        bus, ear = await opened(f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
        assert not bus.is_up
        with pytest.raises(OSError):
            await bus.check()
        await bus.close()

    assert ear.log == []
    assert any(record.levelname == "WARNING" for record in caplog.records)


@pytest.mark.parametrize(
    "url",
    ["", "http://127.0.0.1", "redis://127.0.0.1:port", "unix://", "redis://h?protocol=3", "rediss://h?ssl_cert_reqs=x"],
)
def test_a_url_that_leads_nowhere_is_refused(url):
    """Only what can never work keeps a worker from starting; the text has no part of the URL's secrets."""
    with pytest.raises(CannotOpen):
        RedisBus(url)


async def test_garbage_on_our_channels_is_counted(opened, server):
    """Whatever others publish on our channels harms nobody, and is seen in the figures."""
    speaker, _ = await opened(server.url)
    bus, ear = await opened(server.url, WATTS)

    for garbage in (b"", b"hello", b"\x01" * 50, b"\x00" * 100_000):
        await server.ask("PUBLISH", channel_of("hub", WATTS), garbage)
    speaker.publish(bundle(section(WATTS, 1), worker=run()))

    await ear.until_heard(WATTS, [1])
    assert bus.figures()["refused"] == 4
    assert len(ear.bundles) == 1


# --- ways to get there ------------------------------------------------------------------------------------------------


async def test_a_unix_socket_will_do(opened, tmp_path):
    """Two buses meet over a socket in the file system."""
    path = tmp_path / "redis.sock"
    server = Server(tmp_path, "--unixsocket", str(path))
    try:
        await server.start()
        speaker, _ = await opened(f"unix://{path}")
        bus, ear = await opened(f"unix://{path}", WATTS)
        speaker.publish(bundle(section(WATTS, 1), worker=run()))
        await ear.until_heard(WATTS, [1])
        assert (await bus.check())["place"] == str(path)
    finally:
        await server.kill()


async def test_tls_is_spoken_and_checked(opened, tmp_path):
    """With the right authority two buses meet over TLS; without it the server is not believed."""
    authority, options = certificate(tmp_path)
    port = next(ports)
    server = Server(tmp_path, "--tls-port", str(port), *options, "--tls-auth-clients", "no")
    try:
        await server.start()
        url = f"rediss://127.0.0.1:{port}"
        speaker, _ = await opened(f"{url}?ssl_ca_certs={authority}")
        _, ear = await opened(f"{url}?ssl_ca_certs={authority}", WATTS)
        stranger, _ = await opened(url)

        speaker.publish(bundle(section(WATTS, 1), worker=run()))

        await ear.until_heard(WATTS, [1])
        assert not stranger.is_up
    finally:
        await server.kill()


def certificate(directory: Path) -> tuple[Path, list[str]]:
    """A certificate for 127.0.0.1 that vouches for itself, and what makes Redis use it."""
    cert_path, key_path = self_signed(directory)
    files = ["--tls-cert-file", str(cert_path), "--tls-key-file", str(key_path), "--tls-ca-cert-file", str(cert_path)]
    return cert_path, files


async def test_check_tells_what_is_there(shared_redis):
    """The doctor sees kind, version and place."""
    found = await RedisBus(shared_redis.url).check()

    assert found.keys() == {"kind", "version", "place", "cluster"}
    assert (found["kind"], found["place"], found["cluster"]) == ("redis", f"127.0.0.1:{shared_redis.port}", "no")


async def test_a_prefix_keeps_hubs_apart(opened, shared_redis):
    """Two hubs share a Redis without hearing each other."""
    stranger, _ = await opened(shared_redis.url, prefix="theirs")
    speaker, _ = await opened(shared_redis.url, prefix="apart")
    _, ear = await opened(shared_redis.url, WATTS, prefix="apart")

    stranger.publish(bundle(section(WATTS, 1), worker=run()))
    speaker.publish(bundle(section(WATTS, 2), worker=run()))

    await ear.until_heard(WATTS, [2])


# --- at load ----------------------------------------------------------------------------------------------------------


async def test_at_load_a_command_carries_many_messages(opened, shared_redis):
    """Far fewer Redis commands than messages, with everything arriving in order."""
    speaker, _ = await opened(shared_redis.url, prefix="load")
    _, ear = await opened(shared_redis.url, WATTS, OTHERS, prefix="load")
    worker = run()

    for number in range(1, 5_001):
        sections = [section(topic, number, before=number - 1) for topic in (WATTS, OTHERS)]
        speaker.publish(bundle(*sections, worker=worker))
        if number % 25 == 0:
            await asyncio.sleep(0)

    await ear.until_heard(WATTS, range(1, 5_001))
    await ear.until_heard(OTHERS, range(1, 5_001))
    figures = speaker.figures()
    assert figures["messages_sent"] == 10_000
    assert figures["commands_sent"] < 1_000
    assert figures["dropped"] == 0


async def test_a_reader_that_is_cut_off_for_being_slow_comes_back(opened, server):
    """Redis drops a subscriber who does not read; he parts, joins, and hears again."""
    await server.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 0 0")
    async with Proxy(server.port) as proxy:
        speaker, _ = await opened(server.url)
        bus, ear = await opened(proxy.url, WATTS)
        proxy.swallow()
        worker = run()
        flood = 0

        async def cut_off() -> bool:
            nonlocal flood
            flood += 1
            speaker.publish(bundle(section(WATTS, flood, parameters="x" * 500_000), worker=worker))
            subscribers = (await server.ask("CLIENT", "LIST", "TYPE", "pubsub")).splitlines()
            return len(subscribers) == 1  # the speaker's own

        await until(cut_off)
        proxy.pass_on()
        await heard_after(speaker, bus, ear, 1_000)
        await bus.close()
    assert "parted" in ear.log


# --- a cluster --------------------------------------------------------------------------------------------------------


async def test_a_cluster_is_recognised(shared_cluster):
    """The doctor sees that the channels are sharded."""
    found = await RedisBus(shared_cluster.url).check()

    assert found["cluster"] == "yes"


async def test_a_slot_may_move(opened, shared_cluster):
    """A topic that moves to another node is joined there, and heard again."""
    need("redis-cli")
    channel = channel_of("moving", WATTS)
    speaker, _ = await opened(shared_cluster.url, prefix="moving")
    bus, ear = await opened(shared_cluster.url, WATTS, prefix="moving")
    slot = await shared_cluster.servers[0].ask("CLUSTER", "KEYSLOT", channel)
    nodes = [await each.ask("CLUSTER", "MYID") for each in shared_cluster.servers]
    owner = min(slot // 5461, 2)
    taker = (owner + 1) % 3

    await shared_cluster.servers[taker].ask("CLUSTER", "SETSLOT", slot, "NODE", nodes[taker])
    await shared_cluster.servers[owner].ask("CLUSTER", "SETSLOT", slot, "NODE", nodes[taker])

    await heard_after(speaker, bus, ear, 1)
    assert "parted" in ear.log


async def test_a_cluster_may_lose_a_node(opened, tmp_path):
    """While a node is away the bus has parted; when it is back, every topic is joined again."""
    cluster = Cluster(tmp_path)
    try:
        await cluster.start()
        speaker, _ = await opened(cluster.url)
        bus, ear = await opened(cluster.url, *range(64))
        await cluster.servers[1].kill()
        await away(bus)
        await away(speaker)

        await cluster.servers[1].start()

        await ear.until_joined(*range(64))
        await heard_after(speaker, bus, ear, 1)
    finally:
        await cluster.kill()
