"""One command of ``hub bench``, from its arguments to its exit code."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hub.cli.bench_options import cores
from hub.cli.output import Exit, Failure, fail, misused, note, print_json, shown
from hub.cli.target import find_target

if TYPE_CHECKING:
    from hub.bench.plan import Plan
    from hub.bench.result import Result
    from hub.bench.verdict import Condition
    from hub.client import Profile

REACH_S = 5.0


def measure(scenario: str, given: dict[str, Any]) -> None:
    """Run a scenario with these options, tell of it, and end with its exit code."""
    require_extra()
    conditions = read_conditions(given.pop("fail_if"), ratio=False)
    told = {name: given.pop(name) for name in ("as_json", "out", "html", "csv", "hgrm", "quiet", "repeat")}
    _require_writable(told)
    target = find_target(**{name: given.pop(name) for name in ("url", "key", "profile")})
    plan = _plan(scenario, target, given)
    _reach(target.url)
    result = _measured(plan, target, repeat=told["repeat"], quiet=told["quiet"])
    from hub.bench.verdict import failures

    failed = failures(result, conditions)
    _tell(result, failed, told)
    end_with(failed)


def _plan(scenario: str, target: "Profile", given: dict[str, Any]) -> "Plan":
    """The plan of what was given on the command line, checked."""
    from hub.bench import plan as plans

    members = dict(given)
    members["pin"] = cores(members["pin"])
    if "connections" in members:
        members["dashboards"] = members.pop("connections")
        members["duration_s"], members["warmup_s"] = members.pop("stay_s"), 0.0
        members["rate"] = members.pop("arrivals")
        members["arrival"] = plans.Arrival.STORM if members["rate"] is None else plans.Arrival.STEADY
    for name, words in (("codec", plans.WireCodec), ("filters", plans.Filters), ("backoff", plans.Backoff)):
        if name in members:
            members[name] = words(members[name])
    made = plans.Plan(scenario=plans.Scenario(scenario), url=target.url, key=target.access_key, **members)
    try:
        return made.checked()
    except plans.BenchError as exc:
        misused(str(exc))


def _reach(url: str) -> None:
    """Find out that nobody listens before anything is made."""
    import socket
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), REACH_S).close()
    except OSError as exc:
        reason = exc.strerror or str(exc) or "no answer"
        text = f"no hub can be reached at {url} ({reason}); start one with `HUB_LIMITS=bench hub serve`"
        fail(text, code=Exit.NOT_STARTED)


def _measured(plan: "Plan", target: "Profile", *, repeat: int, quiet: bool) -> "Result":
    from hub.bench.plan import BenchError
    from hub.bench.result import combined
    from hub.bench.run import run
    from hub.bench.view import watching
    from hub.cli.bench_entities import local_entities

    entities = local_entities(target)
    try:
        with watching(quiet=quiet) as view:
            results: list[Result] = []
            while len(results) < repeat and not _interrupted(results):
                results.append(run(plan, view, entities=entities))
            return combined(results)
    except BenchError as exc:
        raise Failure(str(exc), code=Exit(exc.code)) from exc
    except KeyboardInterrupt:
        fail("interrupted: nothing was measured")


def _interrupted(results: "list[Result]") -> bool:
    """Whether Ctrl-C ended the last run early: then nobody wants another one."""
    return bool(results) and any(text.startswith("interrupted") for text in results[-1].warnings)


def _tell(result: "Result", failed: list[str], told: dict[str, Any]) -> None:
    """Write the files that were asked for, and print the result."""
    from hub.bench.export import hgrm_files, to_csv
    from hub.bench.report import report

    files: dict[Path, str] = {}
    if told["out"] is not None:
        files[told["out"]] = result.to_json()
    if told["csv"] is not None:
        files[told["csv"]] = to_csv(result)
    if told["hgrm"] is not None:
        files |= hgrm_files(result, told["hgrm"])
    if told["html"] is not None:
        files[told["html"]] = report(result, failed)
    if told["as_json"]:
        print_json(result.document())
    else:
        from hub.cli.bench_text import print_result

        print_result(result)
    for path, text in files.items():
        write_file(path, text)


def end_with(failed: list[str]) -> None:
    """End the command: exit code 1 when anything has failed."""
    from hub.cli.bench_text import print_failures

    print_failures(failed)
    if failed:
        raise typer.Exit(Exit.FAILURE)


# --- what can be wrong before anything runs ---------------------------------------------------------------------------


def require_extra() -> None:
    """End the command where the extra is not installed: the command line works without it, ``hub bench`` does not."""
    if find_spec("hdrh") is None:
        fail("hub bench needs one more package: pip install 'device-hub[bench]'", code=Exit.USAGE)


def read_conditions(texts: list[str] | None, *, ratio: bool) -> "list[Condition]":
    """What ``--fail-if`` says; ends the command when it says nothing that can be understood."""
    from hub.bench.verdict import BadCondition, condition

    try:
        return [condition(text, ratio=ratio) for text in texts or ()]
    except BadCondition as exc:
        misused(f"--fail-if: {exc}")


def _require_writable(told: dict[str, Any]) -> None:
    """Half an hour of measuring must not end in a directory that is not there."""
    for name in ("out", "html", "csv", "hgrm"):
        path = told[name]
        if path is not None and path.is_dir():
            misused(f"--{name}: {path} is a directory; name a file")
        if path is not None and not path.parent.is_dir():
            misused(f"--{name}: {path} cannot be written: there is no such directory")


def read_result(path: Path) -> "Result":
    """A result from a file; ends the command when there is none in it."""
    from hub.bench.result import BadResult, Result

    try:
        return Result.read(path)
    except BadResult as exc:
        misused(str(exc))


def write_file(path: Path, text: str) -> None:
    """Write a file and say so."""
    path.write_text(text, encoding="utf-8")
    note(f"wrote {shown(path)}")
