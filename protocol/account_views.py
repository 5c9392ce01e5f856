"""What answers about users, access keys and logins show."""

from dataclasses import dataclass, field
from typing import Any

from protocol.device_views import NETWORK
from protocol.entities import AccessKey, Network, User
from protocol.views import (
    INT32,
    INT64,
    JSON_VALUE,
    STRING,
    TIME,
    View,
    listed,
    nullable,
    reference,
    time_or_null,
)

USER_NETWORK: View[Network] = View("UserNetwork", {"network": (reference(NETWORK), NETWORK)})


@dataclass(frozen=True, slots=True)
class Member:
    """A user with the networks that the user is a member of."""

    user: User
    networks: list[Network]


USER_IN_LIST: View[User] = View(
    "User",
    {
        "id": (INT64, lambda user: user.id),
        "login": (STRING, lambda user: user.login),
        "role": (INT32, lambda user: user.role),
        "status": (INT32, lambda user: user.status),
        "lastLogin": (nullable(TIME), lambda user: time_or_null(user.last_login_ms)),
        "googleLogin": (nullable(STRING), lambda user: user.google_login),
        "facebookLogin": (nullable(STRING), lambda user: user.facebook_login),
        "githubLogin": (nullable(STRING), lambda user: user.github_login),
        "data": (JSON_VALUE, lambda user: user.data),
    },
)

CREATED_USER: View[User] = USER_IN_LIST.but("UserCreated", "login", "role", "status")


def _of_user(*names: str) -> dict[str, Any]:
    """Members of the view of a user, found in one with networks."""

    def within(name: str) -> Any:
        schema, find = USER_IN_LIST.members[name]
        return schema, lambda member: find(member.user)

    return {name: within(name) for name in names}


USER: View[Member] = View(
    "UserWithNetworks",
    {
        **_of_user("id", "login", "role", "status"),
        "networks": (listed(USER_NETWORK), lambda member: [USER_NETWORK(network) for network in member.networks]),
        **_of_user("lastLogin"),
    },
)

CURRENT_USER: View[Member] = View(
    "CurrentUser",
    {
        **_of_user("id", "login", "role", "status"),
        "networks": (listed(NETWORK), lambda member: [NETWORK(network) for network in member.networks]),
        **_of_user("lastLogin", "googleLogin", "facebookLogin", "githubLogin", "data"),
    },
)


# --- access keys ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ShownKey:
    """An access key as its owner sees it.

    Attributes:
        text: the key itself, or its mask.
    """

    key: AccessKey
    text: str = field(repr=False)


_A_LIST = {"type": ["array", "null"]}

KEY_PERMISSION_SCHEMA = {
    "type": "object",
    "properties": dict.fromkeys(("domains", "subnets", "actions", "networkIds", "deviceGuids"), _A_LIST),
}

KEY: View[ShownKey] = View(
    "AccessKey",
    {
        "id": (INT64, lambda shown: shown.key.id),
        "label": (STRING, lambda shown: shown.key.label),
        "key": (STRING, lambda shown: shown.text),
        "expirationDate": (nullable(TIME), lambda shown: time_or_null(shown.key.expires_ms)),
        "type": (INT32, lambda shown: shown.key.type),
        "permissions": (
            {"type": "array", "items": KEY_PERMISSION_SCHEMA},
            lambda shown: [permission.view() for permission in shown.key.permissions],
        ),
    },
)

CREATED_KEY: View[ShownKey] = View(
    "AccessKeyCreated", {"id": (INT64, lambda shown: shown.key.id), "key": (STRING, lambda shown: shown.text)}
)
