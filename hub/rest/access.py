"""Explaining rights."""

from hub.actions.explain import explain_access
from hub.rest.route import Route
from protocol.access_forms import EXPLANATION, AskAccess
from protocol.errors import KEY_NOT_FOUND, NOT_PERMITTED, USER_NOT_FOUND
from protocol.names import Action
from protocol.views import reference

ROUTES = [
    Route(
        operation=Action.ACCESS_EXPLAIN,
        method="GET",
        path="/access/explain",
        summary="Why something is allowed, or is not",
        perform=explain_access,
        form=AskAccess,
        ask=AskAccess.to_request,
        shape=EXPLANATION,
        answer=reference(EXPLANATION),
        refusals=(KEY_NOT_FOUND, USER_NOT_FOUND, NOT_PERMITTED),
    ),
]
