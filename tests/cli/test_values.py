"""What people write on a command line."""

import pytest

from hub.cli.output import Exit, Failure
from hub.cli.target import websocket_url
from hub.cli.values import duration_ms, json_value, moment_ms, pairs, storable


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90_000), ("15m", 900_000), ("2h", 7_200_000), ("30D", 2_592_000_000), ("1w", 604_800_000), ("5ms", 5)],
)
def test_durations(text, expected):
    """A number and a unit."""
    assert duration_ms(text) == expected


@pytest.mark.parametrize("text", ["", "5", "s", "-5s", "1.5h", "٣s", "5 s", "9999999999d"])
def test_what_is_no_duration(text):
    """It may be something else."""
    assert duration_ms(text) is None


def test_moments():
    """From now on, or by the calendar."""
    assert moment_ms("1s", now_ms=5, what="--expires") == 1_005
    assert moment_ms("1970-01-01T00:00:01+00:00", now_ms=5, what="--expires") == 1_000


def test_parameters_are_json_where_they_can_be():
    """Everything else is text; only the first equals sign counts."""
    words = ["on=true", "level=5", "name=lamp", 'list=[1, "a"]', "empty=", "x=a=b", "nan=NaN"]

    assert pairs(words) == {
        "on": True,
        "level": 5,
        "name": "lamp",
        "list": [1, "a"],
        "empty": "",
        "x": "a=b",
        "nan": "NaN",
    }
    assert pairs([]) is None


@pytest.mark.parametrize("word", ["on", "=5"])
def test_a_parameter_has_a_name_and_a_value(word):
    """Anything else is a mistake, not a guess."""
    with pytest.raises(Failure, match="name=value") as caught:
        pairs([word])
    assert caught.value.code is Exit.USAGE


@pytest.mark.parametrize("text", ["{", "NaN", "", "[" * 100_000])
def test_what_is_no_json(text):
    """The message shows how to write it."""
    with pytest.raises(Failure, match="not JSON"):
        json_value(text, what="--data")


def test_an_argument_that_is_no_text():
    """Bytes that are not UTF-8 arrive as half characters; the database could not store them."""
    with pytest.raises(Failure, match="not valid UTF-8"):
        storable("a\udcff", what="the name")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("hub.example.org", "ws://hub.example.org/api/websocket"),
        ("http://127.0.0.1:8080/", "ws://127.0.0.1:8080/api/websocket"),
        ("https://hub.example.org", "wss://hub.example.org/api/websocket"),
        ("ws://[::1]:1/dh/websocket", "ws://[::1]:1/dh/websocket"),
        ("wss://h/websocket/", "wss://h/websocket"),
    ],
)
def test_addresses(text, url):
    """What people know is the address of the hub; the path of its sockets is ours to know."""
    assert websocket_url(text) == url


@pytest.mark.parametrize("text", ["ftp://h", "http://", "http://user:secret@h", "http://[", "ws://h?token=secret"])
def test_what_is_no_address(text):
    """Nothing of it is repeated: it may hold a secret."""
    with pytest.raises(Failure, match="must look like") as caught:
        websocket_url(text)
    assert "secret" not in str(caught.value)
