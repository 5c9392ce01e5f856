"""What the comparison has to know of a system, and how servers are started and ended."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.wire import Stage

SERVER_CORE, CLIENT_CORE = 0, 1
END_S = 60.0


@dataclass(frozen=True, slots=True)
class Does:
    """What a system does for a message, in a word or two each."""

    durable: str
    ids: str
    rights: str
    parses: str
    acknowledges: str


@dataclass(frozen=True, slots=True)
class Job:
    """What a server is started for.

    Attributes:
        devices: how many publishers there will be.
        wire_bytes: of one delivery, frame included.
        acknowledged: whether publishers wait for acknowledgements.
    """

    devices: int
    wire_bytes: int
    acknowledged: bool


@dataclass(frozen=True, slots=True)
class Served:
    """A server that takes connections, and how to talk to it.

    Attributes:
        subscriber: how a connection begins that receives everything.
        publisher: how the connection of the publisher with this number begins.
        messages: what publishers send, in turn; as much longer as is asked for.
        ack: what is in each acknowledgement once; empty: there are none.
        before: what one more connection says before all others, to make what they need.
    """

    port: int
    pid: int
    subscriber: list[Stage]
    publisher: Callable[[int], list[Stage]]
    messages: Callable[[int], list[bytes]]
    ack: bytes
    before: tuple[Stage, ...] = ()


@dataclass(frozen=True, slots=True)
class System:
    """One of the systems that are compared.

    Attributes:
        family: a word that chooses it together with its like.
        missing: what to install before it can run; None: nothing.
        start: start it in an empty directory, on the server's core; the context ends it.
    """

    name: str
    family: str
    does: Does
    missing: Callable[[], str | None]
    version: Callable[[], str]
    start: Callable[[Path, Job], AbstractContextManager[Served]]


@contextmanager
def process(*command: str | Path, directory: Path, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """A server on its core, ended and waited for at the end. Its errors go to a file in the directory."""
    with on_core(SERVER_CORE), (directory / "stderr.log").open("wb") as errors:
        child = subprocess.Popen(
            list(map(str, command)),
            cwd=directory,
            env=os.environ | environ,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        yield child
    finally:
        _end(child)


def _end(child: subprocess.Popen[str]) -> None:
    child.terminate()
    try:
        child.communicate(timeout=END_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Let processes that are started meanwhile run on this core only, where there is more than one."""
    before = os.sched_getaffinity(0)
    if pinned():
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def pinned() -> bool:
    """Whether server and client have a core each."""
    return {SERVER_CORE, CLIENT_CORE} <= os.sched_getaffinity(0)


def first_line(child: subprocess.Popen[str]) -> str:
    """What a server prints first: its port, or where it listens.

    Raises:
        RuntimeError: it has ended instead.
    """
    assert child.stdout is not None, "a pipe was asked for"
    line = child.stdout.readline()
    if not line:
        raise RuntimeError("it ended before it took connections:")
    return line


def output(*command: str | Path) -> str:
    """The first line that a command prints."""
    told = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    return (told.stdout or told.stderr).strip().partition("\n")[0]


def found(command: str) -> str | None:
    """Where a program is; Debian keeps servers out of the path of ordinary users."""
    return shutil.which(command) or shutil.which(command, path="/usr/sbin:/usr/local/sbin")
