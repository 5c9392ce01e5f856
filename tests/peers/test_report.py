"""What the comparison makes of its figures."""

from xml.etree import ElementTree

from benchmarks.peers.chart import chart
from benchmarks.peers.ours import DURABLE, QUEUED
from benchmarks.peers.report import as_text, report
from benchmarks.peers.rounds import Comparison, Scenario


def compared(*rounds: tuple[float, float]) -> Comparison:
    """A finished comparison: in each round, the deliveries per second of the durable and the queued hub."""
    scenario = Scenario("fan-out", subscribers=10, publishers=1, windows=[1], acknowledged=False)
    found = Comparison([DURABLE, QUEUED], [scenario], wire_bytes=250, seconds=1, repeat=len(rounds))
    for durable, queued in rounds:
        found.results.add(DURABLE, "fan-out 1", figures(durable))
        found.results.add(QUEUED, "fan-out 1", figures(queued))
    return found


def figures(rate: float, *, busy: float = 0.5) -> dict[str, float]:
    times = {"seconds": 1.0, "p50_ms": 1.0, "p99_ms": 2.0}
    return {**times, "deliveries": rate, "bytes": rate * 250, "client_busy": busy, "server_busy": 1.0}


def test_ratios_are_those_within_a_round():
    """A round in which everything is slow changes no ratio: the median is taken of the ratios, not of the rates."""
    found = report(compared((50, 100), (5, 10), (60, 100)))

    assert found["ratios"][DURABLE.name][QUEUED.name] == {"fan-out 1": 0.5}
    assert found["systems"][DURABLE.name]["cases"]["fan-out 1"]["deliveries_per_s"] == 50


def test_a_client_without_rest_is_told():
    """Where the client may have been the limit, the report says so."""
    comparison = compared((50, 100))
    comparison.results.runs[QUEUED.name]["fan-out 1"] = [figures(100, busy=0.95)]

    [warning] = report(comparison)["warnings"]

    assert "95%" in warning
    assert QUEUED.name in warning


def test_a_system_that_was_left_out_is_named():
    """What is missing is said with the reason, and everything else is told all the same."""
    comparison = compared((50, 100))
    comparison.results.give_up(QUEUED, "missing; to install it: something")

    text = as_text(report(comparison))

    assert "left out: hub, queued: missing; to install it: something" in text
    assert "hub, durable" in text


def test_the_picture_needs_nothing_from_outside():
    """An SVG on its own ground that refers to nothing, with a bar for every system."""
    picture = chart(report(compared((50, 100))))

    words = "".join(ElementTree.fromstring(picture).itertext())
    assert "href" not in picture
    assert DURABLE.name in words
    assert QUEUED.name in words
