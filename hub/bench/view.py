"""What a run shows while it goes on, on stderr: bars and live figures on a terminal, now and then a line elsewhere."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from hub.bench.figures import shown_number, shown_time
from hub.bench.plan import View
from hub.bench.result import Sample

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.progress import Progress, TaskID

LINE_EVERY_S = 5.0
"""How often a line is written where nobody looks at a terminal."""
MEASURING = "measuring"
HISTORY = 60
"""Seconds in the small picture of the throughput."""
BLOCKS = "▁▂▃▄▅▆▇█"


@contextmanager
def watching(*, quiet: bool = False) -> Iterator[View]:
    """A view for the time of one or several runs: what fits stderr, or one that says nothing."""
    if quiet:
        yield Silent()
    elif not sys.stderr.isatty():
        yield Lines(sys.stderr)
    else:
        from rich.console import Console

        with live(Console(stderr=True, highlight=False)) as view:
            yield view


class Silent:
    """Says nothing; what has to be known is in the result."""

    def phase(self, name: str, total: int | None) -> None:
        """Something begins."""

    def advance(self, count: int) -> None:
        """So much more is done."""

    def sample(self, sample: Sample) -> None:
        """A second has passed."""

    def warn(self, text: str) -> None:
        """Something is to be known."""


class Lines:
    """A line when something begins, and one every few seconds: for log files and CI."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._said_s = clock()
        self._name = ""
        self._total: int | None = None
        self._done = 0

    def phase(self, name: str, total: int | None) -> None:
        self._name, self._total, self._done = name, total, 0
        self._say(name)

    def advance(self, count: int) -> None:
        self._done += count
        if self._due():
            of = f" of {self._total:,}" if self._total is not None else ""
            self._say(f"{self._name}: {self._done:,}{of}")

    def sample(self, sample: Sample) -> None:
        if self._due():
            self._say(f"{self._name}, {sample.at_s:.0f} s: {in_words(sample)}")

    def warn(self, text: str) -> None:
        self._say(f"warning: {text}")

    def _due(self) -> bool:
        return self._clock() - self._said_s >= LINE_EVERY_S

    def _say(self, text: str) -> None:
        self._said_s = self._clock()
        self._stream.write(text + "\n")
        self._stream.flush()


def in_words(sample: Sample) -> str:
    """A second in one line."""
    return ", ".join(f"{name} {value}" if name in _BEFORE else f"{value} {name}" for name, value in members(sample))


_BEFORE = ("p50", "p99")


def members(sample: Sample) -> Iterator[tuple[str, str]]:
    """The figures of a second that there are, with their names."""
    for name, value in (("deliveries/s", sample.deliveries), ("messages/s", sample.messages)):
        if value:
            yield name, shown_number(value)
    for name, us in (("p50", sample.p50_us), ("p99", sample.p99_us)):
        if us is not None:
            yield name, shown_time(us)
    yield "connections", f"{sample.connections:,}"
    yield "errors", f"{sample.errors:,}"


# --- on a terminal ----------------------------------------------------------------------------------------------------


@contextmanager
def live(console: "Console") -> Iterator["Bars"]:
    """Bars that redraw themselves, and are gone when the run is over."""
    from rich.live import Live

    view = Bars(console)
    with Live(console=console, get_renderable=view.drawn, refresh_per_second=8, transient=True):
        yield view


class Bars:
    """A bar for each phase, with the figures of the last second below them."""

    def __init__(self, console: "Console") -> None:
        self._console = console
        self._progress = _bars(console)
        self._task: TaskID | None = None
        self._name = ""
        self._last: Sample | None = None
        self._rates: deque[int] = deque(maxlen=HISTORY)
        self._errors = 0

    def phase(self, name: str, total: int | None) -> None:
        if self._task is not None:
            self._close(self._task)
        if name in {task.description for task in self._progress.tasks}:
            self._again()
        self._name = name
        self._task = self._progress.add_task(name, total=total)

    def advance(self, count: int) -> None:
        if self._task is not None:
            self._progress.advance(self._task, count)

    def sample(self, sample: Sample) -> None:
        self._last = sample
        self._rates.append(sample.deliveries or sample.messages or sample.acknowledged)
        self._errors += sample.errors
        if self._name == MEASURING and self._task is not None:
            self._progress.update(self._task, completed=sample.at_s)  # its bar counts seconds

    def warn(self, text: str) -> None:
        from rich.markup import escape

        self._console.print(f"[yellow]warning:[/] {escape(text)}")

    def drawn(self) -> "Group":
        """What is to be seen now; called by rich's own thread."""
        from rich.console import Group
        from rich.text import Text

        if self._last is None:
            return Group(self._progress)
        return Group(self._progress, Text(""), self._figures(self._last))

    def _figures(self, sample: Sample) -> "Group":
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="dim")
        shown = [(name, value) for name, value in members(sample) if name != "errors"]
        shown.append(("errors", f"{self._errors:,}"))
        for name, _ in shown:
            table.add_column(name, justify="right", min_width=8)
        styles = ["bold red" if name == "errors" and self._errors else "bold" for name, _ in shown]
        table.add_row(*(Text(value, style) for (_, value), style in zip(shown, styles, strict=True)))
        return Group(table, Text(sparks(list(self._rates)), "cyan"))

    def _close(self, task: "TaskID") -> None:
        done = self._progress.tasks[self._progress.task_ids.index(task)]
        self._progress.update(task, total=done.total or 1, completed=done.total or 1)
        self._progress.stop_task(task)

    def _again(self) -> None:
        """A repeated run begins with bars of its own."""
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        self._last = None
        self._rates.clear()


def sparks(values: list[int]) -> str:
    """A line of blocks, as high as the values are to each other."""
    most = max(values, default=0)
    return "".join(BLOCKS[min(value * len(BLOCKS) // most, len(BLOCKS) - 1)] for value in values) if most else ""


def _bars(console: "Console") -> "Progress":
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
    from rich.text import Text

    class Counted(ProgressColumn):
        """How much is done, where that is known."""

        def render(self, task: Task) -> Text:
            known = task.total is not None and task.total > 1
            return Text(f"{task.completed:,.0f}/{task.total:,.0f}" if known else "", "green")

    return Progress(
        TextColumn("{task.description:<13}"), BarColumn(bar_width=36), TimeElapsedColumn(), Counted(), console=console
    )
