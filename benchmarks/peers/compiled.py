"""Our C programs, compiled when they are needed."""

import atexit
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent


@cache
def compiled(name: str) -> Path:
    """The program made of ``NAME.c``; it is gone when this process ends."""
    program = _directory() / name
    subprocess.run(["cc", "-O2", "-o", program, HERE / f"{name}.c"], check=True)
    return program


@cache
def _directory() -> Path:
    path = tempfile.mkdtemp(prefix="peers-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return Path(path)
