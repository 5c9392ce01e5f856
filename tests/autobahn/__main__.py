"""Run the Autobahn test suite, and tell where the hub does worse than plain ``websockets``.

python -m tests.autobahn
"""

import sys

from tests.autobahn.suite import HOME, HOW_TO_GET, find_python27, install, run
from tests.autobahn.verdict import deviations

REPORTS = HOME / "reports"


def main() -> int:
    python27 = find_python27()
    if python27 is None:
        print(HOW_TO_GET, file=sys.stderr)
        return 2
    print(f"the Autobahn test suite, with {python27}: half a minute, and another the first time", flush=True)
    install(python27)
    REPORTS.mkdir(exist_ok=True)
    return tell()


def tell() -> int:
    """Run it, print a table of what is not perfect; returns the process's exit code."""
    hub, websockets = run(REPORTS)
    found = list(deviations(hub, websockets))
    print(f"{'case':8}{'hub':32}{'websockets':32}".rstrip())
    print(*found, sep="\n")
    worse = sum(one.bad for one in found)
    print(f"{len(hub)} cases; the hub does worse than it may in {worse}. Every case: {REPORTS / 'index.html'}")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
