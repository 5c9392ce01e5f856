"""An installation to run commands in, without a hub."""

import asyncio
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hub.cli import app
from hub.cli.local import transact
from hub.store.secrets import Secrets, load_peppers
from hub.store.sqlite import SqliteStore
from protocol.names import UserRole

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Installation:
    """A directory with a database in it, and the commands run there.

    Attributes:
        path: of the directory, which is the working directory too.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def hub(self, *words: str, stdin: str = "", code: int = 0) -> Done:
        """Run a command in this process; it must end with this exit code."""
        result = CliRunner().invoke(app, words, input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return Done(result.exit_code, result.stdout, result.stderr)

    def transact(self, work: Any) -> Any:
        """Look into the database, or change it."""
        return transact(work)


async def _first_start(path: Path) -> None:
    store = SqliteStore(path / "hub.db", Secrets(load_peppers(path / "hub.pepper")))
    await store.open()
    await store.transact(lambda tx: tx.insert_user(login="dhadmin", role=UserRole.ADMIN))
    await store.close()


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """What the first start of a hub leaves behind: a database with an administrator, and a pepper."""
    path = tmp_path_factory.mktemp("template")
    asyncio.run(_first_start(path))
    return path


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A directory without anything in it."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("HUB_")]:
        monkeypatch.delenv(name)
    return Installation(tmp_path)


@pytest.fixture
def installation(nowhere, template):
    """A directory where a hub has started before."""
    for name in ("hub.db", "hub.pepper"):
        shutil.copy2(template / name, nowhere.path / name)
    return nowhere


async def run(*words: str, cwd: Path, stdin: bytes = b"", **environ: str) -> Done:
    """Run ``python -m hub`` as a process of its own, with nothing of ours in its environment but this."""
    process = await begin(*words, cwd=cwd, **environ)
    out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


async def begin(*words: str, cwd: Path, **environ: str) -> asyncio.subprocess.Process:
    """Start ``python -m hub`` and leave it running."""
    pipe = asyncio.subprocess.PIPE
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
    paths = [str(ROOT), clean.get("PYTHONPATH", "")]
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "hub",
        *words,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        cwd=cwd,
        env={**clean, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **environ},
    )
