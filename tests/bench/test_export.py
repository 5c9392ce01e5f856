"""Results for other tools."""

import csv
import io
import re

import pytest

from hub.bench.export import hgrm_files, to_csv, to_hgrm
from hub.bench.latency import Latency
from hub.bench.result import Sample, combined
from tests.bench.results import latency, result, samples, spread


def test_a_line_for_each_second():
    """Named columns; what was not measured is empty."""
    run = result(samples=(*samples(10, 20), Sample(3.0, connections=7)))

    lines = list(csv.DictReader(io.StringIO(to_csv(run))))

    assert [line["deliveries"] for line in lines] == ["10", "20", "0"]
    assert lines[0]["run"] == "1"
    assert (lines[0]["p50_us"], lines[2]["p50_us"], lines[2]["connections"]) == ("1500", "", "7")


def test_lines_of_several_runs_are_numbered():
    """All of them are there, not only the one in the middle."""
    runs = combined([result(samples=samples(count)) for count in (1, 2, 3)])

    lines = list(csv.DictReader(io.StringIO(to_csv(runs))))

    assert [(line["run"], line["deliveries"]) for line in lines] == [("1", "1"), ("2", "2"), ("3", "3")]


LINE = re.compile(r" *(\d+\.\d{3}) +([01]\.\d{12}) +(\d+)(?: +(\d+\.\d{2}))?")


def parsed(text):
    """Value, percentile, count and 1/(1-percentile) of each line, as HdrHistogram's plotter reads them."""
    head, blank, *rest = text.splitlines()
    assert head.split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    assert blank == ""
    lines = [LINE.fullmatch(line) for line in rest if not line.startswith("#")]
    assert all(lines)
    return [(float(line[1]), float(line[2]), int(line[3]), line[4]) for line in lines]


def test_the_percentile_distribution_is_right():
    """Each value is the one below which so many of the thousand milliseconds lie."""
    points = parsed(to_hgrm(spread(1_000)))

    for value_ms, percentile, reached, _ in points:
        assert value_ms == pytest.approx(max(1, percentile * 1_000), abs=1.5)
        assert reached == pytest.approx(max(1, percentile * 1_000), abs=1.5)
    assert points[-1][1:] == (1.0, 1_000, None)
    assert [point[1] for point in points] == sorted(point[1] for point in points)


def test_the_stretched_axis_is_there():
    """1/(1-percentile), to the end but for the last line, where it would be infinite."""
    *points, _ = parsed(to_hgrm(spread(100)))

    assert all(
        float(stretched) == pytest.approx(1 / (1 - percentile), abs=0.01) for _, percentile, _, stretched in points
    )


def test_the_footer_sums_up():
    """Mean, deviation, longest and count, in milliseconds."""
    mean, longest, buckets = to_hgrm(latency(10, 10, 40)).splitlines()[-3:]

    assert [float(part) for part in re.findall(r"\d+\.\d+", mean)] == pytest.approx([20, 14.142], rel=0.002)
    assert [float(part) for part in re.findall(r"\d+\.?\d*", longest)] == pytest.approx([40, 3], rel=0.002)
    assert buckets.startswith("#[Buckets = ")


def test_nothing_measured_has_no_lines():
    """An empty distribution is a file that can be read, too."""
    assert parsed(to_hgrm(Latency())) == []


def test_each_distribution_has_its_file(tmp_path):
    """The main one is where it was asked for, the others beside it; empty ones are left out."""
    run = result(latencies={"acknowledgement": latency(1), "delivery": latency(2), "lag": Latency()})

    files = hgrm_files(run, tmp_path / "run.hgrm")

    assert {path.name: parsed(text)[0][0] for path, text in files.items()} == {
        "run.hgrm": pytest.approx(2, rel=0.001),
        "run-acknowledgement.hgrm": pytest.approx(1, rel=0.001),
    }
