"""Login and logout."""

from hub.actions import sessions
from hub.rest.route import Route
from protocol.account_forms import Login
from protocol.account_views import CREATED_KEY
from protocol.errors import (
    CODE_REQUIRED,
    IDENTITY_UNKNOWN,
    LOGIN_INPUT,
    OVERLOAD,
    PROVIDER_DENIED,
    PROVIDER_NO_TOKEN,
    PROVIDER_NOT_ALLOWED,
    PROVIDER_OTHER_AUDIENCE,
    PROVIDER_REFUSED,
    PROVIDER_UNKNOWN,
    PROVIDER_UNREACHABLE,
    USER_INACTIVE,
)
from protocol.names import Operation
from protocol.views import reference

ROUTES = [
    Route(
        operation=Operation.LOGIN,
        method="POST",
        path="/auth/accesskey",
        summary="Exchange an identity for a session key",
        perform=sessions.login,
        form=Login,
        shape=CREATED_KEY,
        answer=reference(CREATED_KEY),
        refusals=(
            LOGIN_INPUT,
            CODE_REQUIRED,
            PROVIDER_UNKNOWN,
            PROVIDER_NOT_ALLOWED,
            IDENTITY_UNKNOWN,
            USER_INACTIVE,
            PROVIDER_UNREACHABLE,
            PROVIDER_REFUSED,
            PROVIDER_DENIED,
            PROVIDER_OTHER_AUDIENCE,
            PROVIDER_NO_TOKEN,
            OVERLOAD,
        ),
    ),
    Route(
        operation=Operation.LOGOUT,
        method="DELETE",
        path="/auth/accesskey",
        summary="Delete the access key that asks",
        perform=sessions.logout,
        status=204,
    ),
]
