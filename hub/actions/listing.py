"""From what a caller asks and may see to what the store is asked for."""

from collections.abc import Mapping
from typing import Any

from hub.core.access import EVERYTHING, Clauses
from hub.store import Listing, Where
from protocol.forms import ListForm


def listing(ask: ListForm, *, sort: str | None, equal: Mapping[str, Any] = {}, like: Mapping[str, Any] = {}) -> Listing:
    """The rows that a list shows.

    Args:
        sort: a column; None: by id.
        equal, like: values and patterns by column; None is not asked for.
    """
    return Listing(
        equal=equal,
        like=like,
        sort=sort or "id",
        descending=ask.descending,
        skip=ask.skip or 0,
        take=ask.take,
    )


def within(clauses: Clauses, *, network_id: int | None = None) -> list[Where] | None:
    """The devices that these clauses admit; None: every device.

    Args:
        network_id: of them only those in this network.
    """
    if network_id is not None:
        narrowed = (clause.narrowed(networks=(network_id,)) for clause in clauses)
        clauses = tuple(clause for clause in narrowed if clause is not None)
    if EVERYTHING in clauses:
        return None
    return [Where(clause.networks, clause.guids, clause.groups) for clause in clauses]
