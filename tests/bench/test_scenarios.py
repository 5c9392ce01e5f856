"""Every scenario against a real hub: something is measured, nothing is wrong with it, nothing is left behind."""

import pytest

from hub.bench.plan import Arrival, Filters, Scenario, WireCodec
from hub.bench.result import Result
from hub.bench.run import run
from tests.bench.conftest import RunningHub, Watching

pytestmark = pytest.mark.slow


def measured(hub: RunningHub, watching: Watching, scenario: Scenario, **chosen: object) -> Result:
    """Run a plan; what holds of every run is asserted here."""
    before = hub.holds()

    result = run(hub.plan(scenario, **chosen), watching, entities=hub.entities)

    assert hub.holds() == before
    assert result.errors == {}
    assert (result.check.lost, result.check.repeated, result.check.reordered) == (0, 0, 0)
    assert result.samples
    assert all(process.cpu_s > 0 for process in result.processes)
    assert Result.from_json(result.to_json()) == result
    return result


@pytest.mark.parametrize(
    "chosen",
    [
        {"dashboards": 6, "window": 1},
        {"dashboards": 6, "window": 4, "publishers": 3, "processes": 2},
        {"dashboards": 6, "rate": 200.0, "codec": WireCodec.MSGPACK, "payload_bytes": 300},
        {"dashboards": 4, "window": 4, "publishers": 2, "filters": Filters.OWN, "check": False},
    ],
    ids=["one in flight", "two processes", "msgpack at a rate", "own filters, unchecked"],
)
def test_fanout(running_hub, watching, chosen):
    """Publishers reach every dashboard, however they are spread."""
    result = measured(running_hub, watching, Scenario.FANOUT, **chosen)

    assert result.sent > 0
    assert result.acknowledged > 0
    assert result.delivered > 0
    assert result.latencies["delivery"].count >= result.delivered
    assert result.check.checked == chosen.get("check", True)


@pytest.mark.parametrize("rate", [None, 200.0], ids=["closed loop", "at a rate"])
def test_fanin(running_hub, watching, rate):
    """Many devices reach one dashboard; each message is acknowledged."""
    result = measured(running_hub, watching, Scenario.FANIN, devices=5, dashboards=1, window=3, rate=rate)

    assert result.acknowledged > 0
    assert result.latencies["acknowledgement"].count >= result.acknowledged


@pytest.mark.parametrize("codec", list(WireCodec))
def test_commands(running_hub, watching, codec):
    """A command comes back with its result."""
    result = measured(running_hub, watching, Scenario.COMMANDS, devices=2, dashboards=2, window=2, codec=codec)

    assert result.delivered > 0
    assert result.latencies["result"].count >= result.delivered


def test_mixed(running_hub, watching):
    """Everything at once, with dashboards that leave and come again."""
    chosen = {"devices": 3, "dashboards": 4, "rate": 100.0, "commands_per_s": 40.0, "churn_per_s": 10.0}

    result = measured(running_hub, watching, Scenario.MIXED, **chosen)

    assert {"delivery", "result", "connect", "acknowledgement"} <= set(result.latencies)


@pytest.mark.parametrize(
    "chosen",
    [{"arrival": Arrival.STORM}, {"arrival": Arrival.STEADY, "rate": 60.0}, {"sources": 3, "processes": 2}],
    ids=["storm", "steady", "three addresses, two processes"],
)
def test_connect(running_hub, watching, chosen):
    """Every socket that comes is counted and measured."""
    result = measured(running_hub, watching, Scenario.CONNECT, dashboards=20, duration_s=0.0, **chosen)

    assert result.latencies["connect"].count == 20
    assert result.rates["connections_per_s"] > 0
    assert not result.check.checked


@pytest.mark.parametrize("recover", [True, False])
def test_reconnect(running_hub, watching, recover):
    """All are dropped and come back; with ``since`` nothing of what was published meanwhile is missing."""
    chosen = {"dashboards": 8, "rate": 100.0, "outage_s": 0.1, "recover": recover}

    result = measured(running_hub, watching, Scenario.RECONNECT, **chosen)

    assert result.latencies["recovery"].count == 8
    assert result.rates["recovery_s"] > 0


def test_slow(running_hub, watching):
    """Some stop reading, and the hub ends their connections; the others get everything."""
    chosen = {"dashboards": 4, "slow_share": 0.25, "rate": 150.0, "payload_bytes": 30_000, "duration_s": 1.5}

    result = measured(running_hub, watching, Scenario.SLOW, **chosen)

    assert result.rates["slow_sockets"] == 1
    assert result.rates["slow_closed_by_hub_4008"] == 1
    assert "slow_still_open" not in result.rates
    assert result.delivered > 0
