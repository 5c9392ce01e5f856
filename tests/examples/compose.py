"""compose.yaml, read: the part of YAML that it is written in, and the variables as Docker Compose fills them in."""

import json
import re
from collections.abc import Mapping
from typing import Any

from tests.examples.programs import ROOT

TEXT = (ROOT / "compose.yaml").read_text(encoding="utf-8")

_REQUIRED = re.compile(r"\$\{(\w+):\?[^}]*\}")


class Unset(Exception):
    """A variable has no value, and must have one."""


def read(text: str = TEXT) -> Any:
    """Mappings by indentation, lists of ``- text``, and values in JSON or as plain words."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    value, left = _block(lines, 0)
    assert not left, f"not understood: {left[0]}"
    return value


def _block(lines: list[str], indent: int) -> tuple[Any, list[str]]:
    found: Any = None
    while lines and _indent(lines[0]) == indent:
        line, lines = lines[0].strip(), lines[1:]
        if line.startswith("- "):
            found = [*(found or []), _value(line[2:])]
            continue
        name, _, rest = line.partition(":")
        value: Any = _value(rest.strip())
        if not rest.strip() and lines and _indent(lines[0]) > indent:
            value, lines = _block(lines, _indent(lines[0]))
        found = {**(found or {}), name: value}
    return found, lines


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _value(text: str) -> Any:
    return json.loads(text) if text[:1] in ('"', "[") else text or None


def filled_in(text: str, variables: Mapping[str, str]) -> str:
    """A value with its variables in it.

    Raises:
        Unset: one of them is not set.
    """

    def value(found: re.Match[str]) -> str:
        if found[1] not in variables:
            raise Unset(found[1])
        return variables[found[1]]

    return _REQUIRED.sub(value, text)
