"""From what a caller asks to what the store is asked for."""

from collections.abc import Mapping
from typing import Any

from hub.store import Listing
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
