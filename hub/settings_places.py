"""Where settings come from, and how their problems are told.

Works on names alone and does not know the model: the places are read here, what the values mean is decided there.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import ValidationError

PREFIX = "HUB_"

SPEC_NAMES = {
    "HUB_SESSION_TIMEOUT": "session_timeout_ms",
    "HUB_USER_LOGIN_LASTTIMEOUT": "login_last_timeout_ms",
    "HUB_WEBSOCKET_PING_TIMEOUT": "websocket_ping_timeout_ms",
    "HUB_DEVICES_OFFLINE_CHECK": "devices_offline_check_s",
}
"""Names without a unit, as DeviceHive's configuration has them, for fields that carry their unit in the name."""

NOT_SETTINGS = frozenset({"HUB_URL", "HUB_KEY", "HUB_PROFILE"})
"""Variables that programs talking to a hub read; they say nothing about the hub itself."""

_DISPLAY = {field: name for name, field in SPEC_NAMES.items()}


class SettingsError(Exception):
    """The settings cannot be used.

    Attributes:
        problems: one line each: where, what is wrong, what would be right. Never holds a secret's value.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def variable(field: str) -> str:
    """The name of a field in the environment, as the documentation writes it."""
    return _DISPLAY.get(field, f"{PREFIX}{field.upper()}")


# --- places -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """One place, or several merged: values by field name, where each came from, and what was wrong."""

    values: dict[str, Any]
    sources: dict[str, str]
    problems: tuple[str, ...] = ()

    def over(self, weaker: "Place") -> "Place":
        """Both together; where both have a value, this one's counts."""
        return Place(weaker.values | self.values, weaker.sources | self.sources, self.problems + weaker.problems)


def read_places(
    fields: Iterable[str], command_line: Mapping[str, Any], environ: Mapping[str, str], directory: Path
) -> Place:
    """Read every place, the command line strongest, ``hub.toml`` weakest."""
    known = {f"{PREFIX}{field.upper()}": field for field in fields} | SPEC_NAMES
    given = {name: value for name, value in command_line.items() if value is not None}
    variables = {name: value for name, value in environ.items() if name.startswith(PREFIX)}
    return (
        Place(given, dict.fromkeys(given, "command line"))
        .over(_from_names("environment", variables, known))
        .over(_from_dotenv(directory / ".env", known))
        .over(_from_toml(directory / "hub.toml", known))
    )


def _from_names(place: str, named: Mapping[str, Any], known: Mapping[str, str]) -> Place:
    values: dict[str, Any] = {}
    problems = []
    for name, value in named.items():
        field = known.get(name)
        if field is None and name not in NOT_SETTINGS:
            problems.append(f"{_shown(name, place)} ({place}): unknown; the nearest is {_nearest(name, place, known)}")
        elif field in values:
            problems.append(f"{_shown(name, place)} ({place}): given twice, under two names")
        elif field is not None:
            values[field] = value
    return Place(values, dict.fromkeys(values, place), tuple(problems))


def _shown(name: str, place: str) -> str:
    """A name as its place writes it: ``HUB_PORT``, but ``port`` in hub.toml."""
    return name.removeprefix(PREFIX).lower() if place == "hub.toml" else name


def _nearest(name: str, place: str, known: Iterable[str]) -> str:
    return _shown(difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)[0], place)


def _from_dotenv(path: Path, known: Mapping[str, str]) -> Place:
    if not path.is_file():
        return Place({}, {})
    try:
        # Without interpolation: a password may hold ${.
        lines = dotenv_values(path, interpolate=False)
    except (OSError, UnicodeDecodeError) as exc:
        return Place({}, {}, (f".env: cannot be read: {exc}",))
    # Other programs may share the file; only our prefix is our business.
    ours = {name: value or "" for name, value in lines.items() if name.startswith(PREFIX)}
    return _from_names(".env", ours, known)


def _from_toml(path: Path, known: Mapping[str, str]) -> Place:
    if not path.is_file():
        return Place({}, {})
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        return Place({}, {}, (f"hub.toml: cannot be read: {exc}",))
    named: dict[str, Any] = {}
    for key, value in _flat(table):
        name = PREFIX + key.upper().replace("-", "_").removeprefix(PREFIX)
        named[name] = value
    return _from_names("hub.toml", named, known)


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """A name with dots is a table in TOML: ``devices.gateway_mode`` is the field ``devices_gateway_mode``."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}_")
        else:
            yield prefix + key, value


# --- what is told -----------------------------------------------------------------------------------------------------

_SENTENCES = {
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "list_type": "must be a list, or text with commas",
    "path_type": "must be the path of a file",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} items",
}


def told(exc: ValidationError, sources: Mapping[str, str], fields: Iterable[str]) -> list[str]:
    """One line for each problem that the model found. Values are left out: one of them may be a secret."""
    lines: list[str] = []
    for error in exc.errors(include_url=False, include_input=False):
        text = _sentence(error["type"], error["msg"], error.get("ctx") or {})
        if not error["loc"]:
            lines += text.splitlines()
        elif (field := str(error["loc"][0])) in fields:
            lines.append(f"{variable(field)} ({sources.get(field, 'given')}): {text}")
        else:
            nearest = difflib.get_close_matches(field, list(fields), n=1, cutoff=0.0)[0]
            lines.append(f"{field}: unknown; the nearest is {nearest}")
    return list(dict.fromkeys(lines))


def _sentence(kind: str, message: str, context: Mapping[str, Any]) -> str:
    sentence = _SENTENCES.get(kind)
    return sentence.format(**context) if sentence else message.removeprefix("Value error, ")
