"""Logs: one form for everybody, no secrets, no forged lines, no floods."""

import io
import json
import logging

import pytest
import structlog

from hub import logs
from hub.logs import LogLimit


@pytest.fixture(autouse=True)
def logging_as_it_was():
    root = logging.getLogger()
    libraries = [logging.getLogger(name) for name in logs.LIBRARIES]
    before = [(log, log.handlers[:], log.level, log.propagate) for log in (root, *libraries)]
    yield
    structlog.reset_defaults()
    for log, handlers, level, propagate in before:
        log.handlers[:], log.propagate = handlers, propagate
        log.setLevel(level)


def written(form, write, **options):
    """What a piece of code logs, as text."""
    stream = io.StringIO()
    logs.configure(form=form, stream=stream, **options)
    write()
    return stream.getvalue()


def lines(write, **options):
    return [json.loads(line) for line in written("json", write, **options).splitlines()]


def test_structlog_and_logging_go_the_same_way():
    """The hub and the libraries below it write lines of the same kind."""

    def write():
        structlog.get_logger("hub.gateway").info("started", port=8080)
        logging.getLogger("uvicorn.error").info("listening on %s", "8080", extra={"color_message": "x"})

    ours, theirs = lines(write)

    assert (ours["event"], ours["port"], ours["level"], ours["logger"]) == ("started", 8080, "info", "hub.gateway")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("listening on 8080", "info", "uvicorn.error")
    assert "color_message" not in theirs
    assert ours["timestamp"].endswith("Z")


def test_auto_is_json_where_nobody_is_looking():
    """A stream that is no terminal gets JSON."""
    assert json.loads(written("auto", lambda: structlog.get_logger().info("started")))["event"] == "started"


def test_levels_hold_for_libraries_too():
    """Access logs and debug lines of a library stay out."""

    def write():
        structlog.get_logger().info("ours")
        logging.getLogger("uvicorn.access").info("GET /")
        logging.getLogger("sqlalchemy.engine").info("SELECT")

    assert [line["event"] for line in lines(write)] == ["ours"]
    assert lines(write, level="warning") == []


@pytest.mark.parametrize(
    "name", ["password", "access_key", "accessKey", "key", "pepper", "Authorization", "set_cookie", "session_token"]
)
def test_fields_named_like_secrets_are_dropped(name):
    """At any depth, in both forms."""

    def write():
        structlog.get_logger().info("login", **{name: "hunter2"}, members={name: "hunter2"}, all=[{name: "hunter2"}])

    assert "hunter2" not in written("json", write)
    assert "hunter2" not in written("console", write)


@pytest.mark.parametrize("name", ["key_id", "keys", "close_code", "monkey"])
def test_names_that_only_resemble_a_secret_may_be_logged(name):
    """An id of a key says which, not what."""
    (line,) = lines(lambda: structlog.get_logger().info("login", **{name: 7}))

    assert line[name] == 7


def test_a_value_cannot_forge_a_line_or_drive_the_terminal():
    """Control characters, line ends and direction marks are written out; also in what an exception says."""
    hostile = "a\x1b[2Jb\r\nc\u202ed\x85e\x00"

    def write():
        log = structlog.get_logger()
        log.info(hostile, value=hostile, listed=[hostile])
        try:
            raise ValueError(hostile)
        except ValueError:
            log.exception("failed")

    text = written("console", write)

    assert not set(text) & set("\x1b\r\u202e\x85\x00")
    assert "a\\x1b[2Jb\\x0d\\x0ac\\u202ed\\x85e\\x00" in text
    assert len(written("json", write).splitlines()) == 2


def test_a_long_value_is_cut():
    """One peer does not fill the log with one line."""
    (line,) = lines(lambda: structlog.get_logger().info("frame", value="x" * 100_000))

    assert len(line["value"]) < 5_000
    assert line["value"].endswith("(100000 characters)")


def test_a_flood_becomes_a_few_lines_and_a_number():
    """At most N lines a second for each source and event, then how many were left out."""
    clock = [0.0]

    def write():
        limit = LogLimit(structlog.get_logger(), per_s=2, clock=lambda: clock[0])
        for _ in range(5):
            limit.info("bad frame", source="a")
        limit.warning("bad frame", source="b")
        limit.error("other", source="a")
        clock[0] = 1.5
        limit.info("bad frame", source="a")

    told = [(line["event"], line["source"], line.get("left_out")) for line in lines(write)]

    assert told == [
        ("bad frame", "a", None),
        ("bad frame", "a", None),
        ("bad frame", "b", None),
        ("other", "a", None),
        ("lines left out", "a", 3),
        ("bad frame", "a", None),
    ]


def test_what_was_left_out_is_told_at_the_end():
    """Also when the source never comes back, and only once."""
    clock = [0.0]

    def write():
        limit = LogLimit(structlog.get_logger(), per_s=1, clock=lambda: clock[0])
        limit.info("bad frame", source="a")
        limit.info("bad frame", source="a")
        limit.flush()
        clock[0] = 1.0
        limit.flush()
        limit.flush()

    assert [line["event"] for line in lines(write)] == ["bad frame", "lines left out"]


def test_many_sources_cost_bounded_memory():
    """The source seen first is forgotten, and what was left out of it is told."""

    def write():
        limit = LogLimit(structlog.get_logger(), per_s=1, sources=2, clock=lambda: 0.0)
        for source in ("a", "a", "b", "c"):
            limit.info("bad frame", source=source)

    told = [(line["event"], line["source"]) for line in lines(write)]

    assert told == [("bad frame", "a"), ("bad frame", "b"), ("lines left out", "a"), ("bad frame", "c")]
