"""Batches of writes, as the stores take them apart."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from hub.store import Amend, Append, Write
from protocol.messages import Message
from protocol.names import Kind


def plain_kind(write: Write) -> Kind | None:
    """The kind of a plain append; None for everything else."""
    return write.message.kind if isinstance(write, Append) and write.idempotency is None else None


def plain_messages(batch: Sequence[Write]) -> list[Message] | None:
    """The messages of a batch that is nothing but plain appends of one kind; otherwise None."""
    kind = plain_kind(batch[0]) if batch else None
    if kind is None:
        return None
    messages: list[Message] = []
    for write in batch:  # Once for every message, and on SQLite with the interpreter's lock.
        if type(write) is not Append or write.idempotency is not None or write.message.kind is not kind:
            return None
        messages.append(write.message)
    return messages


def runs(batch: Sequence[Write]) -> Iterator[list[Write]]:
    """A batch in its order, in parts that one statement can do: plain appends of one kind, or updates of commands each
    of which is updated once; everything else alone."""
    for what, writes in groupby(batch, key=_what):
        if what is Amend:
            yield from _distinct(list(writes))
        elif what is None:
            yield from ([write] for write in writes)
        else:
            yield list(writes)


def _what(write: Write) -> Kind | type[Amend] | None:
    return Amend if isinstance(write, Amend) else plain_kind(write)


def _distinct(amends: Sequence[Write]) -> Iterator[list[Write]]:
    run: list[Write] = []
    known: set[int] = set()
    for amend in amends:
        assert isinstance(amend, Amend)
        if amend.command_id in known:
            yield run
            run, known = [], set()
        run.append(amend)
        known.add(amend.command_id)
    yield run
