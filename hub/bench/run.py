"""One run of ``hub bench``, from the first device that is made to the last that is removed."""

import contextlib
import dataclasses
import math
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from types import FrameType
from typing import Any

from hub.bench.check import Faults
from hub.bench.crew import BEGIN_S, Crew, crew, processes
from hub.bench.meters import Finish, Finished, Published, Span, Start, Tally
from hub.bench.plan import BenchError, Entities, Plan, Scenario, View
from hub.bench.result import Check, Process, Result, Sample
from hub.bench.seconds import Seconds, latency_of
from hub.bench.site import site
from hub.bench.system import closes, facts
from hub.bench.times import merged
from hub.bench.token import now_us
from protocol.names import CloseCode

LEAD_US = 200_000
"""Between the word to begin and the beginning, so that every process hears it in time."""
GRACE_S = 15.0
BUSY = 0.9
LATE_US = 20_000
SHORT = 0.99


def run(plan: Plan, view: View, *, entities: Entities | None = None) -> Result:
    """Measure.

    Blocks until everything is measured and removed again. Ctrl-C ends measuring early, with what there is; a second
    one ends the run. (Signals come to the main thread only: elsewhere nothing ends a run early.)

    Args:
        entities: makes and removes devices and key where the hub's database can be reached; otherwise the hub is asked
            for devices over the socket, and they are left behind.

    Raises:
        BenchError: nothing could be measured; what the run had made is removed all the same.
    """
    plan.checked()
    warnings: list[str] = []
    watched = _Watched(view, warnings)
    system, closed = facts(plan.url), closes(plan.url)
    with site(plan, watched, entities) as place:
        seconds = Seconds(processes(plan), watched.sample)
        with crew(plan, place, watched, seconds) as everybody:
            measured = _measure(plan, everybody, watched, started=datetime.now(UTC))
            if plan.scenario is Scenario.SLOW:
                measured.rates.update(_closed_for_slowness(closed, closes(plan.url)))
    return _judged(plan, dataclasses.replace(measured, system=system), warnings)


class _Watched:
    """The view, with a memory for warnings."""

    def __init__(self, view: View, warnings: list[str]) -> None:
        self._view = view
        self._warnings = warnings

    def phase(self, name: str, total: int | None) -> None:
        self._view.phase(name, total)

    def advance(self, count: int) -> None:
        self._view.advance(count)

    def sample(self, sample: Sample) -> None:
        self._view.sample(sample)

    def warn(self, text: str) -> None:
        self._warnings.append(text)
        self._view.warn(text)


# --- measuring --------------------------------------------------------------------------------------------------------


def _measure(plan: Plan, everybody: Crew, view: View, *, started: datetime) -> Result:
    with _interrupted(everybody, view):
        _connect(plan, everybody, view)
        _load(plan, everybody, view)
        view.phase("draining", None)
        published: Published = {}
        for member in everybody.members:
            if member.stopped is not None:
                published |= member.stopped.published
        everybody.tell(Finish(published))
        everybody.listen("finished", within_s=plan.drain_s + GRACE_S)
    everybody.seconds.flush()
    finished = [member.finished for member in everybody.members if member.finished is not None]
    return _result(plan, finished, samples=everybody.seconds.samples, started=started)


@contextlib.contextmanager
def _interrupted(everybody: Crew, view: View) -> Iterator[None]:
    """Let the first Ctrl-C end measuring, and the second everything."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        view.warn("interrupted: the figures are of what was measured until then")
        everybody.interrupt()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _connect(plan: Plan, everybody: Crew, view: View) -> None:
    wanted = plan.roles
    if wanted:
        view.phase("connecting", sum(wanted.values()))
    everybody.listen("connected", within_s=BEGIN_S + plan.connect_s + sum(wanted.values()) / 100)
    connected = [member.connected for member in everybody.members if member.connected is not None]
    present = _added(one.roles for one in connected)
    errors = _told(_added(one.errors for one in connected))
    for role, count in wanted.items():
        if missing := count - present.get(role, 0):
            if missing == count:
                raise BenchError(f"none of {count} {role} could connect to {plan.url}: {errors}")
            view.warn(f"{missing} of {count} {role} could not connect: {errors}")


def _load(plan: Plan, everybody: Crew, view: View) -> None:
    """Say when to begin, and follow the run until everybody has stopped."""
    everybody.tell(Start(now_us() + LEAD_US))
    lasts_s = plan.warmup_s + plan.duration_s
    if plan.scenario is Scenario.CONNECT:
        view.phase("connecting", plan.dashboards)
        each_s = 0.01 if plan.rate is None else 1 / plan.rate
        lasts_s += plan.connect_s + plan.dashboards * each_s
    else:
        if plan.warmup_s:
            view.phase("warming up", None)
            _wait_out(everybody, plan.warmup_s + LEAD_US / 1e6)
        view.phase("measuring", max(1, math.ceil(plan.duration_s)))
    # Whoever was dropped has the time of a connection to come back.
    everybody.listen("stopped", within_s=lasts_s + plan.connect_s + plan.outage_s + GRACE_S)


def _wait_out(everybody: Crew, seconds: float) -> None:
    """Let the warm-up pass, unless somebody stops."""
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0 and not any(m.pipe.poll() for m in everybody.members):
        time.sleep(min(left_s, 0.05))


# --- what came of it --------------------------------------------------------------------------------------------------


def _result(plan: Plan, finished: list[Finished], *, samples: list[Sample], started: datetime) -> Result:
    tally, faults = Tally(), Faults()
    for one in finished:
        tally.add(one.tally)
        faults.add(one.faults)
    wall_s = max((one.wall_s for one in finished), default=0.0)
    names = sorted({name for one in finished for name in one.latencies})
    counts = {name: merged(one.latencies.get(name, {}) for one in finished) for name in names}
    return Result(
        scenario=plan.scenario.value,
        parameters=_parameters(plan),
        started=started.isoformat(timespec="seconds"),
        duration_s=round(wall_s, 3),
        sent=tally.messages,
        acknowledged=tally.acknowledged,
        delivered=tally.deliveries,
        errors=_added(one.errors for one in finished),
        latencies={name: latency_of(each) for name, each in counts.items() if each},
        rates=_rates(plan, finished, tally, wall_s=wall_s),
        samples=tuple(samples),
        check=Check(faults.lost, faults.repeated, faults.reordered, _checks(plan)),
        processes=tuple(Process(round(one.cpu_s, 4), round(one.wall_s, 4)) for one in finished),
    )


def _checks(plan: Plan) -> bool:
    return plan.check and plan.scenario is not Scenario.CONNECT


def _parameters(plan: Plan) -> dict[str, Any]:
    """The plan without its key, with what was chosen for it."""
    given = {name.name: getattr(plan, name.name) for name in dataclasses.fields(plan) if name.name != "key"}
    closed = plan.rate is None and plan.scenario in (Scenario.FANOUT, Scenario.FANIN, Scenario.SLOW)
    return given | {
        "pin": list(plan.pin),
        "processes": processes(plan),
        "latency_of": "one message of each chunk, weighted" if closed else "every message",
    }


def _rates(plan: Plan, finished: list[Finished], tally: Tally, *, wall_s: float) -> dict[str, float]:
    spans: dict[str, Span] = {}
    found: dict[str, float] = {}
    for one in finished:
        for name, span in one.spans.items():
            spans.setdefault(name, Span()).join(span)
        for name, value in one.facts.items():
            found[name] = found.get(name, 0.0) + value
    if wall_s > 0 and plan.scenario is not Scenario.CONNECT:
        commands = plan.scenario is Scenario.COMMANDS
        found["results_per_s" if commands else "deliveries_per_s"] = tally.deliveries / wall_s
        found["messages_per_s"] = tally.messages / wall_s
        found["acknowledged_per_s"] = tally.acknowledged / wall_s
    for name, span in spans.items():
        took_s = max(1, span.last_us - span.first_us) / 1e6
        if name == "recovery":
            found["recovery_s"] = took_s
            name = "connections"
        if plan.scenario is not Scenario.MIXED:
            found[f"{name}_per_s"] = span.count / took_s
    return {name: round(value, 3) for name, value in found.items()}


def _closed_for_slowness(before: dict[str, int], after: dict[str, int]) -> dict[str, float]:
    """What the hub says: whoever does not read does not see the close frame either."""
    code = str(int(CloseCode.SLOW_READER))
    return {f"slow_closed_by_hub_{code}": float(after.get(code, 0) - before.get(code, 0))} if after else {}


def _added(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return dict(total)


def _told(errors: dict[str, int]) -> str:
    return ", ".join(f"{count} x {reason}" for reason, count in sorted(errors.items())) or "no reason was given"


# --- what to think of it ----------------------------------------------------------------------------------------------


def _judged(plan: Plan, result: Result, warnings: list[str]) -> Result:
    """The result, with what its reader has to know."""
    told = [*warnings, *_own_limits(plan, result), *_hub_limits(result)]
    return dataclasses.replace(result, warnings=tuple(dict.fromkeys(told)))


def _own_limits(plan: Plan, result: Result) -> Iterator[str]:
    if result.busy >= BUSY:
        yield (
            f"a load process was {result.busy:.0%} busy: the figures are of this tool, not of the hub; "
            "more --processes or cores, or less load"
        )
    lag = result.latencies.get("lag")
    if lag is not None and lag.percentile(99) > LATE_US:
        yield f"this tool sent late: 1 % of its messages by more than {lag.percentile(99) / 1000:.0f} ms"
    if plan.rate is not None and plan.scenario is not Scenario.CONNECT and result.duration_s > 0:
        wanted = (plan.rate + plan.commands_per_s) * result.duration_s
        if result.sent < wanted * SHORT - 1:
            yield f"this tool sent {result.sent} messages instead of {wanted:.0f}: it could not keep the rate"


def _hub_limits(result: Result) -> Iterator[str]:
    profile = result.system.get("limits")
    if profile is None:
        yield "the hub does not tell its limits profile (GET /metrics), so it is not known what held it back"
    elif profile != "bench":
        yield f"the hub runs with its limits profile {profile}: rates and connections are limited (HUB_LIMITS=bench)"
