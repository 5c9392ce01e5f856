"""The load processes of a run, as the coordinator sees them."""

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from hub.bench.door import Target
from hub.bench.load import main
from hub.bench.meters import Broken, Connected, Finish, Finished, Progress, Second, Start, Stop, Stopped, Told
from hub.bench.plan import BenchError, Filters, Plan, Scenario, View
from hub.bench.seconds import Seconds
from hub.bench.share import Share, Window
from hub.bench.site import Site

BEGIN_S = 30.0
"""How long a process may take to say its first word."""
END_S = 5.0
SLICE_S = 0.25

FANNING = (Scenario.FANOUT, Scenario.SLOW)


@dataclass(slots=True)
class Member:
    """A load process, and what it has said so far."""

    process: BaseProcess
    pipe: "Connection[Start | Stop | Finish, Told]"
    connected: Connected | None = None
    stopped: Stopped | None = None
    finished: Finished | None = None

    def send(self, word: Start | Stop | Finish) -> None:
        try:
            self.pipe.send(word)
        except OSError:  # It has ended; whoever waits for its next word will hear so.
            return


@dataclass(slots=True)
class Crew:
    """All load processes of a run.

    Attributes:
        interrupted: somebody wants the run to end.
    """

    view: View
    seconds: Seconds
    members: list[Member] = field(default_factory=list)
    interrupted: bool = False

    def interrupt(self) -> None:
        """Let everybody end with what there is."""
        self.interrupted = True
        self.tell(Stop())

    def tell(self, word: Start | Stop | Finish) -> None:
        for member in self.members:
            member.send(word)

    def listen(self, awaited: str, *, within_s: float) -> None:
        """Hear everybody until each has said a word: ``connected``, ``stopped``, ``finished``.

        Raises:
            BenchError: a process broke, or did not say it in time.
        """
        end_s = time.monotonic() + within_s
        while waiting := [member for member in self.members if getattr(member, awaited) is None]:
            if time.monotonic() > end_s:
                raise BenchError(f"a load process was not {awaited} within {within_s:.0f} s")
            ready = wait([member.pipe for member in waiting], SLICE_S)
            for member in waiting:
                if member.pipe in ready:
                    self._hear(member)

    def _hear(self, member: Member) -> None:
        try:
            told = member.pipe.recv()
        except (EOFError, ConnectionError) as exc:
            if self.interrupted and member.connected is None:
                raise BenchError("interrupted before anything was measured") from exc
            raise BenchError("a load process ended unexpectedly; was it killed, or out of memory?") from exc
        match told:
            case Progress(count):
                self.view.advance(count)
            case Connected():
                member.connected = told
            case Second():
                self.seconds.add(told)
            case Stopped():
                member.stopped = told
            case Finished():
                member.finished = told
            case Broken(text):
                raise BenchError(f"a load process cannot go on: {text}")


@contextmanager
def crew(plan: Plan, site: Site, view: View, seconds: Seconds) -> Iterator[Crew]:
    """Start the load processes; when the block is left, they end."""
    made = Crew(view, seconds)
    try:
        for member in _started(plan, site, processes(plan)):
            made.members.append(member)
        yield made
    finally:
        made.tell(Stop())
        for member in made.members:
            member.pipe.close()
        for member in made.members:
            _end(member.process)


def _started(plan: Plan, site: Site, count: int) -> Iterator[Member]:
    context = multiprocessing.get_context("spawn")  # A fork would take threads and loops of the caller with it.
    target = Target.of(plan.url)
    window = None
    if count > 1 and plan.scenario in FANNING and plan.rate is None:
        hear, ring = context.Pipe(duplex=False)
        window = Window(context.RawArray("Q", count), ring, hear)
    for number in range(count):
        share = Share(plan, site.names, target, site.key, site.device_key, number, count, window)
        ours, theirs = context.Pipe()
        process = context.Process(target=main, args=(share, theirs), name=f"load-{number}", daemon=True)
        process.start()
        theirs.close()
        yield Member(process, ours)


def _end(process: BaseProcess) -> None:
    process.join(END_S)
    if process.is_alive():
        process.kill()
        process.join()


def processes(plan: Plan) -> int:
    """How many load processes there are: one on small machines, where they would take cores from the hub."""
    if plan.processes is not None:
        return plan.processes
    if plan.rate is None and plan.filters is Filters.OWN and plan.scenario in FANNING:
        return 1
    cores = multiprocessing.cpu_count()
    wanted = -(-(plan.dashboards + plan.known_devices) // 500)
    return max(1, min(cores - 1, 4, wanted)) if cores > 2 else 1
