"""Connection profiles: where a hub is and which access key to use, in a file that only its owner may read."""

import json
import os
import stat
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkstemp
from typing import Self

FILE_NAME = "hub-profile.json"
VARIABLE = "HUB_PROFILE"


class BadProfile(ValueError):
    """A profile is missing, or does not say where the hub is. The text never holds its key."""


class ProfileReadableByOthers(UserWarning):
    """Others than its owner may read the file, and with it the access key."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A hub's WebSocket address with an access key for it.

    Attributes:
        login: whose key it is, for people.
        limits, durability: how the hub was set when it last started: its ``HUB_LIMITS`` and ``HUB_DURABILITY``, for
            those who measure it. None: not told.
    """

    url: str
    access_key: str = field(repr=False)
    login: str | None = None
    limits: str | None = None
    durability: str | None = None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a profile, with a :class:`ProfileReadableByOthers` warning where its mode is too wide.

        Raises:
            BadProfile: there is none, or it makes no sense.
        """
        try:
            with path.open(encoding="utf-8") as file:
                if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077 and os.name == "posix":
                    text = f"{path} holds an access key and is readable by others: chmod 600 it"
                    warnings.warn(text, ProfileReadableByOthers, stacklevel=2)
                members = json.load(file)
        except OSError as exc:
            raise BadProfile(f"cannot read the connection profile {path}: {exc.strerror}") from exc
        except ValueError:  # Its text and context would show what the file holds.
            raise BadProfile(f"{path} is not a connection profile") from None
        names = ("url", "accessKey")
        if not isinstance(members, dict) or not all(isinstance(members.get(name), str) for name in names):
            raise BadProfile(f"{path} is not a connection profile: it needs url and accessKey")
        told = [members.get(name) for name in ("login", "limits", "durability")]
        return cls(members["url"], members["accessKey"], *(text if isinstance(text, str) else None for text in told))

    def write(self, path: Path) -> None:
        """Write the profile, mode 0600, replacing what was there in one step.

        Raises:
            OSError: the directory does not take it; nothing has changed.
        """
        members = {
            "url": self.url,
            "accessKey": self.access_key,
            "login": self.login,
            "limits": self.limits,
            "durability": self.durability,
        }
        descriptor, name = mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mkstemp makes it 0600.
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(members, file, indent=2)
                file.write("\n")
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def find(path: Path | None = None, *, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Which profile to use: the given one, ``HUB_PROFILE``'s, or ``hub-profile.json`` here; None: there is none.

    A path that somebody named is returned even if nothing is there, so that reading it says so.
    """
    if path is not None:
        return path
    if named := environment.get(VARIABLE):
        return Path(named)
    here = Path(FILE_NAME)
    return here if here.is_file() else None
