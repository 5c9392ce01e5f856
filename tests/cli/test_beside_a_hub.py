"""Commands beside a running hub, each a process of its own, as a person has them in two terminals."""

import asyncio
import json
import signal
import socket
from contextlib import asynccontextmanager

import pytest

from hub.client import CredentialsRefused, connect_device
from tests.waiting import WAIT_S, until

from .conftest import begin, run

pytestmark = pytest.mark.slow


@asynccontextmanager
async def served(path):
    """A hub on a free port, started for the first time; yields its connection profile."""
    process = await begin("serve", "--port", "0", cwd=path)
    profile = path / "hub-profile.json"

    async def profile_written():
        assert process.returncode is None, (await process.communicate())[1].decode()
        return profile.exists()

    try:
        await until(profile_written)
        yield json.loads(profile.read_text())
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WAIT_S):
            await process.communicate()
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def hub(path, *words, code=0):
    async with asyncio.timeout(2 * WAIT_S):
        done = await run(*words, cwd=path)
    assert done.code == code, done.err
    return done


async def obey(device):
    async for command in device.commands():
        await command.reply("done", {"got": command.parameters})


async def test_a_device_enrolled_by_a_command_obeys_a_command(tmp_path):
    """Create, send, see it with tail, block: every step takes effect in the hub that is running."""
    async with served(tmp_path) as profile:
        await hub(tmp_path, "network", "create", "home")
        made = (await hub(tmp_path, "device", "create", "lamp", "--network", "home", "--json")).json
        async with connect_device(profile["url"], guid="lamp", key=made["key"]) as device:
            obeying = asyncio.create_task(obey(device))
            sent = await hub(tmp_path, "send", "lamp", "set", "on=true", "--json")
            told_id = await device.notify("watts", {"value": 60})
            seen = await hub(tmp_path, "tail", "--name", "watts", "--since", "0", "--json", "--count", "1")
            await hub(tmp_path, "device", "update", "lamp", "--block")
            with pytest.raises(CredentialsRefused):
                async with asyncio.timeout(WAIT_S):
                    await obeying

    assert (sent.json["status"], sent.json["result"]) == ("done", {"got": {"on": True}})
    assert (json.loads(seen.out)["id"], json.loads(seen.out)["parameters"]) == (told_id, {"value": 60})


async def test_a_key_made_beside_the_hub_works_until_it_is_revoked(tmp_path):
    """Neither needs a restart."""
    async with served(tmp_path) as profile:
        words = ("key", "create", "--user", "dhadmin", "--label", "x", "--preset", "watch")
        made = (await hub(tmp_path, *words, "--json")).json
        device_key = (await hub(tmp_path, "device", "create", "lamp", "--json")).json["key"]
        await hub(tmp_path, "network", "create", "home")
        await hub(tmp_path, "device", "update", "lamp", "--network", "home")
        environ = {"HUB_URL": profile["url"], "HUB_KEY": made["key"]}
        process = await begin("tail", "--json", "--since", "0", cwd=tmp_path, **environ)
        async with connect_device(profile["url"], guid="lamp", key=device_key) as device:
            await device.notify("watts")
        async with asyncio.timeout(WAIT_S):
            seen = json.loads(await process.stdout.readline())
        await hub(tmp_path, "key", "revoke", str(made["id"]))
        async with asyncio.timeout(WAIT_S):
            _, err = await process.communicate()

    assert seen["notification"] == "watts"
    assert process.returncode == 1
    assert b"Traceback" not in err


async def test_the_doctor_and_a_backup_beside_a_hub(tmp_path):
    """Both work while the hub writes."""
    async with served(tmp_path) as profile:
        found = await begin("doctor", "--json", cwd=tmp_path, HUB_PORT=profile["url"].split(":")[2].split("/")[0])
        out, _ = await found.communicate()
        await hub(tmp_path, "backup", "copy.db")

    port = next(line for line in json.loads(out) if line["about"] == "port")
    assert port["text"].startswith("a hub answers")
    assert (tmp_path / "copy.db").stat().st_size > 0


async def test_a_hub_that_cannot_start_says_why(tmp_path):
    """Exit code 3, and no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = await hub(tmp_path, "serve", "--port", str(taken.getsockname()[1]), code=3)

    assert "cannot listen on 127.0.0.1" in done.err
    assert "Traceback" not in done.err
