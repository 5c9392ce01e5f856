"""The report: one page that needs nothing else and says what was measured."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from hub.bench import charts
from hub.bench.compare import compare
from hub.bench.latency import Latency
from hub.bench.report import comparison_report, report
from hub.bench.result import Check, Result, combined
from tests.bench.results import UNCHECKED, at_rate, latency, result, samples

EVIL = """<script>alert(1)</script><img src='https://evil.example' onerror="x">&amp;]]>\x1b[2J"""


def tree(text):
    """The page as XML, which it is too: every element is closed, and every text escaped."""
    return ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>\n"))


def words(text):
    return re.sub(r"\s+", " ", " ".join(tree(text).find("body").itertext()))


def evil():
    """Whatever can come from outside says something evil."""
    return result(
        scenario=EVIL,
        parameters={EVIL: EVIL, "nested": {EVIL: [EVIL]}},
        system={EVIL: EVIL, "limits": EVIL},
        started=EVIL,
        errors={EVIL: 1},
        latencies={"delivery": latency(1, 2)},
        rates={f"{EVIL}_per_s": 1.0, EVIL: 2.0},
        warnings=(EVIL,),
    )


PAGES = {
    "plain": lambda: report(result()),
    "failed": lambda: report(result(check=Check(lost=3)), ["3 lost"]),
    "repeated": lambda: report(combined([at_rate(1), at_rate(2), at_rate(3)]), []),
    "nothing": lambda: report(Result(scenario="fanout")),
    "one second": lambda: report(result(samples=samples(5), latencies={"delivery": latency(1)})),
    "evil": lambda: report(evil(), [EVIL]),
    "both": lambda: comparison_report(compare(result(), at_rate(2_000)), ("a.json", "b.json")),
    "both evil": lambda: comparison_report(compare(evil(), evil()), (EVIL, EVIL)),
}


@pytest.fixture(params=PAGES.values(), ids=PAGES)
def page(request):
    return request.param()


def test_a_page_is_well_formed(page):
    """Every browser reads the same out of it."""
    assert tree(page).tag == "html"


class Outward(HTMLParser):
    """Collects what a browser would fetch, follow or run."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        bad = {"script", "img", "link", "iframe", "object", "embed", "base", "a", "use", "image"} & {tag}
        self.found += [*bad, *(name for name, _ in attrs if name in ("src", "href", "srcset") or name.startswith("on"))]


def test_a_page_needs_nothing_else(page):
    """No script, no link, no address to fetch from, and a policy that forbids them."""
    outward = Outward()
    outward.feed(page)
    style = tree(page).find("head/style").text

    assert outward.found == []
    assert not re.search(r"url\(|@import|https?:", style)
    assert "default-src 'none'" in page


def test_texts_from_outside_stay_texts(page):
    """Whatever a result says is shown as it is written, without control characters."""
    assert "<script" not in page
    assert "<img" not in page
    assert "\x1b" not in page


def test_the_report_tells_what_was_measured():
    """Figures, times, parameters, system, warnings and the check, each with its unit."""
    told = words(report(result(warnings=("a load process was busy",), errors={"closed 1013": 2}), []))

    for text in (
        "hub bench fanout",
        "1 publisher → 10 dashboards · 16 in flight · 3 s",
        "2026-01-02 03:04 UTC",
        "1,000 deliveries per second",
        "p99.99",
        "Nothing lost, repeated or reordered",
        "A load process was busy",
        "closed 1013",
        "payload bytes 64",
        "limits bench",
        "durability commit",
        "Quick 3000",
        "percentile of all measured",
        "seconds",
    ):
        assert text in told


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (report(result(check=Check(lost=1_200, repeated=1))), "1,200 lost, 1 repeated"),
        (report(result(), ["p99>5ms: it was 7 ms"]), "Failed p99>5ms: it was 7 ms"),
        (report(result(check=UNCHECKED)), "Not checked"),
    ],
)
def test_the_verdict_stands_above(page, told):
    """Nobody has to look for it."""
    assert told in words(page)[:400]


def test_every_run_is_in_the_table():
    """With the median below them."""
    told = words(report(combined([at_rate(100), at_rate(300), at_rate(200)])))

    assert "100/s" in told
    assert "300/s" in told
    assert "median 200/s" in told


def test_a_comparison_tells_ratios():
    """First, and in a table."""
    told = words(comparison_report(compare(at_rate(1_000), at_rate(1_500)), ("old.json", "new.json")))

    assert "1.50× deliveries/s: 1,000/s → 1,500/s" in told
    assert "A: old.json" in told
    assert "B: new.json" in told


# --- charts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [0, 0.3, 1, 7, 999, 1_001, 3_141_592])
def test_a_linear_axis_holds_its_values(most):
    """From nought to a round number, with a handful of ticks."""
    axis = charts.linear("x", most, str)

    assert axis.place(0) == 0
    assert 0 <= axis.place(most) <= 1 + 1e-9
    assert 3 <= len(axis.ticks) <= 8


@pytest.mark.parametrize(("least", "most"), [(1, 1), (1, 60_000_000), (950, 1_800), (3, 4), (1_000, 10_000)])
def test_a_logarithmic_axis_holds_its_values(least, most):
    """Both ends lie on it, and its ticks are round."""
    axis = charts.logarithmic("x", least, most, str)

    assert 0 <= axis.place(least) <= axis.place(most) <= 1 + 1e-9
    assert all(0 <= axis.place(value) <= 1 + 1e-9 for value, _ in axis.ticks)
    assert 2 <= len(axis.ticks) <= 9


def test_each_nine_is_as_far_as_the_one_before():
    """As HdrHistogram plots percentiles."""
    axis = charts.percentiles("x", 99.999)
    places = [axis.place(percent) for percent in (0, 90, 99, 99.9, 99.99, 99.999)]

    assert [later - earlier for earlier, later in pairwise(places)] == pytest.approx([0.2] * 5)


def test_a_long_line_keeps_its_peaks():
    """An hour of seconds is thinned, and the one bad second stays."""
    points = [(float(second), 1_000.0 if second == 1_234 else 1.0) for second in range(3_600)]
    axis = charts.linear("y", 1_000, str)

    drawn = charts.line_chart("x", [charts.Series("a", points)], charts.span("s", 3_600, str), axis)

    places = re.search(r'points="([^"]*)"', drawn)[1].split()
    assert len(places) <= charts.POINTS_MAX
    assert min(float(place.split(",")[1]) for place in places) == charts.TOP


def test_nothing_to_draw_is_no_chart():
    """An empty picture would look like a measurement of nothing."""
    page = report(Result(scenario="connect", latencies={"connect": Latency()}))

    assert "<svg" not in page
