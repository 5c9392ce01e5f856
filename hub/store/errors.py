"""What keeps a store from being opened, or a worker from writing."""


class CannotOpen(Exception):
    """The database or the secrets beside it cannot be used as they are; the text says why and names the file.

    Raised before anything is served. Nothing was changed.
    """


class NoLane(Exception):
    """As many workers as there are lanes share the database; no more can join."""


class LaneLost(Exception):
    """Another worker has this worker's lane: it was cut off from the database, and took too long to come back."""


class MayOnlyRead(Exception):
    """Work that was only to read has tried to write. Nothing was written; the hub itself is mistaken."""
