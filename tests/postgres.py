"""A real PostgreSQL of the tests' own: started once, and a database of its own for each test."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.waiting import WAIT_S

PASSWORD = "the password of the tests"
_DURABLE_ENOUGH = ("-c", "fsync=off", "-c", "synchronous_commit=on", "-c", "full_page_writes=off")


class Server:
    """A PostgreSQL on a socket in a directory that goes with it, and on a port of this computer with a password.

    Args:
        options: more of what ``postgres`` takes on its command line.
    """

    def __init__(self, binaries: Path, place: Path, options: tuple[str, ...] = _DURABLE_ENOUGH) -> None:
        self._binaries = binaries
        self._place = place
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count()
        self._template = "template1"
        self._strategy: str | None = None
        self.port = 5432

    # --- the server ---

    def make(self) -> None:
        """Make the files of an empty server."""
        secret = self._place / "password"
        secret.write_text(PASSWORD)
        _give_away(self._place, secret)
        options = ("--username=hub", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", f"--pwfile={secret}")
        auth = ("--auth-local=trust", "--auth-host=scram-sha-256")
        self._run("initdb", f"--pgdata={self._data}", *options, *auth)

    def start(self) -> None:
        """Start, and wait until it answers."""
        with open(self._place / "log", "ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._data, *self._listening(), *self._options],
                stdout=log,
                stderr=log,
                cwd=self._place,
                **_somebody_else(),
            )
        deadline_s = time.monotonic() + WAIT_S
        while self._try("psql", *self._to("postgres"), "-c", "SELECT 1").returncode != 0:
            assert time.monotonic() < deadline_s, (self._place / "log").read_text()
            assert self._process.poll() is None, (self._place / "log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it as an operator would: connections are cut, what was committed is kept."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill it with all its processes, as a power cut would."""
        assert self._process is not None
        for pid in _children(self._process.pid):
            with suppress(ProcessLookupError):  # A worker of the server may have ended by itself.
                os.kill(pid, signal.SIGKILL)
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let no process of it do anything until :meth:`resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        for pid in (self._process.pid, *_children(self._process.pid)):
            with suppress(ProcessLookupError):  # A worker of the server may have ended by itself.
                os.kill(pid, number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait(WAIT_S)

    # --- its databases ---

    @contextmanager
    def database(self, *, template: str | None = None) -> Iterator[str]:
        """The URL of a new database: a copy of the one that :meth:`keep_as_template` was told of, or of this one."""
        name = f"test{next(self._numbers)}"
        self.do("postgres", f"CREATE DATABASE {name} TEMPLATE {template or self._template} {self._copying()}")
        try:
            yield self.url(name)
        finally:
            self.do("postgres", f"DROP DATABASE {name} WITH (FORCE)")

    def _copying(self) -> str:
        """Files are copied in a quarter of the time that rows take; before version 15 there was nothing else."""
        if self._strategy is None:
            self._strategy = (
                "STRATEGY file_copy" if int(self.do("postgres", "SHOW server_version_num")) >= 150_000 else ""
            )
        return self._strategy

    def keep_as_template(self, name: str) -> None:
        """From now on, new databases are copies of this one."""
        self._template = name

    def url(self, name: str) -> str:
        return f"postgresql://hub@/{name}?host={self._place}&port={self.port}"

    def address(self, name: str, *, password: str = PASSWORD) -> str:
        """The URL through the port, where a password is asked for."""
        return f"postgresql://hub:{password.replace(' ', '%20')}@127.0.0.1:{self.port}/{name}"

    def do(self, name: str, statement: str) -> str:
        """Execute a statement as an operator would, and return what it says."""
        return self._run("psql", *self._to(name), "-c", statement)

    def _to(self, name: str) -> tuple[str, ...]:
        return ("-XAtq", "-h", str(self._place), "-p", str(self.port), "-U", "hub", "-d", name)

    # --- details ---

    @property
    def _data(self) -> Path:
        return self._place / "data"

    def _listening(self) -> tuple[str, ...]:
        self.port = self.port if self.port != 5432 else _free_port()
        return ("-k", str(self._place), "-h", "127.0.0.1", "-p", str(self.port))

    def _run(self, program: str, *arguments: str) -> str:
        done = self._try(program, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def _try(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._binaries / program, *arguments], capture_output=True, text=True, cwd=self._place, **_somebody_else()
        )


def name_of(url: str) -> str:
    """The name of the database in a URL."""
    return urlsplit(url).path[1:]


@contextmanager
def running(*options: str) -> Iterator[Server]:
    """A server of its own, or a skip that says what is missing."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("there is no PostgreSQL here: tests/needs.sh installs it")
    place = Path(tempfile.mkdtemp(prefix="hub-postgres-"))
    try:
        server = Server(binaries, place, options or _DURABLE_ENOUGH)
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(place)


def _binaries() -> Path | None:
    """Where the newest installed version is."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = str(installed[-1]) if installed else shutil.which("initdb")
    return None if found is None else Path(found).resolve().parent


def _somebody_else() -> dict[str, object]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    return {"user": _user().pw_uid, "group": _user().pw_gid, "extra_groups": []}


def _give_away(*paths: Path) -> None:
    if os.geteuid() == 0:
        for path in paths:
            os.chown(path, _user().pw_uid, _user().pw_gid)


def _user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    return [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
