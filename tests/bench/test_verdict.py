"""Verdicts: what ``--fail-if`` understands, and when a run has failed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.bench.figures import Unit, figure, shown_number, shown_time, unit_of
from hub.bench.latency import Latency
from hub.bench.result import Check, combined
from hub.bench.verdict import BadCondition, condition, failures
from tests.bench.results import UNCHECKED, at_rate, latency, result

RUN = result(
    latencies={"delivery": latency(*[10] * 98, 60, 60), "connect": latency(15), "lag": Latency()},
    rates={"deliveries_per_s": 90_000.0, "messages_per_s": 90.0},
    errors={"closed 1013": 2},
)
"""p50 10 ms, p99 60 ms; 15 ms to connect; half busy."""


def failed(text, run=RUN):
    return bool(failures(run, [condition(text)]))


@pytest.mark.parametrize(
    ("text", "fails"),
    [
        ("p99>50ms", True),
        ("p99>61ms", False),
        ("p50>50ms", False),
        ("p50<20ms", True),
        ("p99.9>=0.05s", True),
        ("p99>50000us", True),
        ("p99>50000µs", True),
        ("delivery.p99>50ms", True),
        ("connect.p99>20ms", False),
        ("connect.p99>14.9ms", True),
        ("delivery.mean>50ms", False),
        ("max>=60ms", True),
        ("min<10ms", False),
        ("deliveries/s<100k", True),
        ("deliveries/s<100k/s", True),
        ("deliveries/s<0.05M", False),
        ("messages/s<5000", True),
        ("messages/s <= 90", True),
        ("messages/s<90", False),
        ("errors>0", True),
        ("errors>2", False),
        ("lost>0", False),
        ("sent<1k", True),
        ("busy>0.9", False),
        ("busy>=50%", True),
        ("  busy  >  0.4  ", True),
    ],
)
def test_a_condition_is_true_or_not(text, fails):
    """A run fails when what must not be true is."""
    assert failed(text) == fails


@pytest.mark.parametrize(
    "text",
    [
        "",
        "p99",
        "p99>",
        ">50ms",
        "p99>50",
        "p99>50m",
        "p99>-1ms",
        "p99>fast",
        "p99=50ms",
        "p99==50ms",
        "p99=>50ms",
        "p99>50ms<3s",
        "p99>50ms, p50>1ms",
        "p101>5ms",
        "p>5ms",
        "99>5ms",
        "P99>5ms",
        "deliveries<100",
        "deliveries/s<100ms",
        "deliveries/s<0.9x",
        "lost>0ms",
        "errors>1%",
        "busy>1k",
        "nonsense>0",
        "p99>1e9s",
        "p99>٣ms",
    ],
)
def test_what_is_no_condition_is_refused_with_an_example(text):
    """A typing error must not make a verdict that never fails."""
    with pytest.raises(BadCondition, match="write it like p99>50ms"):
        condition(text)


def test_a_time_without_a_unit_is_told_which_there_are():
    """Fifty of what?"""
    with pytest.raises(BadCondition, match="us, ms or s"):
        condition("p99>50")


@pytest.mark.parametrize("text", ["p99>50ms", "deliveries/s<5", "p99>1.2", "nonsense>1x"])
def test_of_two_results_only_ratios_are_conditions(text):
    """Absolute bounds are for one run."""
    with pytest.raises(BadCondition, match=r"write it like deliveries/s<0\.9x"):
        condition(text, ratio=True)


NAMES = st.sampled_from(["p99", "p99.99", "connect.p50", "a-b_c.max", "messages/s", "lost", "errors", "busy"])
SIGNS = st.sampled_from([">", ">=", "<", "<="])
BOUNDS = st.integers(0, 10**12)


@given(NAMES, SIGNS, BOUNDS, st.sampled_from(["", " "]))
def test_every_condition_of_the_grammar_is_understood(name, sign, bound, blank):
    """Any figure, sign and bound, with blanks or without, mean what they say."""
    unit = {Unit.TIME: "us"}.get(unit_of(name), "")

    made = condition(f"{blank}{name}{blank}{sign}{blank}{bound}{unit}")

    assert (made.figure, made.sign, made.bound) == (name, sign, bound)
    assert made.holds(bound) == (sign in (">=", "<="))
    assert made.holds(bound + 1) == (sign in (">", ">="))


@given(st.text(max_size=40) | st.text("p9.<>=/smkM%x01busylot ", max_size=20))
def test_any_text_is_a_condition_or_refused(text):
    """Nothing else happens, and what is understood is of a figure that there is."""
    try:
        made = condition(text)
    except BadCondition:
        return

    assert unit_of(made.figure) is not None
    assert condition(made.text) == made


# --- the verdict ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["lost", "repeated", "reordered"])
def test_a_fault_fails_without_being_asked_for(fault):
    """Loss, repetition and disorder are never fine."""
    (line,) = failures(result(check=Check(**{fault: 1})))

    assert f"1 {fault}" in line


def test_nobody_looked_nobody_fails():
    """Without a check its counts mean nothing, unless a condition needs them."""
    unchecked = result(check=UNCHECKED)

    assert failures(unchecked) == []
    assert "nobody looked" in failures(unchecked, [condition("lost>0")])[0]


@pytest.mark.parametrize("text", ["recovery.p99>1s", "lag.p99>1s", "results/s<5"])
def test_what_was_not_measured_fails_its_condition(text):
    """A run that measured nothing must not pass for a fast one."""
    assert failed(text)


def test_a_failure_says_what_it_was():
    """The condition as it was written, and the figure."""
    assert failures(RUN, [condition("p99>50ms")]) == ["p99>50ms: it was 60.0 ms"]


def test_the_median_of_several_runs_is_judged():
    """One bad run of three is noise; a fault in one is a fault."""
    runs = combined([at_rate(10), at_rate(100), at_rate(110, errors={"x": 1})])

    assert failures(runs, [condition("deliveries/s<50")]) == []
    assert failures(runs, [condition("errors>0")]) == ["errors>0: it was 1"]
    assert (figure(runs, "deliveries/s").least, figure(runs, "deliveries/s").most) == (10, 110)


@pytest.mark.parametrize(
    ("us", "told"),
    [(0, "0 µs"), (7, "7 µs"), (999, "999 µs"), (1_000, "1.00 ms"), (12_340, "12.3 ms"), (999_900, "1.00 s")],
)
def test_times_are_told_in_three_digits(us, told):
    """And in the unit that suits them."""
    assert shown_time(us) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0, "0"),
        (0.25, "0.25"),
        (12, "12"),
        (9_456.2, "9,456"),
        (22_800, "22.8 k"),
        (812_345, "812 k"),
        (2.5e6, "2.50 M"),
    ],
)
def test_numbers_are_told_in_three_digits(value, told):
    """Up to ten thousand in full."""
    assert shown_number(value) == told
