"""A route: one operation of the REST API, from its path to the shape of its answer."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hub.actions.caller import Caller
from hub.gateway import Gateway
from protocol.errors import HubError, Problem
from protocol.forms import Form, Place, Schema, entries
from protocol.names import Action, Operation

Handler = Callable[[Gateway, Caller, Any], Coroutine[Any, Any, Any]]


class Media(StrEnum):
    """What a body is."""

    JSON = "application/json"
    TEXT = "text/plain"
    FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One operation.

    Attributes:
        operation: decides who may (:data:`hub.core.access.RULES`); its name in the OpenAPI document.
        path: below the REST root; ``{name}`` stands for one segment.
        summary: one line for the document.
        perform: the action.
        form: what the request holds.
        ask: makes the action's request object of a form; None: the form is it.
        status: of the answer.
        shape: what of the action's result is the body.
        shape_extended: the same for whoever asks for extended mode; None: no difference.
        answer: JSON Schema of the body; None: there is none.
        empty_when_none: the status that stands for a result of None, without a body; 0: None is a result like others.
        check: looks at the query before anybody asks what the caller may do; raises a HubError.
        told: what an error of the action is called here, by the error and the request; None: as the action calls it.
        refusals: the catalogue's rows, besides the common ones, that this operation refuses with.
        bare: problems whose body has ``"error": null`` here.
        silent: problems that are told by their status alone, without a body.
        media: what the request's body is; TEXT takes any type.
        answers_text: the answer is the bare text of the result.
        is_message: its body is a message, and has a message's limit of size.
        only_devicehive: it exists under ``HUB_COMPAT=devicehive`` only; otherwise 405.
    """

    operation: Action | Operation
    method: str
    path: str
    summary: str
    perform: Handler
    form: type[Form] = Form
    ask: Callable[[Any], Any] | None = None
    status: int = 200
    shape: Callable[[Any], Any] | None = None
    shape_extended: Callable[[Any], Any] | None = None
    answer: Schema | None = None
    empty_when_none: int = 0
    check: Callable[[Gateway, Mapping[str, str]], Any] | None = None
    told: Callable[[HubError, Any], HubError | None] | None = None
    refusals: tuple[Problem, ...] = ()
    bare: frozenset[Problem] = frozenset()
    silent: frozenset[Problem] = frozenset()
    media: Media = Media.JSON
    answers_text: bool = False
    is_message: bool = False
    only_devicehive: bool = False

    @property
    def changes(self) -> bool:
        """Whether it may change something, going by its method."""
        return self.method not in ("GET", "HEAD") or self.only_devicehive

    @property
    def takes_members(self) -> bool:
        """Whether there is anything to read in a body. Where there is not, whatever comes as one is passed over."""
        return any(entry.place is Place.BODY for entry in entries(self.form))
