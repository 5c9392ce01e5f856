"""Which hub ``tail`` and ``send`` talk to, and with which key."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from hub.cli.output import fail, misused, note, shown

if TYPE_CHECKING:
    from hub.client import Profile

DEFAULT_PATH = "/api/websocket"

Url = Annotated[
    str | None, typer.Option("--url", metavar="URL", envvar="HUB_URL", help="The hub, such as https://hub.example.org.")
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="KEY",
        envvar="HUB_KEY",
        show_default=False,
        help="An access key. Others on this computer can read arguments: prefer the variable.",
    ),
]
ProfileFile = Annotated[
    Path | None,
    typer.Option(
        "--profile", metavar="FILE", envvar="HUB_PROFILE", help="A connection profile; the first start writes one."
    ),
]


def find_target(*, url: str | None, key: str | None, profile: Path | None) -> "Profile":
    """The address and the key to use: both as given, or from the profile.

    A profile's key is for the profile's hub: with another address, another key has to be given.

    Raises:
        Failure: there is no way to know one of them.
    """
    from hub.client import Profile

    if url is not None:
        address = websocket_url(url)
        if key is not None:
            return Profile(address, key)
        if profile is None:
            misused("--url (HUB_URL) needs a key as well: set HUB_KEY")
    found = _read(profile)
    if url is not None and websocket_url(url) != found.url:
        misused("the profile's key is not for --url: set HUB_KEY, or leave --url out")
    return Profile(found.url, key if key is not None else found.access_key, found.login)


def websocket_url(url: str) -> str:
    """The WebSocket address of what people write: ``https://`` becomes ``wss://``, and a bare host gets the usual path.

    Raises:
        Failure: it is no address of a hub.
    """
    text = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        host = None
    schemes = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
    if host is None or parts.scheme not in schemes or "@" in parts.netloc or parts.query or parts.fragment:
        misused("--url: must look like https://hub.example.org or ws://127.0.0.1:8080/api/websocket")
    path = parts.path.rstrip("/") or DEFAULT_PATH
    return f"{schemes[parts.scheme]}://{parts.netloc}{path}"


def _read(named: Path | None) -> "Profile":
    from hub.client import Profile, ProfileReadableByOthers
    from hub.client.profile import find

    path = find(named) or _beside_the_database()
    if path is None:
        fail(
            "which hub? Run this where the hub was started, name its profile (HUB_PROFILE), or set HUB_URL and HUB_KEY"
        )
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ProfileReadableByOthers)
        profile = Profile.read(path)
    for warning in told:
        note(shown(str(warning.message)))
    return profile


def _beside_the_database() -> Path | None:
    from hub.cli.local import load_settings
    from hub.client.profile import FILE_NAME

    path = load_settings().data_directory / FILE_NAME
    return path if path.is_file() else None
