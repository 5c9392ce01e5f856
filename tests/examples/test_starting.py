"""How a hub starts: what it shows at first, what it never shows again, and why it sometimes does not start."""

import fcntl
import socket
from base64 import b64encode
from contextlib import ExitStack, contextmanager

import pytest

from hub.client import connect
from hub.client.profile import FILE_NAME, Profile
from protocol.messages import LANES
from tests.examples import readme
from tests.examples.programs import shown

pytestmark = pytest.mark.slow


async def ask(hub, **credentials):
    """What the hub says of itself to somebody who shows these."""
    async with connect(hub.url, **credentials) as client:
        return await client.server_info()


async def test_the_first_start_shows_what_one_needs(started):
    """The address, a login with its password, an access key: all of them work."""
    where = f"127.0.0.1:{started.port}"

    assert (started.http, started.url) == (f"http://{where}", f"ws://{where}/api/websocket")
    assert started.login == "dhadmin"
    assert await ask(started, login=started.login, password=started.password)
    assert await ask(started, access_key=started.key)


async def test_the_first_start_shows_what_to_try(place):
    """The README's lines, as they have to be typed here."""
    hub = await place.with_examples().serve()
    wanted = [line.split("#")[0].strip().removeprefix(".venv/bin/") for line in readme.commands(".venv/bin/")]

    lines = hub.program.out.split("Try, in other terminals")[1].splitlines()[1:]

    assert [line.split("/bin/")[-1].strip() for line in lines] == wanted


async def test_without_the_examples_only_what_is_there_is_shown(started):
    """An installed hub has no examples beside it."""
    assert "examples/" not in started.program.out
    assert "hub --help" in started.program.out


async def test_the_log_holds_no_secret(place):
    """Not even the most talkative log, after the secrets were used."""
    hub = await place.serve(HUB_LOG_LEVEL="debug")
    await ask(hub, login=hub.login, password=hub.password)
    await ask(hub, access_key=hub.key)
    await hub.stop()

    pepper = (place.path / "hub.pepper").read_bytes()
    secrets = {hub.password, hub.key, pepper.hex(), b64encode(pepper).decode(), repr(pepper)[2:-1]}
    assert '"started"' in hub.program.err
    assert not any(secret in hub.program.err for secret in secrets)


async def test_what_the_first_start_leaves_is_for_its_owner_only(common, started):
    """Database, pepper and profile."""
    left = {path.name: path.stat().st_mode & 0o077 for path in common.path.iterdir() if path.is_file()}
    assert left.pop("hub.db.lock") is not None, "there is nothing in it"
    assert {"hub.db", "hub.pepper", "hub-profile.json"} <= left.keys()
    assert not any(left.values()), left


async def test_a_second_start_shows_no_secret(place):
    """They were shown once; the key still works."""
    first = await place.serve()
    await first.stop()

    second = await place.serve()

    assert "First start" not in second.program.out
    assert not any(secret in second.program.out + second.program.err for secret in (first.password, first.key))
    assert await ask(second, access_key=first.key)


async def test_a_chosen_password_is_not_shown(place):
    """Whoever has set it knows it."""
    hub = await place.serve(HUB_ADMIN_PASSWORD="chosen by a person")

    assert "chosen by a person" not in hub.program.out + hub.program.err
    assert "HUB_ADMIN_PASSWORD" in hub.program.out
    assert await ask(hub, login=hub.login, password="chosen by a person")


async def not_started(place, **environ):
    """Try to start a hub; returns why it did not."""
    done = await place.run("hub", "serve", code=3, **{"HUB_PORT": "0", **environ})
    assert "Traceback" not in done.err
    assert not done.out
    return done.err


async def test_a_second_hub_on_the_same_database_does_not_start(common, started):
    """Two would give out the same ids; the first is not disturbed."""
    why = await not_started(common)

    assert "another hub runs on hub.db" in why
    assert await ask(started, access_key=started.key)


async def test_without_its_pepper_a_hub_does_not_start(place):
    """A new pepper would make every key worthless without a word; none is made."""
    hub = await place.serve()
    await hub.stop()
    (place.path / "hub.pepper").unlink()

    why = await not_started(place)

    assert "hub.pepper is missing" in why
    assert not (place.path / "hub.pepper").exists()


async def test_a_hub_whose_port_is_taken_does_not_start(place):
    """It says which, and leaves nothing behind."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        why = await not_started(place, HUB_PORT=str(port))

    assert f"cannot listen on 127.0.0.1:{port}" in why
    assert not (place.path / "hub.db").exists()


async def test_a_hub_whose_certificate_is_none_does_not_start(place):
    """It says so, and leaves nothing behind."""
    for name in ("certificate", "key"):
        (place.path / name).write_text("this is none")

    why = await not_started(place, HUB_TLS_CERTIFICATE="certificate", HUB_TLS_KEY="key")

    assert why.startswith("hub: the TLS certificate or key cannot be read")
    assert not (place.path / "hub.db").exists()


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_first_start_that_fails_later_has_shown_its_secrets(place, workers):
    """They are in the database by then, and nobody could ever learn them again."""
    with every_lane_taken(place.path):
        several = {"HUB_WORKERS": workers, "HUB_BUS_URL": "redis://127.0.0.1:1"}
        failed = await place.run("hub", "serve", code=3, HUB_PORT="0", **several)
    hub = await place.serve()

    first = shown(failed)
    assert "takes no more" in failed.err
    assert "listens" not in failed.out
    assert "First start" not in hub.program.out
    assert await ask(hub, login=first.login, password=first.password)
    assert await ask(hub, access_key=first.key)
    profile = Profile.read(place.path / FILE_NAME)
    assert (profile.url, profile.access_key, profile.login) == (hub.url, first.key, first.login)


@contextmanager
def every_lane_taken(directory):
    """As many workers as can be have this database already."""
    with ExitStack() as stack:
        for number in range(LANES):
            file = stack.enter_context((directory / f"hub.db-lane{number}").open("ab"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
