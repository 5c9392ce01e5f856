"""The timer wheel: one timer for all sockets."""

import asyncio
import time

from hub.web.wheel import Wheel


class Bell:
    """Rings once, and remembers when."""

    def __init__(self) -> None:
        self.rung = asyncio.Event()

    def tick(self, now_s: float) -> None:
        self.rung.set()


async def test_a_long_turn_of_the_loop_does_not_make_it_late():
    """What was due while the loop was busy is visited at the next step, however many steps that was."""
    wheel = Wheel(step_s=0.005)
    wheel.start()
    soon, later = Bell(), Bell()
    wheel.add(soon, 0.01)
    wheel.add(later, 0.1)

    time.sleep(0.2)
    await soon.rung.wait()

    assert later.rung.is_set()
    wheel.stop()


async def test_one_failing_visit_does_not_cost_the_others_theirs(caplog):
    """The failure is logged, once."""

    class Broken:
        def tick(self, now_s: float) -> None:
            raise RuntimeError("broken")

    wheel = Wheel(step_s=0.005)
    wheel.start()
    bell = Bell()
    wheel.add(Broken(), 0.01)
    wheel.add(bell, 0.01)

    await bell.rung.wait()

    assert [record.message for record in caplog.records] == ["a visit of the timer wheel failed"]
    wheel.stop()
