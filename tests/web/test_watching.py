"""What whoever watches a worker may ask, and where: its own port is for that, the peers' port shows less."""

import pytest

from tests.edge_client import Wire, request, upgrade
from tests.fault.process import free_port
from tests.waiting import until
from tests.web.test_slow_readers import OUTBOX, SMALL, insert, tight

HOST = ("Host", "hub")


async def ask(port, path, *headers):
    """What is answered on a port."""
    wire = await Wire.connect(port)
    await wire.write(request(path, [HOST, ("Connection", "close"), *headers]))
    response = await wire.response()
    wire.close()
    return response


@pytest.fixture
async def watched(start, monkeypatch):
    """A hub with a port for those who watch it: its address comes with it."""
    port = free_port()
    world = await tight(start, worker_metrics_port=port - 1, outbox_bytes=OUTBOX)
    return world, port


async def test_the_slowest_sockets_are_listed(watched, wires):
    """Whose they are and how much waits for them, the largest first, without anything secret."""
    world, port = watched
    reader = await wires.dashboard(world, receive_bytes=SMALL)
    await reader.succeed("notification/subscribe", deviceGuids=["lamp"])
    device = await wires.device(world)
    await insert(device, 10)

    async def listed():
        return (await ask(port, "/slowest")).json()["slowest"]

    (slow,) = await until(listed)

    assert slow["principal"].startswith("key:")
    assert slow["endpoint"] == "client"
    assert slow["address"] == "127.0.0.1"
    assert 0 < slow["bytes"] <= slow["limit"] == OUTBOX
    assert slow["waitedSeconds"] >= 0
    assert world.secrets["dashboard"] not in str(slow)
    assert (await ask(port, "/slowest?n=1")).json()["slowest"]


@pytest.mark.parametrize("n", ["0", "101", "-1", "x", "", "²", "1" * 5_000])
async def test_a_number_that_makes_no_sense_is_refused(watched, n):
    """From 1 to 100."""
    assert (await ask(watched[1], f"/slowest?n={n}")).status in (400, 431)


async def test_the_peers_port_shows_no_connections_to_others(watched):
    """To this computer it does, unless a proxy stands between."""
    world, _ = watched

    here = await ask(world.hub.port, "/slowest")
    through = await ask(world.hub.port, "/slowest", ("X-Forwarded-For", "192.0.2.1"))

    assert (here.status, through.status) == (200, 403)
    assert "HUB_WORKER_METRICS_PORT" in through.json()["message"]


async def test_without_metrics_the_peers_port_shows_nothing(start):
    """The worker's own port still does: whoever sets one wants to watch."""
    port = free_port()
    world = await start(metrics=False, worker_metrics_port=port - 1)

    assert [(await ask(world.hub.port, path)).status for path in ("/metrics", "/slowest")] == [404, 404]
    assert [(await ask(port, path)).status for path in ("/metrics", "/slowest", "/ready", "/health")] == [200] * 4


async def test_there_are_no_websockets_on_a_worker_s_own_port(watched):
    """It need not be guarded as the peers' port is."""
    wire = await Wire.connect(watched[1])
    await wire.write(upgrade("/websocket/client"))

    assert (await wire.response()).status == 404
    wire.close()


async def test_a_hub_that_is_alone_says_so(watched):
    """There is no bus to be away, and nothing of a cluster among its numbers."""
    _, port = watched

    metrics = (await ask(port, "/metrics")).body.decode()

    assert (await ask(port, "/ready")).json()["bus"] == "in-process"
    assert 'hub_worker_info{lane="0"' in metrics
    assert "hub_cluster" not in metrics
    assert "hub_bus" not in metrics


async def test_a_hub_whose_bus_is_away_stays_ready(start):
    """It polls its database, and says what is the matter."""
    world = await start(bus_url="unix:///nowhere")

    ready, health = await ask(world.hub.port, "/ready"), await ask(world.hub.port, "/health")
    metrics = (await ask(world.hub.port, "/metrics")).body.decode()

    assert (ready.status, ready.json()["bus"], health.json()["bus"]) == (200, "away", "away")
    assert "\nhub_bus_up 0.0\n" in metrics
    assert "\nhub_cluster_leads 1.0\n" in metrics
    assert "\nhub_bus_gaps_total 0.0\n" in metrics
