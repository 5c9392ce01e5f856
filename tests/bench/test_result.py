"""Results: there and back, damaged files, several runs as one."""

import json
from dataclasses import replace

import pytest

from hub.bench.latency import HIGHEST_US, BadLatency, Latency
from hub.bench.result import BadResult, Check, Result, combined
from tests.bench.results import at_rate, latency, result, spread


def test_a_result_survives_its_file(tmp_path):
    """What was written is what is read, histograms and samples included."""
    before = result(errors={"closed 1013": 2}, warnings=("the client was busy",), check=Check(1, 2, 3))
    path = tmp_path / "a.json"

    path.write_text(before.to_json())

    assert Result.read(path) == before


def test_repeated_runs_survive_too():
    """Each run is kept with its own figures."""
    before = combined([at_rate(100), at_rate(300), at_rate(200)])

    assert Result.from_json(before.to_json()) == before


def test_the_file_tells_percentiles_in_words():
    """Whoever has jq but no HdrHistogram can read them."""
    summary = json.loads(result().to_json())["summary"]["delivery"]

    assert summary["count"] == 1_000
    assert summary["p50_us"] == pytest.approx(500_000, rel=0.001)
    assert summary["p99.9_us"] == pytest.approx(999_000, rel=0.001)


def changed(**members):
    return json.dumps(json.loads(result().to_json()) | members)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", 'no "format"'),
        ("{}", 'no "format"'),
        (changed(format=2), "format 2; this hub bench reads format 1"),
        ('{"format": 1}', "scenario: Field required"),
        (changed(sent="many"), "sent: Input should be a valid integer"),
        (changed(rates={"deliveries_per_s": None}), "rates.deliveries_per_s"),
        (changed(samples=[{"deliveries": 1}]), "samples.0.at_s: Field required"),
        (changed(latencies={"delivery": "AAAA"}), "latencies.delivery"),
        (changed(latencies={"delivery": spread(9).encode()[:-12]}), "latencies.delivery"),
        (changed(latencies={"<b>": spread(9).encode()}), "latencies has the name '<b>'"),
        (changed(check={"lost": 1.5}), "check.lost"),
    ],
)
def test_a_damaged_file_says_what_is_wrong(text, told):
    """The place in the file, and what was expected there."""
    with pytest.raises(BadResult) as caught:
        Result.from_json(text)

    assert told in str(caught.value)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_bytes(b"\xff")])
def test_a_file_that_cannot_be_read_is_named(tmp_path, make):
    """Whichever of the two files it was."""
    path = tmp_path / "runs.json"
    make(path)

    with pytest.raises(BadResult, match=r"runs\.json"):
        Result.read(path)


def test_several_runs_are_told_by_the_one_in_the_middle():
    """The median by the main rate, whatever order they came in."""
    together = combined([at_rate(300), at_rate(100), at_rate(200)])

    assert together.rates == {"deliveries_per_s": 200}
    assert len(together.runs) == 3


def test_what_one_run_lost_is_lost_in_all():
    """Repeating a run does not make a loss disappear."""
    together = combined([at_rate(1), at_rate(2, check=Check(lost=3), warnings=("a",)), at_rate(3, errors={"x": 1})])

    assert together.check == Check(lost=3)
    assert together.errors == {"x": 1}
    assert together.warnings == ("a",)


def test_a_run_alone_is_itself():
    """One run has no others to be compared with."""
    alone = at_rate(1)

    assert combined([alone]) is alone


# --- times ------------------------------------------------------------------------------------------------------------


def test_percentiles_are_right_to_three_digits():
    """Of a thousand different milliseconds, the 990th is p99."""
    found = spread(1_000).percentiles([50, 99, 99.9, 100])

    assert [value / 1_000 for value in found.values()] == pytest.approx([500, 990, 999, 1_000], rel=0.001)


def test_nothing_measured_has_no_percentiles():
    """Zero, and no error."""
    nothing = Latency()

    assert (nothing.count, nothing.percentile(99), nothing.least_us, nothing.most_us) == (0, 0, 0, 0)
    assert list(nothing.curve()) == []
    assert Latency.decode(nothing.encode()) == nothing


def test_times_beyond_the_range_count_as_its_ends():
    """A stall of two minutes is in the result, as at least one."""
    ends = Latency()
    ends.add(0)
    ends.add(-5)
    ends.add(120_000_000, count=2)

    assert (ends.count, ends.least_us) == (4, 1)
    assert ends.most_us == HIGHEST_US


def test_distributions_add_up():
    """Of several processes as of one."""
    together = latency(1, 2)
    together.merge(latency(3))
    together.merge(Latency())

    assert together == latency(1, 2, 3)
    assert together != latency(1, 2)


def test_a_histogram_of_another_range_is_refused():
    """Its buckets would be read as other times."""
    from hdrh.histogram import HdrHistogram

    other = HdrHistogram(1, 1_000_000, 2)
    other.record_value(5)

    with pytest.raises(BadLatency, match="three digits"):
        Latency.decode(other.encode().decode())


def test_the_busiest_process_counts():
    """One full core is what limits a run, however idle the others are."""
    from hub.bench.result import Process

    assert replace(result(), processes=(Process(0.1, 1), Process(0.95, 1), Process(0, 0))).busy == 0.95
    assert replace(result(), processes=()).busy == 0
