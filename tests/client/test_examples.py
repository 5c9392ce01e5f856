"""The examples start, explain themselves, and the page brings everything that it needs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.scripted import TIMEOUT_S

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
PROGRAMS = sorted(path.name for path in EXAMPLES.glob("*.py"))


def run(program, *arguments, directory):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
    return subprocess.run(
        [sys.executable, EXAMPLES / program, *arguments],
        capture_output=True,
        text=True,
        timeout=3 * TIMEOUT_S,
        cwd=directory,
        env={**environment, "PYTHONPATH": str(ROOT)},
        check=False,
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_example_explains_itself(program, tmp_path):
    """Its help shows how to start it."""
    done = run(program, "--help", directory=tmp_path)

    assert done.returncode == 0
    assert f"python examples/{program}" in done.stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_example_without_a_hub_says_what_it_needs(program, tmp_path):
    """No traceback: which variables to set, or where to start it."""
    done = run(program, directory=tmp_path)

    assert done.returncode == 2
    assert "hub-profile.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_page_needs_nothing_from_elsewhere():
    """No address of another host, no markup made from what devices say, and a policy that forbids both."""
    page = (EXAMPLES / "dashboard.html").read_text(encoding="utf-8")

    assert not re.search(r"""(src|href)\s*=|@import|url\(|https?://""", page)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", page)
    assert "default-src 'none'" in page
