"""``make fault``: every fault in full size, and chaos. A table at the end, progress on stderr meanwhile.

python -m tests.fault [NAME ...] [--seconds S] [--seed N] [--small] [--keep DIRECTORY] [--out FILE]
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from tests.fault import chaos, crashes, faults_links, faults_order, faults_processes
from tests.fault.process import ROOT
from tests.fault.stage import SCENARIOS, Outcome, Scenario, Stage, play

__all__ = ["chaos", "crashes", "faults_links", "faults_order", "faults_processes"]

FIGURES = ROOT / "benchmarks" / "results" / "fault.json"
PROGRESS_S = 1.0
WIDTH = 140


def main() -> int:
    wanted = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # Whoever ends this ends the cluster with it.
    chosen = [one for one in SCENARIOS.values() if one.name in wanted.names or not wanted.names]
    unknown = set(wanted.names) - set(SCENARIOS)
    if unknown:
        sys.exit(f"There is no {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    chaos.seed(wanted.seed)
    print(f"seed {wanted.seed}", file=sys.stderr)
    plays = [(one, place) for one in chosen for place in (one.places if wanted.small else one.places[:1])]
    outcomes = [_play(one, place, wanted) for one, place in plays]
    Console(width=WIDTH).print(_table(outcomes))
    for outcome in outcomes:
        for line in outcome.broken:
            print(f"{outcome.name} {outcome.place}: {line}")
    told = {"seed": wanted.seed, "small": wanted.small, "outcomes": [_told(outcome) for outcome in outcomes]}
    wanted.out.write_text(json.dumps(told, indent=1) + "\n")
    return 1 if any(outcome.broken for outcome in outcomes) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fault", description="Break a cluster in every way.")
    parser.add_argument("names", nargs="*", help="scenarios, such as T11; all of them if none is named")
    seconds = float(os.environ.get("HUB_FAULT_SECONDS", "600"))
    parser.add_argument("--seconds", type=float, default=seconds, help="how long chaos lasts")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of chaos")
    parser.add_argument("--small", action="store_true", help="the sizes and places that make test plays")
    parser.add_argument("--keep", type=Path, help="where to put the logs of what breaks")
    parser.add_argument("--out", type=Path, default=FIGURES, help="where the figures go")
    return parser.parse_args()


def _play(one: Scenario, place: str, wanted: argparse.Namespace) -> Outcome:
    size = one.small if wanted.small and one.small is not None else one.full
    if one.name == chaos.NAME:
        size = replace(size, fault_s=wanted.seconds)
    with tempfile.TemporaryDirectory(prefix="hub-fault-") as directory:
        try:
            outcome = asyncio.run(_watched(one, size, Path(directory), place))
        except (Exception, pytest.skip.Exception) as exc:
            outcome = Outcome(one.name, place, broken=[f"{type(exc).__name__}: {exc}"])
        if outcome.broken and wanted.keep is not None:
            kept = wanted.keep / f"{one.name}-{place}-{int(time.time())}"
            for log in Path(directory).rglob("*.log"):
                (kept / log.relative_to(directory)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(log, kept / log.relative_to(directory))
        return outcome


async def _watched(one: Scenario, size: Any, directory: Path, place: str) -> Outcome:
    watching: list[asyncio.Task[None]] = []
    try:
        return await play(
            one,
            size,
            directory,
            place=place,
            watch=lambda stage: watching.append(asyncio.create_task(_watch(one, stage))),
        )
    finally:
        for task in watching:
            task.cancel()
        print(file=sys.stderr)


async def _watch(one: Scenario, stage: Stage) -> None:
    began_s = time.monotonic()
    while True:
        record, at_s = stage.record, time.monotonic() - began_s
        received = sum(len(mailbox) for mailbox in record.mailboxes)
        online = sum(peer.online for peer in stage.peers)
        line = (
            f"{one.name:4} {one.title[:60]:60} {at_s:5.0f} s  {len(record.acknowledged):7,} acknowledged"
            f"  {received:9,} received  {online}/{len(stage.peers)} online"
        )
        print(f"\r{line}", end="", file=sys.stderr, flush=True)
        await asyncio.sleep(PROGRESS_S)


def _table(outcomes: list[Outcome]) -> Table:
    table = Table(title="Faults of a cluster")
    columns = ("test", "log", "acknowledged", "received", "lost", "false acks", "unauthorised", "inversions")
    for column in (*columns, "duplicates", "lag p99 s", "recovery s", ""):
        table.add_column(column, justify="right" if column not in ("test", "log", "") else "left")
    for one in outcomes:
        found = one.findings
        counts = (
            len(found.lost),
            len(found.false_acknowledgements),
            len(found.unauthorised),
            len(found.inversions) + len(found.out_of_turn),
            len(found.duplicates) + len(found.repeated),
        )
        recovery = "" if one.recovery_s is None else f"{one.recovery_s:.1f}"
        row = (one.name, one.place, f"{one.acknowledged:,}", f"{one.received:,}", *map(str, counts))
        table.add_row(*row, f"{one.lag_p99_s:.3f}", recovery, "BROKEN" if one.broken else "")
    return table


def _told(outcome: Outcome) -> dict[str, Any]:
    told = asdict(outcome)
    told["findings"] = {name: len(found) for name, found in told["findings"].items()}
    told["title"] = SCENARIOS[outcome.name].title
    return told


if __name__ == "__main__":
    sys.exit(main())
