"""Logs: one set-up for the hub and for the libraries below it, JSON for programs and colours for people.

Whatever logs through :mod:`logging` (uvicorn, websockets, asyncio, alembic, sqlalchemy) and whatever logs through
structlog goes the same way: secrets are dropped, control characters escaped, and one line is written to stderr.
"""

import logging
import re
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LIBRARIES = {
    "uvicorn": logging.INFO,
    "uvicorn.access": logging.WARNING,
    "uvicorn.error": logging.INFO,
    "websockets": logging.WARNING,
    "asyncio": logging.WARNING,
    "alembic": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    "httpx": logging.WARNING,  # it would log addresses with tokens in them
    "httpcore": logging.WARNING,
}
"""The least severity of each library: none of them may log per message or per request."""

_SECRET = re.compile(
    r"password|passwd|secret|pepper|token|authorization|cookie|credential|(^|_)(access|device|network|auth|api)_?key$|^key$",
    re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_TRACEBACKS = ("exception", "stack")
_TEXT_MAX = 4_096
"""Characters of one field; a peer must not fill the log with one value."""


def configure(
    *,
    level: str = "info",
    form: Literal["auto", "json", "console"] = "auto",
    stream: TextIO | None = None,
    worker: int | None = None,
) -> None:
    """Route all logging of the process to ``stream`` (stderr unless given). Calling it again replaces the set-up.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        form: ``auto`` is JSON unless the stream is a terminal.
        worker: the number that every line is to have, where several processes write to one stream.
    """
    target = stream if stream is not None else sys.stderr
    colours = target.isatty()
    as_json = form == "json" or (form == "auto" and not colours)
    least = logging.getLevelNamesMapping()[level.upper()]

    structlog.configure(
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_shared(), structlog.stdlib.ExtraAdder()],
            processors=[_numbered(worker), *_last(as_json=as_json, colours=colours)],
        )
    )
    _route(handler, least)


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _numbered(worker: int | None) -> Processor:
    def add_worker(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        if worker is not None:
            event["worker"] = worker
        return event

    return add_worker


def _last(*, as_json: bool, colours: bool) -> list[Processor]:
    start: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        drop_colours,
        drop_secrets,
        structlog.processors.format_exc_info,
    ]
    if as_json:
        # JSON escapes control characters itself.
        return [*start, shorten, structlog.processors.JSONRenderer()]
    plain = structlog.dev.plain_traceback
    return [*start, escape_controls, structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=plain)]


def _route(handler: logging.Handler, least: int) -> None:
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(least)
    for name, quietest in LIBRARIES.items():
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
        library.setLevel(max(least, quietest))


# --- processors -------------------------------------------------------------------------------------------------------


def drop_colours(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Leave out the copy of the message that uvicorn colours for terminals."""
    event.pop("color_message", None)
    return event


def drop_secrets(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Replace the value of every field whose name says that it is a secret, at any depth."""
    for name in event:
        if name != "event":
            event[name] = _without_secrets(name, event[name])
    return event


def _without_secrets(name: str, value: Any) -> Any:
    if _SECRET.search(name):
        return "[dropped]"
    if isinstance(value, Mapping):
        return {inner: _without_secrets(str(inner), item) for inner, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets("", item) for item in value]
    return value


def escape_controls(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Write control characters as ``\\x1b``, so that no value can forge a line or drive the terminal."""
    for name, value in event.items():
        event[name] = _escaped_traceback(value) if name in _TRACEBACKS else escaped(value)
    return event


def shorten(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Cut every text but a traceback to 4,096 characters."""
    for name, value in event.items():
        if isinstance(value, str) and name not in _TRACEBACKS:
            event[name] = _cut(value)
    return event


def escaped(value: Any) -> Any:
    """The value with the control characters of its text written out; other types come back as they are."""
    if isinstance(value, str):
        return _CONTROL.sub(_code, _cut(value))
    if isinstance(value, int | float | bool | None):
        return value
    return _CONTROL.sub(_code, _cut(repr(value)))


def _escaped_traceback(value: Any) -> Any:
    """Its lines stay lines; the texts of exceptions inside them may come from a peer."""
    return "\n".join(_CONTROL.sub(_code, line) for line in str(value).split("\n"))


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_MAX else f"{text[:_TEXT_MAX]}… ({len(text)} characters)"


def _code(match: re.Match[str]) -> str:
    point = ord(match[0])
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}"


# --- at most so many lines --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Window:
    started_s: float
    lines: int = 0
    left_out: int = 0


class LogLimit:
    """Lets a peer that does the same wrong thing again and again write only a few lines about it.

    At most ``per_s`` lines a second for each (source, event). The first line after a second in which some were left
    out carries their number as ``left_out``.

    Args:
        log: a structlog logger, or anything with ``info``, ``warning`` and ``error``.
        per_s: lines of one source and event in one second.
        sources: how many sources are remembered; past it the one seen first is forgotten.
        clock: seconds, never going back.
    """

    def __init__(
        self,
        log: Any,
        *,
        per_s: int = 5,
        sources: int = 1_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._per_s = per_s
        self._sources = sources
        self._clock = clock
        self._windows: MutableMapping[tuple[str, str], _Window] = {}

    def info(self, event: str, *, source: str, **fields: Any) -> None:
        self._write("info", event, source, fields)

    def warning(self, event: str, *, source: str, **fields: Any) -> None:
        self._write("warning", event, source, fields)

    def error(self, event: str, *, source: str, **fields: Any) -> None:
        self._write("error", event, source, fields)

    def flush(self) -> None:
        """Tell what was left out in seconds that have passed. Called now and then, and at the end."""
        now = self._clock()
        for key, window in list(self._windows.items()):
            if now - window.started_s >= 1.0:
                del self._windows[key]
                self._tell(key, window)

    def _write(self, level: str, event: str, source: str, fields: Mapping[str, Any]) -> None:
        key, now = (source, event), self._clock()
        window = self._windows.get(key)
        if window is None or now - window.started_s >= 1.0:
            if window is not None:
                self._tell(key, self._windows.pop(key))
            window = self._open(key, now)
        if window.lines >= self._per_s:
            window.left_out += 1
            return
        window.lines += 1
        getattr(self._log, level)(event, source=source, **fields)

    def _open(self, key: tuple[str, str], now: float) -> _Window:
        if len(self._windows) >= self._sources:
            oldest = next(iter(self._windows))
            self._tell(oldest, self._windows.pop(oldest))
        window = self._windows[key] = _Window(now)
        return window

    def _tell(self, key: tuple[str, str], window: _Window) -> None:
        if window.left_out:
            source, event = key
            self._log.warning("lines left out", source=source, about=event, left_out=window.left_out)
