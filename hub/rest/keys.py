"""Access keys of a user."""

from hub.actions import keys
from hub.rest.route import Route
from protocol.account_forms import CreateKey, ListKeys, OneKey, UpdateKey
from protocol.account_views import CREATED_KEY, KEY
from protocol.errors import (
    ARRAY_EXPECTED,
    BAD_SORT_ORDER,
    BAD_USER_ID,
    GRANTS_TOO_MUCH,
    INVALID,
    KEY_NOT_FOUND,
    KEY_TO_CHANGE_NOT_FOUND,
    LABEL_REQUIRED,
    LABEL_TAKEN,
    UNKNOWN_KEY_ACTION,
)
from protocol.names import Operation
from protocol.views import each, listed, reference

_WANTED = (UNKNOWN_KEY_ACTION, ARRAY_EXPECTED, GRANTS_TOO_MUCH, BAD_USER_ID)
_BARE = frozenset({INVALID})

ROUTES = [
    Route(
        operation=Operation.LIST_KEYS,
        method="GET",
        path="/user/{userId}/accesskey",
        summary="Access keys of a user",
        perform=keys.list_keys,
        form=ListKeys,
        shape=each(KEY),
        answer=listed(KEY),
        refusals=(BAD_SORT_ORDER, BAD_USER_ID),
    ),
    Route(
        operation=Operation.CREATE_KEY,
        method="POST",
        path="/user/{userId}/accesskey",
        summary="Make an access key, which is shown this once",
        perform=keys.create_key,
        form=CreateKey,
        status=201,
        shape=CREATED_KEY,
        answer=reference(CREATED_KEY),
        refusals=(LABEL_REQUIRED, LABEL_TAKEN, *_WANTED),
        bare=_BARE,
    ),
    Route(
        operation=Operation.GET_KEY,
        method="GET",
        path="/user/{userId}/accesskey/{id}",
        summary="An access key of a user",
        perform=keys.get_key,
        form=OneKey,
        shape=KEY,
        answer=reference(KEY),
        refusals=(KEY_NOT_FOUND, BAD_USER_ID),
    ),
    Route(
        operation=Operation.UPDATE_KEY,
        method="PUT",
        path="/user/{userId}/accesskey/{id}",
        summary="Change what is given of an access key",
        perform=keys.update_key,
        form=UpdateKey,
        status=204,
        refusals=(KEY_TO_CHANGE_NOT_FOUND, *_WANTED),
        bare=_BARE,
    ),
    Route(
        operation=Operation.DELETE_KEY,
        method="DELETE",
        path="/user/{userId}/accesskey/{id}",
        summary="Delete an access key",
        perform=keys.delete_key,
        form=OneKey,
        status=204,
        refusals=(BAD_USER_ID,),
    ),
]
