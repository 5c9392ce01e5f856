"""What a start shows in the terminal."""

import shutil
import sys
from pathlib import Path

from hub.settings import Settings
from hub.starting import FirstStart, profile_path


def authority(settings: Settings, port: int) -> str:
    """Host and port by which the hub can be reached from here."""
    host = settings.host
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"{shown}:{port}"


def socket_url(settings: Settings, port: int) -> str:
    """The WebSocket address that clients append ``/client`` or ``/device`` to."""
    return f"{'wss' if settings.tls else 'ws'}://{authority(settings, port)}{settings.context_paths[0]}/websocket"


def show_secrets(settings: Settings, first: FirstStart) -> None:
    """Show in the terminal what a first start has made. Nobody else tells it."""
    password = first.password if first.password is not None else "(as set in HUB_ADMIN_PASSWORD)"
    lines = [
        "First start. These are shown once; the access key is also in " + str(profile_path(settings)),
        f"  administrator   {first.login}",
        f"  password        {password}",
        f"  access key      {first.access_key}",
        "",
    ]
    print("\n".join(lines), flush=True)


def banner(settings: Settings, port: int) -> str:
    """What the terminal shows at the start: where it listens, and what to try."""
    scheme = "https" if settings.tls else "http"
    lines = [f"The hub listens on {scheme}://{authority(settings, port)} and {socket_url(settings, port)}"]
    if settings.workers > 1:
        lines.append(f"{settings.workers} workers take turns there")
    lines += [f"WARNING: {warning}" for warning in settings.warnings() if settings.limits != "default"]
    lines += ["", "Try, in other terminals, from this folder:", *(f"  {line}" for line in things_to_try())]
    return "\n".join(lines)


def things_to_try() -> list[str]:
    """Commands that show a hub at work, as they have to be typed here."""
    folder = Path(sys.executable).parent
    on_path = shutil.which("hub") == str(folder / "hub")
    shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    prefix = "" if on_path else f"{shown}/"
    lines = [f"{prefix}hub tail"]
    if Path("examples/thermostat.py").exists():
        lines.append(f"{prefix}python examples/thermostat.py")
        lines.append(f"{prefix}hub send thermostat set target=23")
    else:
        lines.append(f"{prefix}hub --help")
    return lines
