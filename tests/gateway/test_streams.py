"""Event streams on several gateways: whoever goes on at another one misses nothing."""

from tests.gateway.inside import world
from tests.rest.http import Client, key
from tests.rest.streaming import last, stream

PATH = "/device/notification/stream"


async def test_a_stream_goes_on_at_another_worker(start_cluster):
    """What was inserted anywhere comes, whatever worker it was; some may come twice, none is left out (G4, G5)."""
    pair = await start_cluster(world())
    here, there = (Client(one.hub.port, key(one.secrets["admin"])) for one in pair.worlds)
    async with stream(here, PATH) as events:
        told = [await insert((here, there)[number % 2]) for number in range(10)]
        seen = await events.ids(6)
    told += [await insert((here, there)[number % 2]) for number in range(4)]

    async with stream(there, PATH, last(seen[-1])) as events:
        assert events.begun.data["recovered"] is True
        while set(seen) != set(told):
            seen += await events.ids(1)
        live = await insert(here)
        while seen[-1] != live:
            seen += await events.ids(1)

    assert list(dict.fromkeys(seen)) == [*told, live]


async def insert(client):
    made = await client.post("/device/lamp/notification", {"notification": "watts"})
    return made.json()["id"]
