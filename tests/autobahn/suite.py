"""The Autobahn test suite: found or installed, and run against the echo servers.

It needs CPython 2.7 and has an environment of its own, in ``build/autobahn``. Its client exits with 0 whatever has
failed: what counts is the ``index.json`` of its report.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from protocol.names import Subprotocol
from tests.autobahn.verdict import Cases

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
HOME = ROOT / "build" / "autobahn"
WSTEST = HOME / "bin" / "wstest"
VIRTUALENV = "virtualenv==20.21.1"
"""The last line of versions that makes environments for Python 2.7; it brings a pip for it."""

BINARY_CASES = ["1.2.*"]
TEXT_CASES = ["1.1.*", *(f"{group}.*" for group in (2, 3, 4, 5, 6, 7, 10))]
RUN_S = 300

HOW_TO_GET = """no CPython 2.7, and the Autobahn test suite runs on nothing newer. Get one and say where it is:
    pyenv install 2.7.18 && make autobahn PYTHON27=$(pyenv root)/versions/2.7.18/bin/python2.7"""


def find_python27() -> str | None:
    """What ``PYTHON27`` names, else the one on the path, else pyenv's; None: there is none that works."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    named = [os.environ.get("PYTHON27"), shutil.which("python2.7")]
    found = [*filter(None, named), *map(str, pyenv.glob("versions/2.7*/bin/python2.7"))]
    return next(filter(_is_python27, found), None)


def _is_python27(command: str) -> bool:
    ask = [command, "-c", "import sys; sys.exit(sys.version_info[:2] != (2, 7))"]
    try:
        asked = subprocess.run(ask, check=False, stderr=subprocess.DEVNULL)
    except OSError:
        return False
    return asked.returncode == 0


def install(python27: str) -> None:
    """Make the suite's environment, unless it is there."""
    if WSTEST.exists():
        return
    with tempfile.TemporaryDirectory() as tools:
        _run(sys.executable, "-m", "pip", "install", "-q", "--target", tools, VIRTUALENV)
        _run(sys.executable, "-m", "virtualenv", "-q", "-p", python27, str(HOME), PYTHONPATH=tools)
    pins = str(HERE / "requirements.txt")
    _run(str(HOME / "bin" / "pip"), "install", "-q", "--no-deps", "--no-python-version-warning", "-r", pins)


def _run(*command: str, **environ: str) -> None:
    subprocess.run(command, check=True, env=os.environ | environ)


def run(directory: Path) -> tuple[Cases, Cases]:
    """Run all cases; returns the results of the hub and those of plain ``websockets``.

    Args:
        directory: where the reports stay, with a page for every case.
    """
    with servers() as urls:
        spec = directory / "spec.json"
        spec.write_text(json.dumps(_spec(directory, urls)))
        with (directory / "wstest.log").open("wb") as log:
            command = [WSTEST, "-m", "fuzzingclient", "-s", spec]
            subprocess.run(command, cwd=directory, stdout=log, stderr=log, timeout=RUN_S, check=True)
    return _read(directory / "index.json")


@contextmanager
def servers() -> Iterator[dict[str, str]]:
    """Start both echo servers; gives their URLs."""
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with subprocess.Popen(
        [sys.executable, "-m", "tests.autobahn.echo"],
        env=os.environ | {"PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None, "a pipe was asked for"
        assert process.stdout is not None, "a pipe was asked for"
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()  # It ends when its input does.
            process.wait(RUN_S)


def _spec(directory: Path, urls: dict[str, str]) -> dict[str, Any]:
    """The fuzzing client's orders. A connection of the hub's has one kind of frames, so it takes two of them."""
    return {
        "outdir": str(directory),
        "servers": [
            {"agent": "hub", "url": urls["hub"]},
            {"agent": "hub, binary", "url": urls["hub"], "protocols": [Subprotocol.MSGPACK]},
            {"agent": "websockets", "url": urls["websockets"]},
        ],
        "cases": [*TEXT_CASES, *BINARY_CASES],
        "exclude-cases": [],
        "exclude-agent-cases": {"hub": BINARY_CASES, "hub, binary": TEXT_CASES},
    }


def _read(index: Path) -> tuple[Cases, Cases]:
    agents = json.loads(index.read_text())
    return agents["hub"] | agents["hub, binary"], agents["websockets"]
