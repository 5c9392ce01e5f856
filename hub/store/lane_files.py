"""Who has which lane, among the processes of one host."""

import fcntl
from pathlib import Path
from typing import IO

from hub.store.errors import CannotOpen, NoLane
from protocol.messages import LANES


class LaneFiles:
    """Locks on files beside a database, one for each lane that is or was in use.

    The system takes a lock back when its process has ended, and not before: a worker that is paused keeps its lane,
    however long.

    Args:
        path: of the database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: IO[bytes] | None = None

    def take(self) -> int:
        """Lock the first lane that is free, and return its number.

        Raises:
            NoLane: there is none.
            CannotOpen: no file can be made beside the database.
        """
        assert self._held is None, "one store has one lane"
        for number in range(LANES):
            self._held = self._locked(number)
            if self._held is not None:
                return number
        raise NoLane(f"{self._path} has {LANES} workers already, and takes no more")

    def is_free(self, number: int) -> bool:
        """Whether nobody has a lane at this moment."""
        file = self._locked(number)
        if file is None:
            return False
        file.close()
        return True

    def give_back(self) -> None:
        """Unlock what was taken. Calling it twice is harmless."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def _locked(self, number: int) -> IO[bytes] | None:
        path = self._path.with_name(f"{self._path.name}-lane{number}")
        try:
            file = path.open("ab")
        except OSError as exc:
            raise CannotOpen(f"cannot write beside the database: {path}: {exc.strerror}") from exc
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
        return file
