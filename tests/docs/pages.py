"""README.md and docs/*.md, taken apart into what one types, what one sees, and code.

The first word behind the three backticks says what a block is:

``console``     lines that begin with ``$ `` are typed in the shell, one by one; what follows each is seen then.
                ``# refused`` behind one: it fails. ``console background``: the last one goes on while the rest is read.
``python``      a program that runs to its end.
``frames``      what travels on sockets: ``device > {…}`` is sent, ``device < {…}`` is received, letter by letter. The
                name is that of a connection; ``frames extended`` opens those that are new in extended mode. ``$NAME``
                is a value that is received first and sent later, ``$KEY`` the access key of the first start.
``json``, ``toml``   a document; TOML is a ``hub.toml``.
``text``        a picture.

``…`` stands for anything. A block that cannot run here says why: ``console elsewhere=docker``; see ``ELSEWHERE``.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.examples.programs import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

ELSEWHERE = {
    "docker": "needs Docker: what compose.yaml starts, tests/examples/test_compose.py starts as plain processes",
    "install": "installs from the network: the words are checked against Makefile and pyproject.toml",
    "host": "changes the host or needs services on others: each command and option is looked up",
    "person": "needs somebody at a browser: tests/examples/test_authorization.py is one",
    "long": "runs for minutes: each command and option is looked up",
}
"""Why a block does not run here, and what is checked instead."""

KINDS = {"console", "python", "frames", "json", "toml", "text"}


@dataclass(frozen=True)
class Command:
    """A line that one types, and what is to be seen then."""

    line: str
    seen: str


@dataclass(frozen=True)
class Block:
    """One block of a page."""

    page: Path
    line: int
    info: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def kind(self) -> str:
        return self.info.split()[0] if self.info else ""

    @property
    def marks(self) -> set[str]:
        return set(self.info.split()[1:])

    @property
    def elsewhere(self) -> str:
        """Why it does not run here; empty: it does."""
        return next((mark.removeprefix("elsewhere=") for mark in self.marks if mark.startswith("elsewhere=")), "")

    @cached_property
    def commands(self) -> list[Command]:
        """What is typed; a line that ends in a backslash goes on."""
        found: list[list[str]] = []
        for line in self.text.replace("\\\n", "\\\0").splitlines():
            if line.startswith("$ "):
                found.append([line[2:].replace("\0", "\n")])
            else:
                assert found, f"{self}: nothing was typed before {line!r}"
                found[-1].append(line)
        return [Command(line, "\n".join(seen).strip("\n")) for line, *seen in found]


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, one.start()) + 1, one[1].strip(), one[2])
        for one in re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.M | re.S)
    ]


def pattern(seen: str, known: dict[str, str]) -> re.Pattern[str]:
    """What matches a text in which ``…`` stands for anything, and ``$NAME`` for a value that is known or becomes so.

    Several blanks are as good as one: columns of tables move.
    """
    parts = []
    for part in re.split(r"(…|\$[A-Za-z]\w*|\s+)", seen):
        if part == "…":
            parts.append(r"[\s\S]*?")
        elif re.fullmatch(r"\$[A-Za-z]\w*", part):
            name = part[1:]
            parts.append(re.escape(known[name]) if name in known else f'(?P<{name}>[^",}}]+)')
        else:
            parts.append(r"\s+" if part.isspace() else re.escape(part))
    return re.compile("".join(parts))
