"""What a run of ``hub bench`` found out, and the file that it is kept in."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from hub.bench.latency import Latency

if TYPE_CHECKING:
    from pydantic import TypeAdapter

FORMAT = 1
"""Of the file. It grows when a reader of the old one would misunderstand the new one."""
FILE_MAX_BYTES = 256 * 1024 * 1024
LATENCY_NAME = re.compile(r"[a-z][a-z0-9_-]*")
PERCENTS = (50.0, 90.0, 99.0, 99.9, 99.99)
"""What is told of a distribution everywhere."""

MAIN_LATENCY = {"connect": "connect", "commands": "result", "reconnect": "recovery"}
"""Which distribution a scenario is about; of all others it is ``delivery``."""
MAIN_RATE = {
    "connect": "connections_per_s",
    "fanin": "messages_per_s",
    "commands": "results_per_s",
}
"""Which rate a scenario is about; of all others it is ``deliveries_per_s``."""


class BadResult(ValueError):
    """A file is no result of ``hub bench``; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One second of a run. Increments, but ``connections`` is a level.

    Attributes:
        at_s: its end, since the beginning of measuring.
        p50_us: of the main latency within this second; None: nothing was measured in it.
    """

    at_s: float
    deliveries: int = 0
    messages: int = 0
    acknowledged: int = 0
    connections: int = 0
    errors: int = 0
    p50_us: int | None = None
    p99_us: int | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """What was wrong with what arrived.

    Attributes:
        checked: False: nobody looked, and the counts say nothing.
    """

    lost: int = 0
    repeated: int = 0
    reordered: int = 0
    checked: bool = True

    @property
    def passed(self) -> bool:
        """Nothing was wrong, or nobody looked."""
        return not (self.checked and (self.lost or self.repeated or self.reordered))


@dataclass(frozen=True, slots=True)
class Process:
    """What a load process used while measuring: seconds of processor time, and of time."""

    cpu_s: float
    wall_s: float

    @property
    def busy(self) -> float:
        """Share of one core, 0 to about 1."""
        return self.cpu_s / self.wall_s if self.wall_s > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a run found out.

    Attributes:
        parameters: of the plan, by their names there; without the key.
        system: what it ran on: versions, processor, cores, the hub's limits profile and durability.
        started: ISO 8601, UTC.
        duration_s: how long was measured.
        errors: how often what went wrong, by name.
        latencies: distributions, such as ``delivery``, ``acknowledgement``, ``connect``, ``result``, ``recovery``.
        rates: per second and other figures, such as ``deliveries_per_s``.
        samples: a second each, in order.
        warnings: what whoever reads the figures has to know.
        runs: where a run was repeated, each of them; this result is then the median one, see :func:`combined`.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"allow_inf_nan": False}

    scenario: str
    parameters: dict[str, Any] = field(default_factory=dict)
    system: dict[str, Any] = field(default_factory=dict)
    started: str = ""
    duration_s: float = 0.0
    sent: int = 0
    acknowledged: int = 0
    delivered: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    latencies: dict[str, Latency] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()
    check: Check = Check()
    processes: tuple[Process, ...] = ()
    warnings: tuple[str, ...] = ()
    runs: tuple["Result", ...] = ()

    @property
    def main_latency(self) -> str:
        """Name of the distribution that the scenario is about."""
        wanted = MAIN_LATENCY.get(self.scenario, "delivery")
        return wanted if wanted in self.latencies else next(iter(self.latencies), wanted)

    @property
    def main_rate(self) -> str:
        """Name of the rate that the scenario is about."""
        wanted = MAIN_RATE.get(self.scenario, "deliveries_per_s")
        return wanted if wanted in self.rates else next(iter(self.rates), wanted)

    @property
    def busy(self) -> float:
        """Share of a core that the busiest load process used."""
        return max((process.busy for process in self.processes), default=0.0)

    # --- the file -----------------------------------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """The result as JSON has it, with the percentiles in words that :meth:`from_json` does not need."""
        members: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return {"format": FORMAT, "summary": _summary(self), **members}

    def to_json(self) -> str:
        return json.dumps(self.document(), ensure_ascii=False, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """A result from its file's text.

        Raises:
            BadResult: it is something else, damaged, or of another format.
        """
        from pydantic import ValidationError

        _require_format(text)
        try:
            result = _adapter().validate_json(text, strict=True)
        except ValidationError as exc:
            raise BadResult(f"not a result of hub bench: {_problem(exc.errors(include_url=False)[0])}") from exc
        assert isinstance(result, cls), "the adapter makes nothing else"
        _require_names(result)
        return result

    @classmethod
    def read(cls, path: Path) -> Self:
        """A result from a file.

        Raises:
            BadResult: there is none; the text names the file.
        """
        try:
            if path.stat().st_size > FILE_MAX_BYTES:
                raise BadResult(f"larger than {FILE_MAX_BYTES // 1024**2} MiB, so no result of hub bench")
            return cls.from_json(path.read_bytes())
        except BadResult as exc:
            raise BadResult(f"{path}: {exc}") from exc
        except OSError as exc:
            raise BadResult(f"{path}: cannot be read: {exc.strerror}") from exc


def combined(results: Sequence[Result]) -> Result:
    """Several runs of one plan as one result: the run in the middle by its main rate, with what was wrong in any.

    Loss, errors and warnings of all runs count; figures are medians over ``runs``, see :mod:`hub.bench.figures`.
    """
    if len(results) == 1:
        return results[0]
    rate = results[0].main_rate
    middle = sorted(results, key=lambda one: one.rates.get(rate, 0.0))[(len(results) - 1) // 2]
    return replace(
        middle,
        check=_all_checks([one.check for one in results]),
        errors=_all_errors(one.errors for one in results),
        warnings=tuple(dict.fromkeys(text for one in results for text in one.warnings)),
        runs=tuple(results),
    )


def _all_checks(checks: Sequence[Check]) -> Check:
    return Check(
        lost=sum(check.lost for check in checks),
        repeated=sum(check.repeated for check in checks),
        reordered=sum(check.reordered for check in checks),
        checked=all(check.checked for check in checks),
    )


def _all_errors(errors: Iterable[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in errors:
        for name, count in one.items():
            total[name] = total.get(name, 0) + count
    return total


def _summary(result: Result) -> dict[str, Any]:
    return {name: _in_words(latency) for name, latency in result.latencies.items()}


def _in_words(latency: Latency) -> dict[str, Any]:
    found = latency.percentiles(PERCENTS)
    return {
        "count": latency.count,
        "mean_us": round(latency.mean_us, 1),
        **{f"p{percent:g}_us": value for percent, value in found.items()},
        "max_us": latency.most_us,
    }


@cache
def _adapter() -> "TypeAdapter[Result]":
    from pydantic import TypeAdapter  # late: load processes make results, and read none

    return TypeAdapter(Result)


def _require_format(text: str | bytes) -> None:
    try:
        members = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise BadResult("not JSON; expected what hub bench --json wrote") from exc
    found = members.get("format") if isinstance(members, dict) else None
    if found is None:
        raise BadResult('not a result of hub bench: it has no "format"')
    if found != FORMAT:
        raise BadResult(f"a result of format {found!r:.20}; this hub bench reads format {FORMAT}")


def _require_names(result: Result) -> None:
    """Conditions name distributions; what they could not name is no distribution of ours."""
    for name in (name for run in (result, *result.runs) for name in run.latencies):
        if not LATENCY_NAME.fullmatch(name):
            raise BadResult(f"not a result of hub bench: latencies has the name {name!r:.60}")


def _problem(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    return f"{place}: {error['msg']}" if place else str(error["msg"])
