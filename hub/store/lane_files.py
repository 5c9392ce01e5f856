"""Who has which lane, and whose turn it is to write, among the processes of one host."""

import fcntl
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from hub.store.errors import CannotOpen, NoLane

TURN_S = 0.0005


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

    def take(self, numbers: Sequence[int]) -> int:
        """Lock the first of these lanes that is free, and return its number.

        Raises:
            NoLane: there is none.
            CannotOpen: no file can be made beside the database.
        """
        assert self._held is None, "one store has one lane"
        for number in numbers:
            self._held = self._locked(number)
            if self._held is not None:
                return number
        raise NoLane(f"{self._path} has {len(numbers)} workers already, and takes no more")

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


class WriteTurn:
    """Whose turn it is to write to a database that several processes share.

    SQLite lets a writer that finds another one sleep for longer and longer, up to 100 ms: two busy workers would commit
    some ten times a second. This lock is looked at every half millisecond; it only makes the waiting short, and
    SQLite's own lock stays what counts.

    Args:
        path: of the database.
        most_s: after so long a writer goes on without it, for whoever has it may be paused.
    """

    def __init__(self, path: Path, *, most_s: float) -> None:
        self._file = path.with_name(f"{path.name}-turn").open("ab")
        self._most_s = most_s

    def __enter__(self) -> None:
        deadline_s = time.monotonic() + self._most_s
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() > deadline_s:
                    return
                time.sleep(TURN_S)
            else:
                return

    def close(self) -> None:
        self._file.close()

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)
