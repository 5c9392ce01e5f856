"""README.md, taken apart: what it says in code, commands and tables."""

import re

from tests.examples.programs import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)[^\n]*\n(.*?)^```$", TEXT, re.M | re.S)
SPANS = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", TEXT, flags=re.M | re.S))
"""What stands between single backticks."""

CODE = "\n".join([*SPANS, *(text for _, text in BLOCKS)])


def blocks(language: str) -> list[str]:
    """The code blocks in this language."""
    return [text for of, text in BLOCKS if of == language]


def commands(start: str) -> list[str]:
    """The shell lines that begin like this, in order, with their comments."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith(start)]


def rows(first_column: str) -> list[list[str]]:
    """The rows of the table whose head begins with this."""
    table = TEXT.split(f"\n| {first_column} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
