"""Programs as a person starts them: in a directory of their own, with a terminal or without, until they are ended."""

import fcntl
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from tests.waiting import WAIT_S, until

ROOT = Path(__file__).parents[2]
START_S = 3 * WAIT_S
"""How long a program may take to start: several of them share a slow computer."""

COLOURS_AND_MOVES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Z0-9]|[=>])")
TERMINAL_ROWS, TERMINAL_COLUMNS = 40, 120


@contextmanager
def interruptible() -> Iterator[None]:
    """Let programs that start now hear SIGINT, even if we run in the background and ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Program:
    """A running program, alone with its children in a session of its own. What it prints is kept.

    Attributes:
        words: what was started.
    """

    def __init__(self, words: list[str], *, logs: Path, **options: Any) -> None:
        self.words = words
        self._paths = logs.with_suffix(".out"), logs.with_suffix(".err")
        with self._paths[0].open("wb") as out, self._paths[1].open("wb") as err:
            streams = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err}
            with interruptible():
                self.process = subprocess.Popen(words, **{**streams, **options}, start_new_session=True)

    @property
    def out(self) -> str:
        """What it has printed so far."""
        return self._paths[0].read_text(errors="replace")

    @property
    def err(self) -> str:
        """What it has printed to stderr so far."""
        return self._paths[1].read_text(errors="replace")

    @property
    def code(self) -> int | None:
        """The exit code; None: it runs."""
        return self.process.poll()

    async def prints(self, text: str) -> str:
        """Wait until this is among what it has printed; returns all of that."""

        async def printed() -> bool:
            ended = self.code is not None
            found = text in self.out
            assert found or not ended, f"{self} ended without saying {text!r}"
            return found

        await until(printed, within_s=START_S)
        return self.out

    async def ends(self, code: int = 0) -> None:
        """Wait until it has ended, with this exit code."""

        async def ended() -> bool:
            return self.out is not None and self.code is not None

        await until(ended, within_s=START_S)
        assert self.code == code, str(self)

    async def interrupt(self, code: int = 0) -> None:
        """Ctrl-C; it ends with this exit code."""
        self.process.send_signal(signal.SIGINT)
        await self.ends(code)

    def kill(self) -> None:
        """End it with all its children, if anything is left of them."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def __str__(self) -> str:
        return f"{shlex.join(self.words)} ({self.code})\n{self.out}\n{self.err}"


class InTerminal(Program):
    """A program that has a terminal, in which one can type. What it prints is told without colours."""

    def __init__(self, words: list[str], **options: Any) -> None:
        self._ours, theirs = pty.openpty()
        self.raw = b""
        termios.tcsetwinsize(theirs, (TERMINAL_ROWS, TERMINAL_COLUMNS))
        fcntl.fcntl(self._ours, fcntl.F_SETFL, os.O_NONBLOCK)
        super().__init__(words, stdin=theirs, stdout=theirs, stderr=theirs, **options)
        os.close(theirs)

    @property
    def out(self) -> str:
        with suppress(BlockingIOError, OSError):  # EIO: the last program in this terminal has ended.
            while more := os.read(self._ours, 65_536):
                self.raw += more
        return COLOURS_AND_MOVES.sub("", self.raw.decode(errors="replace"))

    def types(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def kill(self) -> None:
        super().kill()
        os.close(self._ours)


@dataclass(frozen=True)
class Served:
    """A hub that runs, and what its first start has shown."""

    program: Program
    http: str
    url: str
    login: str = ""
    password: str = ""
    key: str = ""

    @property
    def port(self) -> int:
        return int(self.http.rpartition(":")[2])

    async def stop(self) -> None:
        """As an operator stops it."""
        self.program.process.send_signal(signal.SIGTERM)
        await self.program.ends()


def shown(program: Program) -> Served:
    """What a hub has shown in its terminal."""
    out = program.out
    return Served(
        program,
        http=_shown(r"listens on (http\S+) and", out),
        url=_shown(r" and (ws\S+)$", out),
        login=_shown(r"^ +administrator +(\S+)$", out),
        password=_shown(r"^ +password +(\S+)$", out),
        key=_shown(r"^ +access key +(\S+)$", out),
    )


def _shown(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.M)
    return found[1] if found else ""


class Place:
    """A directory in which ``.venv/bin/hub`` and ``.venv/bin/python`` are what these tests run with.

    Everything that is started here ends when the place is left.

    Attributes:
        path: of the directory; nothing else is in it at first.
        served: the hub that was started here last.
    """

    def __init__(self, path: Path, logs: Path) -> None:
        self.path = path
        self.served: Served | None = None
        self._logs = logs
        self._numbers = count(1)
        self._started = ExitStack()
        bin_directory = path / ".venv" / "bin"
        bin_directory.mkdir(parents=True)
        for name, words in (("python", [sys.executable]), ("hub", [sys.executable, "-m", "hub"])):
            (bin_directory / name).write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
            (bin_directory / name).chmod(0o755)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
        self._environ = {
            **clean,
            "PATH": os.pathsep.join([str(bin_directory), clean["PATH"]]),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), clean.get("PYTHONPATH", "")])),
            "PYTHONUNBUFFERED": "1",
            "TERM": "xterm-256color",
        }

    def start(self, *words: str, of: type[Program] = Program, **environ: str) -> Any:
        """Start a program and leave it running.

        Args:
            of: how it runs: ``InTerminal`` gives it a terminal.
            environ: variables beside the ordinary ones.
        """
        logs = self._logs / str(next(self._numbers))
        program = of(list(words), logs=logs, cwd=self.path, env={**self._environ, **environ})
        self._started.callback(program.kill)
        return program

    def shell(self, line: str, of: type[Program] = Program, **environ: str) -> Any:
        """Start what a line for the shell says."""
        return self.start("sh", "-c", line, of=of, **environ)

    async def run(self, *words: str, code: int = 0, **environ: str) -> Program:
        """Run a program to its end, which has to have this exit code."""
        program: Program = self.start(*words, **environ)
        await program.ends(code)
        return program

    async def serve(self, *words: str, **environ: str) -> Served:
        """Start a hub here, on a free port unless another is named, and wait until it listens."""
        defaults = {"HUB_PORT": "0", "HUB_DRAIN_S": "0"}
        program = self.start("hub", "serve", *words, **{**defaults, **environ})
        await program.prints("hub tail\n")
        self.served = shown(program)
        return self.served

    def with_examples(self) -> "Place":
        """The examples are here too."""
        (self.path / "examples").symlink_to(ROOT / "examples")
        return self

    def close(self) -> None:
        self._started.close()
