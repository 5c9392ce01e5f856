"""Two results beside each other."""

import pytest

from hub.bench.compare import NotComparable, compare, failures
from hub.bench.result import Check, combined
from hub.bench.verdict import condition
from tests.bench.results import at_rate, latency, result


def row(comparison, name):
    return next(each for each in comparison.rows if each.name == name)


def test_a_ratio_is_of_b_to_a():
    """More deliveries are better, longer times are worse."""
    a = at_rate(1_000, latencies={"delivery": latency(10)})
    b = at_rate(1_500, latencies={"delivery": latency(20)})

    found = compare(a, b)

    assert (row(found, "deliveries/s").ratio, row(found, "deliveries/s").change) == (1.5, "better")
    assert row(found, "delivery.p99").ratio == pytest.approx(2, rel=0.002)
    assert row(found, "delivery.p99").change == "worse"


def test_a_small_difference_of_two_runs_is_no_news():
    """Two runs of the same hub differ by as much."""
    assert row(compare(at_rate(1_000), at_rate(1_020)), "deliveries/s").change == "same"
    assert row(compare(at_rate(1_000), at_rate(1_050)), "deliveries/s").change == "better"


def test_runs_that_overlap_are_no_news():
    """A difference of medians within the spread of the runs may be chance."""
    a = combined([at_rate(rate) for rate in (900, 1_000, 1_200)])
    b = combined([at_rate(rate) for rate in (1_100, 1_150, 1_300)])

    assert row(compare(a, b), "deliveries/s").change == "same"


def test_runs_that_do_not_overlap_are_news():
    """Every run of one was slower than every run of the other."""
    a = combined([at_rate(rate) for rate in (900, 1_000, 1_040)])
    b = combined([at_rate(rate) for rate in (800, 810, 820)])

    assert row(compare(a, b), "deliveries/s").change == "worse"


def test_different_scenarios_are_not_compared():
    """Their figures have the same names and other meanings."""
    with pytest.raises(NotComparable, match="a run of fanout cannot be compared with a run of fanin"):
        compare(result(), result(scenario="fanin"))


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"parameters": {"dashboards": 20}}, "dashboards: 10 in A, 20 in B"),
        ({"parameters": {"payload_bytes": 1_000}}, "payload_bytes: 64 in A, 1000 in B"),
        ({"system": {"limits": "default"}}, "limits: bench in A, default in B"),
        ({"system": {"durability": "queued"}}, "durability: commit in A, queued in B"),
        ({"system": {"processor": "Slow 1"}}, "processor: Quick 3000 in A, Slow 1 in B"),
        ({"system": {"cores": None}}, "cores: 2 in A, not told in B"),
    ],
)
def test_other_conditions_are_told(members, told):
    """Sizes, limits, durability and machine have to be the same, or the reader has to know."""
    a = result()
    b = result(**{name: getattr(a, name) | changes for name, changes in members.items()})

    assert compare(a, b).differences == (told,)


def test_what_does_not_matter_is_not_told():
    """Another port, more load processes, a newer hub: that is what comparisons are for."""
    a = result()
    b = result(parameters={**a.parameters, "url": "ws://elsewhere", "processes": 4}, system={**a.system, "hub": "2.0"})

    assert compare(a, b).differences == ()


def test_what_only_one_has_is_left_out():
    """A distribution without its like has no ratio."""
    found = compare(result(), result(latencies={"delivery": latency(1)}))

    assert not [each for each in found.rows if each.name.startswith("acknowledgement")]


# --- verdicts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fails"),
    [
        ("deliveries/s<0.9x", True),
        ("deliveries/s<0.7x", False),
        ("delivery.p99>1.5x", True),
        ("p99>2.5x", False),
        ("lost>1x", True),
        ("errors>1x", False),
        ("recovery.p99>1x", True),
    ],
)
def test_a_condition_on_the_ratio(text, fails):
    """True of B's figure divided by A's; a fault that A had none of has no ratio, and fails."""
    a = at_rate(1_000, latencies={"delivery": latency(10)})
    b = at_rate(800, latencies={"delivery": latency(20)}, check=Check(lost=5))

    assert bool(failures(compare(a, b), [condition(text, ratio=True)])) == fails


def test_a_failure_tells_the_ratio():
    """And both figures."""
    found = failures(compare(at_rate(1_000), at_rate(800)), [condition("deliveries/s<0.9x", ratio=True)])

    assert found == ["deliveries/s<0.9x: it is 0.8x (1,000/s → 800/s)"]


def test_the_document_holds_every_row():
    """For programs: numbers, in microseconds or per second, with the least and the most of the runs."""
    document = compare(at_rate(1_000), combined([at_rate(500), at_rate(600), at_rate(700)])).document()

    assert document["scenario"] == "fanout"
    assert document["figures"][0] == {
        "name": "deliveries/s",
        "unit": "rate",
        "a": 1_000,
        "b": 600,
        "ratio": 0.6,
        "change": "worse",
        "a_runs": [1_000, 1_000],
        "b_runs": [500, 700],
    }
