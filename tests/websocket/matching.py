"""Comparing frames with what was expected of them, where not every value is known beforehand.

A text with an @ stands for a value: ``@int`` an integer above zero, ``@ts`` a timestamp, ``@uuid``, ``@str`` a text
that is not empty, ``@any``, ``@bind:X`` any value, remembered as X, ``@=X`` the value remembered as X.
"""

import re
from typing import Any

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", re.ASCII)
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

PATTERNS = {
    "@int": lambda value: type(value) is int and value > 0,
    "@ts": lambda value: isinstance(value, str) and TIMESTAMP.fullmatch(value) is not None,
    "@uuid": lambda value: isinstance(value, str) and UUID.fullmatch(value) is not None,
    "@str": lambda value: isinstance(value, str) and value != "",
    "@any": lambda value: True,
}

Bound = dict[str, Any]


def difference(expected: Any, actual: Any, bound: Bound, path: str = "") -> str | None:
    """Where and how a frame is not what was expected; None when it is. Fills ``bound``."""
    if isinstance(expected, str) and expected.startswith("@"):
        return _of_pattern(expected, actual, bound, path)
    if isinstance(expected, dict) and isinstance(actual, dict):
        return _of_objects(expected, actual, bound, path)
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        pairs = enumerate(zip(expected, actual, strict=True))
        return next((wrong for i, (e, a) in pairs if (wrong := difference(e, a, bound, f"{path}[{i}]"))), None)
    if type(expected) is type(actual) and expected == actual:
        return None
    return f"{path or 'frame'}: expected {expected!r}, got {actual!r}"


def _of_objects(expected: Bound, actual: Bound, bound: Bound, path: str) -> str | None:
    if expected.keys() != actual.keys():
        missing, extra = sorted(expected.keys() - actual.keys()), sorted(actual.keys() - expected.keys())
        return f"{path or 'frame'}: without {missing}, with {extra} beyond what was expected: {actual!r}"
    members = ((name, difference(value, actual[name], bound, f"{path}.{name}")) for name, value in expected.items())
    return next((wrong for _, wrong in members if wrong), None)


def _of_pattern(expected: str, actual: Any, bound: Bound, path: str) -> str | None:
    if expected.startswith("@bind:"):
        bound[expected.removeprefix("@bind:")] = actual
        return None
    if expected.startswith("@="):
        value = bound[expected.removeprefix("@=")]
        return None if value == actual else f"{path}: expected {value!r} ({expected}), got {actual!r}"
    return None if PATTERNS[expected](actual) else f"{path}: expected {expected}, got {actual!r}"


def filled_in(value: Any, bound: Bound) -> Any:
    """What to send, with remembered values in their places."""
    if isinstance(value, dict):
        return {name: filled_in(member, bound) for name, member in value.items()}
    if isinstance(value, list):
        return [filled_in(element, bound) for element in value]
    if isinstance(value, str) and value.startswith("@="):
        return bound[value.removeprefix("@=")]
    return value
