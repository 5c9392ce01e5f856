"""What answers about OAuth clients, grants and tokens show."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from protocol.account_views import CREATED_KEY, KEY, ShownKey
from protocol.entities import OAuthClient, OAuthGrant
from protocol.forms import Schema
from protocol.names import AccessType, GrantType
from protocol.times import format_ms
from protocol.views import INT64, STRING, TIME, Many, View, nullable, reference


@dataclass(frozen=True, slots=True)
class ShownClient:
    """An OAuth client as somebody sees it.

    Attributes:
        secret: None: whoever asks does not get to see it.
    """

    client: OAuthClient
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ShownGrant:
    """A grant as somebody sees it.

    Attributes:
        key: the grant's, or its mask.
        auth_code: None also where whoever asks does not get to see it.
    """

    grant: OAuthGrant
    key: ShownKey
    client: ShownClient
    auth_code: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Token:
    """A key that an OAuth client gets.

    Attributes:
        expires_s: seconds from now on; None: never.
    """

    key: str = field(repr=False)
    expires_s: int | None = None


# --- clients ----------------------------------------------------------------------------------------------------------

CLIENT: View[ShownClient] = View(
    "OAuthClient",
    {
        "id": (INT64, lambda shown: shown.client.id),
        "name": (STRING, lambda shown: shown.client.name),
        "domain": (STRING, lambda shown: shown.client.domain),
        "subnet": (nullable(STRING), lambda shown: shown.client.subnet),
        "redirectUri": (STRING, lambda shown: shown.client.redirect_uri),
        "oauthId": (STRING, lambda shown: shown.client.oauth_id),
    },
)
CLIENT_WITH_SECRET = CLIENT.but("OAuthClientWithSecret", oauthSecret=(STRING, lambda shown: shown.secret))
CREATED_CLIENT: View[ShownClient] = View(
    "OAuthClientCreated",
    {"id": (INT64, lambda shown: shown.client.id), "oauthSecret": (STRING, lambda shown: shown.secret)},
)

ANY_CLIENT: Schema = {"anyOf": [reference(CLIENT), reference(CLIENT_WITH_SECRET)]}
"""Administrators see the secret."""


def show_client(shown: ShownClient) -> dict[str, Any]:
    """A client with its secret, if whoever asks gets to see that."""
    return (CLIENT if shown.secret is None else CLIENT_WITH_SECRET)(shown)


def show_clients(several: Sequence[ShownClient]) -> Many[ShownClient]:
    return Many(show_client, several)


# --- grants -----------------------------------------------------------------------------------------------------------


def _words(enumeration: Any) -> Schema:
    return {"type": "string", "enum": [*map(str, enumeration)]}


GRANT: View[ShownGrant] = View(
    "OAuthGrant",
    {
        "id": (INT64, lambda shown: shown.grant.id),
        "timestamp": (TIME, lambda shown: format_ms(shown.grant.timestamp_ms)),
        "authCode": (nullable(STRING), lambda shown: shown.auth_code),
        "client": (ANY_CLIENT, lambda shown: show_client(shown.client)),
        "accessKey": (reference(KEY), lambda shown: KEY(shown.key)),
        "type": (_words(GrantType), lambda shown: shown.grant.type),
        "accessType": (_words(AccessType), lambda shown: shown.grant.access_type),
        "redirectUri": (STRING, lambda shown: shown.grant.redirect_uri),
        "scope": (STRING, lambda shown: shown.grant.scope),
        "networkIds": (
            {"type": ["array", "null"], "items": INT64},
            lambda shown: None if shown.grant.network_ids is None else list(shown.grant.network_ids),
        ),
    },
)
GRANT_WITH_CODE: View[ShownGrant] = View(
    "OAuthGrantWithCode", {name: GRANT.members[name] for name in ("id", "timestamp", "authCode")}
)
GRANT_WITH_KEY: View[ShownGrant] = View(
    "OAuthGrantWithKey",
    {
        **{name: GRANT.members[name] for name in ("id", "timestamp")},
        "accessKey": (reference(CREATED_KEY), lambda shown: CREATED_KEY(shown.key)),
    },
)

ANY_MADE: Schema = {"anyOf": [reference(GRANT_WITH_CODE), reference(GRANT_WITH_KEY)]}


def show_made(shown: ShownGrant) -> dict[str, Any]:
    """A grant that was made or changed: its key, or a code to be exchanged for it."""
    return (GRANT_WITH_KEY if shown.grant.type is GrantType.TOKEN else GRANT_WITH_CODE)(shown)


# --- tokens -----------------------------------------------------------------------------------------------------------

TOKEN: View[Token] = View(
    "AccessToken",
    {
        "access_token": (STRING, lambda token: token.key),
        "token_type": ({"type": "string", "enum": ["Bearer"]}, lambda token: "Bearer"),
        "expires_in": (nullable(INT64), lambda token: token.expires_s),
    },
)
