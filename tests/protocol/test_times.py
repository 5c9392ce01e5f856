"""Timestamps: what the wire accepts, what it refuses, and that writing and reading agree."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.times import MAX_MS, format_ms, parse_ms

MIN_MS = -62_135_596_800_000
MOMENT_MS = 1_437_717_044_000
"""2015-07-24T05:50:44.000"""

ACCEPTED = {
    "2015-07-24T05:50:44.123": MOMENT_MS + 123,
    "2015-07-24T05:50:44": MOMENT_MS,
    "2015-07-24T05:50": MOMENT_MS - 44_000,
    "2015-07-24": MOMENT_MS - 21_044_000,
    # A fraction is one of a second, however many digits it has; what is finer than a millisecond is cut off.
    "2015-07-24T05:50:44.1": MOMENT_MS + 100,
    "2015-07-24T05:50:44.12": MOMENT_MS + 120,
    "2015-07-24T05:50:44.123999": MOMENT_MS + 123,
    "2015-07-24T05:50:44.000999999": MOMENT_MS,
    # Zones
    "2015-07-24T05:50:44Z": MOMENT_MS,
    "2015-07-24T05:50:44.5Z": MOMENT_MS + 500,
    "2015-07-24T07:50:44+02:00": MOMENT_MS,
    "2015-07-24T07:50:44+0200": MOMENT_MS,
    "2015-07-24T07:50:44+02": MOMENT_MS,
    "2015-07-24T07:50:44.250+02:00": MOMENT_MS + 250,
    "2015-07-24T02:20:44-03:30": MOMENT_MS,
    "2015-07-24T02:20:44-0330": MOMENT_MS,
    "2015-07-24T07:50+02:00": MOMENT_MS - 44_000,
    # Milliseconds since 1970
    MOMENT_MS: MOMENT_MS,
    "1437717044000": MOMENT_MS,
    0: 0,
    -1: -1,
    "-1": -1,
    # RFC 1123
    "Fri, 24 Jul 2015 05:50:44 GMT": MOMENT_MS,
    "Fri, 24 Jul 2015 07:50:44 +0200": MOMENT_MS,
    "Fri, 24 Jul 2015 05:50:44 -0000": MOMENT_MS,
    # The ends
    "0001-01-01": MIN_MS,
    "9999-12-31T23:59:59.999": MAX_MS,
    MIN_MS: MIN_MS,
    MAX_MS: MAX_MS,
}

REFUSED = [
    "",
    " ",
    "yesterday",
    "2015-07",
    "2015-7-24",
    "2015-13-01",
    "2015-02-29",
    "0000-01-01",
    "10000-01-01",
    "2015-07-24 05:50:44",
    "2015-07-24t05:50:44",
    "2015-07-24T05",
    "2015-07-24T24:00:00",
    "2015-07-24T05:60",
    "2015-07-24T05:50:60",
    "2015-07-24T05:50:44.",
    "2015-07-24T05:50:44,5",
    "2015-07-24T05:50:44.1234567890",
    "2015-07-24T05:50:44z",
    "2015-07-24T05:50:44+2",
    "2015-07-24T05:50:44+19:00",
    "2015-07-24T05:50:44+02:60",
    "2015-07-24Z",
    " 2015-07-24",
    "2015-07-24\n",
    "２０１５-07-24",
    "٣٣",
    "1437717044000.0",
    "1e3",
    "--1",
    "-",
    "+1",
    "0x10",
    "9" * 20,
    "9" * 5_000,
    MIN_MS - 1,
    MAX_MS + 1,
    2**64,
    "0001-01-01T00:00:00+01:00",
    "9999-12-31T23:59:59.999-01:00",
    "24 Jul 2015 05:50:44 GMT",
    "Fri, 24 Jul 2015 05:50:44 GMT" + " " * 40,
    "Fri, 32 Jul 2015 05:50:44 GMT",
    "Fri, 24 Foo 2015 05:50:44 GMT",
    "Fri, 24 Jul 2015 05:50:44 +9999",
    "Fri, 24 Jul 99999 05:50:44 GMT",
    "Fri, 24 Jul 9999999999 05:50:44 GMT",
    "Fri, 24 Jul 15 05:50:44 GMT",
    "Fri, 24 Jul 2015 5:6",
    "Fri, 24 Jul 2015",
    "x, 24 Jul 2015 05:50:44 GMT",
    "Fri, 24 Jul 2015 05:50:44",
    "Fri, 24 Jul 2015 25:50:44 GMT",
    "Fri,",
    ",",
]


@pytest.mark.parametrize(("text", "timestamp_ms"), ACCEPTED.items(), ids=repr)
def test_every_accepted_form_is_read_to_the_millisecond(text, timestamp_ms):
    """ISO 8601, RFC 1123 and milliseconds since 1970 all name the same moment."""
    assert timestamp_ms == parse_ms(text)


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text)[:40])
def test_everything_else_is_refused(text):
    """What is nearly a timestamp is an error, never a guess."""
    with pytest.raises(ValueError, match=r".+"):
        parse_ms(text)


@given(st.integers(MIN_MS, MAX_MS))
def test_a_timestamp_is_read_back_as_it_was_written(timestamp_ms):
    """Writing loses nothing, from the year 1 to the year 9999."""
    assert timestamp_ms == parse_ms(format_ms(timestamp_ms))


@given(st.integers(MIN_MS, MAX_MS), st.integers(MIN_MS, MAX_MS))
def test_timestamps_sort_as_text_as_they_do_in_time(one_ms, other_ms):
    """Every timestamp has the same shape, so clients may compare the texts."""
    one, other = format_ms(one_ms), format_ms(other_ms)

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", one)
    assert (one_ms < other_ms) == (one < other)


@pytest.mark.parametrize(
    ("timestamp_ms", "text"),
    [
        (MOMENT_MS, "2015-07-24T05:50:44.000"),
        (-1, "1969-12-31T23:59:59.999"),
        (MIN_MS, "0001-01-01T00:00:00.000"),
        (MAX_MS, "9999-12-31T23:59:59.999"),
    ],
)
def test_timestamps_are_written_in_the_wires_format(timestamp_ms, text):
    """Zeros are written out in every place, in early years too."""
    assert text == format_ms(timestamp_ms)


@given(st.text() | st.text(alphabet="0123456789-:T.Z+, JanFriGMT").map("Fri, {}".format))
def test_any_text_is_a_timestamp_or_refused(text):
    """Hostile text raises nothing but ValueError, and what is accepted can be written."""
    try:
        timestamp_ms = parse_ms(text)
    except ValueError:
        return

    assert len(format_ms(timestamp_ms)) == 23
