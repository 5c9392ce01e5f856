"""Comparing frames with what was expected of them, where not every value is known beforehand.

A text with an @ stands for a value: ``@int`` an integer above zero, ``@ts`` a timestamp, ``@uuid``, ``@key`` an access
key, ``@str`` a text that is not empty, ``@any``, ``@bind:X`` any value, remembered as X, ``@bind:X@int`` an integer
above zero, remembered likewise, ``@=X`` the value remembered as X, ``@re:X`` a text that the regular expression X
matches wholly.

Objects stand for themselves, with every member; ``"@more": true`` among the members allows others. Instead of an array,
``{"@set": [...]}`` is one with these elements in any order, ``{"@has": [...]}`` one that has them among others, and
``{"@each": X}`` one that is not empty and whose elements are all X.
"""

import re
from typing import Any

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", re.ASCII)
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
KEY = re.compile(r"[A-Za-z0-9+/]{43}=")

PATTERNS = {
    "@int": lambda value: type(value) is int and value > 0,
    "@ts": lambda value: isinstance(value, str) and TIMESTAMP.fullmatch(value) is not None,
    "@uuid": lambda value: isinstance(value, str) and UUID.fullmatch(value) is not None,
    "@key": lambda value: isinstance(value, str) and KEY.fullmatch(value) is not None,
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
    if isinstance(expected, dict) and isinstance(actual, list) and expected.keys() & {"@set", "@has", "@each"}:
        return _of_elements(expected, actual, bound, path)
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        pairs = enumerate(zip(expected, actual, strict=True))
        return next((wrong for i, (e, a) in pairs if (wrong := difference(e, a, bound, f"{path}[{i}]"))), None)
    if type(expected) is type(actual) and expected == actual:
        return None
    return f"{path or 'frame'}: expected {expected!r}, got {actual!r}"


def _of_objects(expected: Bound, actual: Bound, bound: Bound, path: str) -> str | None:
    wanted = {name: value for name, value in expected.items() if name != "@more"}
    missing, extra = sorted(wanted.keys() - actual.keys()), sorted(actual.keys() - wanted.keys())
    if missing or (extra and "@more" not in expected):
        return f"{path or 'frame'}: without {missing}, with {extra} beyond what was expected: {actual!r}"
    members = ((name, difference(value, actual[name], bound, f"{path}.{name}")) for name, value in wanted.items())
    return next((wrong for _, wrong in members if wrong), None)


def _of_elements(expected: Bound, actual: list[Any], bound: Bound, path: str) -> str | None:
    [(how, wanted)] = expected.items()
    if how == "@each":
        pairs = enumerate(actual)
        wrong = next((wrong for i, one in pairs if (wrong := difference(wanted, one, bound, f"{path}[{i}]"))), None)
        return wrong if actual else f"{path}: nothing at all"
    left = list(actual)
    for one in wanted:
        found = next((other for other in left if difference(one, other, dict(bound)) is None), None)
        if found is None:
            return f"{path}: nothing like {one!r} among {left!r}"
        difference(one, found, bound)
        left.remove(found)
    return f"{path}: {left!r} beyond what was expected" if left and how != "@has" else None


def _of_pattern(expected: str, actual: Any, bound: Bound, path: str) -> str | None:
    if expected.startswith("@bind:"):
        name, at, pattern = expected.removeprefix("@bind:").partition("@")
        bound[name] = actual
        return difference(at + pattern, actual, bound, path) if at else None
    if expected.startswith("@="):
        value = bound[expected.removeprefix("@=")]
        return None if value == actual else f"{path}: expected {value!r} ({expected}), got {actual!r}"
    if expected.startswith("@re:"):
        matches = isinstance(actual, str) and re.fullmatch(expected.removeprefix("@re:"), actual, re.DOTALL)
    else:
        matches = PATTERNS[expected](actual)
    return None if matches else f"{path}: expected {expected}, got {actual!r}"


def filled_in(value: Any, bound: Bound) -> Any:
    """What to send, with remembered values in their places."""
    if isinstance(value, dict):
        return {name: filled_in(member, bound) for name, member in value.items()}
    if isinstance(value, list):
        return [filled_in(element, bound) for element in value]
    if isinstance(value, str) and value.startswith("@="):
        return bound[value.removeprefix("@=")]
    return value
