"""What is done now and then while the database is away: told once, and tried on."""

import asyncio

from hub.app import Hub
from tests.gateway.inside import world
from tests.waiting import until


def told(caplog, duty):
    """Level and text of each line about a duty, and whether it has a traceback."""
    return [
        (record.levelname, record.getMessage(), bool(record.exc_info))
        for record in caplog.records
        if getattr(record, "duty", None) == duty
    ]


async def test_a_duty_that_is_put_off_again_and_again_is_told_once(start_hub, failing, caplog):
    """In one line without a traceback, and in one when it is done again."""
    caplog.set_level("INFO", logger="hub")
    home = await start_hub(world(), change_poll_s=0.01)
    store = failing(home)
    store.fails = lambda name: name == "changes"
    await until(lambda: asyncio.sleep(0, store.failures > 5))
    store.fails = lambda name: False
    await until(lambda: asyncio.sleep(0, len(told(caplog, "poll")) > 1))

    assert told(caplog, "poll") == [
        ("WARNING", "a duty was put off", False),
        ("INFO", "a duty is done again", False),
    ]


async def test_a_duty_that_fails_by_mistake_is_told_once_as_well(start_hub, failing, caplog):
    """With its traceback: nobody would read the next thousand."""
    home = await start_hub(world(), change_poll_s=0.01)
    times = []

    def mistaken(name):
        if name == "changes":
            times.append(name)
            raise ValueError
        return False

    failing(home).fails = mistaken
    await until(lambda: asyncio.sleep(0, len(times) > 5))
    failing(home).fails = lambda name: False

    assert told(caplog, "poll")[0] == ("ERROR", "a duty failed", True)
    assert [level for level, _, _ in told(caplog, "poll")].count("ERROR") == 1


async def test_a_stop_without_a_database_is_a_stop(start_hub, failing, caplog):
    """What could not be stored is said in a line, and everything is let go: the next hub starts."""
    home = await start_hub(world())
    lamp, store = await home.hub.gateway.devices.device("lamp"), failing(home)
    store.fails = lambda name: True
    home.hub.gateway.activity[lamp.id] = home.hub.gateway.now_ms()

    await home.hub.stop()

    said = {record.getMessage() for record in caplog.records if record.levelname == "WARNING"}
    assert {"the last signs of life were not stored", "the lane could not be given back"} <= said
    next_hub = Hub(home.settings)
    await next_hub.start()
    await next_hub.stop()
