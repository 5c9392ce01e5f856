"""What is shown while a run goes on."""

import io

import pytest
from rich.console import Console

from hub.bench.result import Sample
from hub.bench.view import LINE_EVERY_S, Lines, Silent, in_words, live, sparks, watching

SECOND = Sample(3.0, 1_200_000, 1_200, 1_200, 1_001, 2, 1_500, 9_000)


def test_a_second_in_words():
    """Rates, times, connections and errors; what was not measured is not told."""
    assert in_words(SECOND) == (
        "1.20 M deliveries/s, 1,200 messages/s, p50 1.50 ms, p99 9.00 ms, 1,001 connections, 2 errors"
    )
    assert in_words(Sample(1.0, connections=5)) == "5 connections, 0 errors"


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_log_file_gets_a_line_now_and_then():
    """Each phase once, and a line every few seconds, however often something happens."""
    clock, out = Clock(), io.StringIO()
    view = Lines(out, clock=clock)

    view.phase("connecting", 1_000)
    view.advance(10)
    clock.now += LINE_EVERY_S
    view.advance(490)
    view.phase("measuring", 10)
    view.sample(SECOND)
    clock.now += LINE_EVERY_S
    view.sample(SECOND)
    view.warn("the client is busy")

    assert out.getvalue().splitlines() == [
        "connecting",
        "connecting: 500 of 1,000",
        "measuring",
        f"measuring, 3 s: {in_words(SECOND)}",
        "warning: the client is busy",
    ]


def watched(view):
    view.phase("preparing", None)
    view.phase("connecting", 1_000)
    view.advance(1_000)
    view.phase("measuring", 3)
    view.sample(SECOND)
    view.warn("[bold]the client[/] is busy")


@pytest.fixture
def terminal():
    return Console(file=io.StringIO(), force_terminal=True, width=100, height=30, color_system=None)


def test_a_terminal_gets_bars_and_figures(terminal):
    """A bar for each phase, the figures of the last second, and warnings that stay."""
    with live(terminal) as view:
        watched(view)
        terminal.print(view.drawn())
    drawn = terminal.file.getvalue()

    for text in ("preparing", "connecting", "1,000/1,000", "measuring", "3/3", "1.20 M", "9.00 ms", "1,001", "█"):
        assert text in drawn
    assert "warning: [bold]the client[/] is busy" in drawn


def test_a_repeated_run_begins_anew(terminal):
    """Bars of the run before are gone."""
    with live(terminal) as view:
        watched(view)
        view.phase("preparing", None)
        terminal.file.truncate(0)
        terminal.print(view.drawn())

    assert "measuring" not in terminal.file.getvalue()


def test_where_nobody_looks_there_are_lines(capsys):
    """Pytest's stderr is no terminal."""
    with watching() as view:
        watched(view)

    assert capsys.readouterr().err.splitlines()[:2] == ["preparing", "connecting"]


def test_quiet_says_nothing(capsys):
    """Not even warnings: they are in the result."""
    with watching(quiet=True) as view:
        watched(view)

    assert isinstance(view, Silent)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("values", "drawn"), [([], ""), ([0, 0], ""), ([0, 1, 2, 4, 8], "▁▂▃▅█"), ([5, 5], "██")])
def test_a_small_picture_of_the_rates(values, drawn):
    """As high as they are to each other."""
    assert sparks(values) == drawn
