"""What REST requests about OAuth clients, grants and tokens hold."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Self

import orjson

from protocol.errors import BAD_ARGUMENT, bad_parameter
from protocol.forms import (
    INTEGER,
    NUMBER_ASKED,
    TEXT,
    TEXT_ASKED,
    TIME_ASKED,
    Form,
    ListForm,
    Type,
    an_object,
    body,
    one_of,
    path,
    query,
)
from protocol.names import NETWORK_IDS_MAX, AccessType, GrantType
from protocol.requests import Members, Unset, to_integer, to_text

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


def one_of_words(enumeration: type[StrEnum]) -> Type:
    """An enumeration that the wire writes as a word, upper and lower case apart."""

    def convert(value: Any, name: str) -> StrEnum | None:
        try:
            return None if value is None else enumeration(value)
        except ValueError as exc:
            raise bad_parameter(name) from exc

    return Type(convert, {"type": ["string", "null"], "enum": [*map(str, enumeration), None]})


def one_of_words_asked(enumeration: type[StrEnum]) -> Type:
    """The same in a query, where DeviceHive has other words for what is none."""

    def convert(value: Any, name: str) -> StrEnum | None:
        try:
            return None if value == "" else enumeration(value)
        except ValueError as exc:
            raise BAD_ARGUMENT.error(value=value, detail={"parameter": name}) from exc

    return Type(convert, {"type": "string", "enum": [*map(str, enumeration)]})


def to_network_ids(value: Any, name: str) -> tuple[int, ...] | None:
    """An array of numbers, which is not too long to be stored; null is absent."""
    if value is None:
        return None
    if not isinstance(value, list) or None in value:
        raise bad_parameter(name)
    ids = [to_integer(one, name) for one in value]
    if len(orjson.dumps(ids)) > NETWORK_IDS_MAX:
        raise bad_parameter(name)
    return tuple(one for one in ids if one is not None)


def to_challenge(value: Any, name: str) -> str | None:
    """A SHA-256 digest as RFC 7636 writes it (``S256``); null is absent."""
    if value is None or (isinstance(value, str) and _CHALLENGE.fullmatch(value)):
        return value
    raise bad_parameter(name)


CHALLENGE = Type(to_challenge, {"type": ["string", "null"], "pattern": f"^{_CHALLENGE.pattern}$"})
NETWORK_IDS = Type(to_network_ids, {"type": ["array", "null"], "items": {"type": "integer", "format": "int64"}})

# --- clients ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class ListClients(ListForm):
    """Which clients, in which order."""

    name: str | None = query(TEXT_ASKED)
    name_pattern: str | None = query(TEXT_ASKED)
    domain: str | None = query(TEXT_ASKED)
    oauth_id: str | None = query(TEXT_ASKED)
    sort_field: str | None = query(one_of("ID", "Name", "Domain", "OAuthID"))


@dataclass(slots=True, kw_only=True)
class OneClient(Form):
    """A client by id."""

    client_id: int = path(INTEGER, "id")


@dataclass(slots=True, kw_only=True)
class CreateClient(Form):
    """A new client. What it says of its secret is passed over."""

    needs_body: ClassVar[bool] = True

    id: int | None | Unset = body(INTEGER)
    name: str | None | Unset = body(TEXT, required=True)
    domain: str | None | Unset = body(TEXT, required=True)
    subnet: str | None | Unset = body(TEXT)
    redirect_uri: str | None | Unset = body(TEXT, required=True)
    oauth_id: str | None | Unset = body(TEXT, required=True)


@dataclass(slots=True, kw_only=True)
class UpdateClient(OneClient):
    """What changes about a client."""

    name: str | None | Unset = body(TEXT)
    domain: str | None | Unset = body(TEXT)
    subnet: str | None | Unset = body(TEXT)
    redirect_uri: str | None | Unset = body(TEXT)
    oauth_id: str | None | Unset = body(TEXT)


# --- grants -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NamedClient:
    """The client that a grant is for: a new grant goes by its id, a change of one by its name."""

    oauth_id: str | None
    name: str | None

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls(to_text(members.get("oauthId"), "oauthId"), to_text(members.get("name"), "name"))


CLIENT = an_object(NamedClient.read, {"oauthId": TEXT, "name": TEXT})


@dataclass(slots=True, kw_only=True)
class ListGrants(ListForm):
    """Which grants, in which order."""

    user: str = path(TEXT_ASKED, "userId")
    start_ms: int | None = query(TIME_ASKED, "start")
    end_ms: int | None = query(TIME_ASKED, "end")
    client_oauth_id: str | None = query(TEXT_ASKED, "clientOAuthId")
    type: GrantType | None = query(one_of_words_asked(GrantType))
    scope: str | None = query(TEXT_ASKED)
    redirect_uri: str | None = query(TEXT_ASKED)
    access_type: AccessType | None = query(one_of_words_asked(AccessType))
    sort_field: str | None = query(one_of("timestamp"))


@dataclass(slots=True, kw_only=True)
class OneGrant(Form):
    """A user's grant by id."""

    user: str = path(TEXT_ASKED, "userId")
    grant_id: int = path(NUMBER_ASKED, "id")


@dataclass(slots=True, kw_only=True)
class GrantForm(Form):
    """What may be said of a user's grant."""

    user: str = path(TEXT_ASKED, "userId")
    client: NamedClient | None | Unset = body(CLIENT)
    type: GrantType | None | Unset = body(one_of_words(GrantType))
    access_type: AccessType | None | Unset = body(one_of_words(AccessType))
    redirect_uri: str | None | Unset = body(TEXT)
    scope: str | None | Unset = body(TEXT)
    network_ids: tuple[int, ...] | None | Unset = body(NETWORK_IDS)
    code_challenge: str | None = body(CHALLENGE, default=None)
    """Of the code that comes of this request, and of no other."""


@dataclass(slots=True, kw_only=True)
class CreateGrant(GrantForm):
    """A new grant."""

    needs_body: ClassVar[bool] = True

    @property
    def missing(self) -> list[str]:
        """What has to be there and is not, in DeviceHive's words and order."""
        wrong = {
            "Client field is required": not self.client,
            "Type field is required": not self.type,
            "Invalid grant type!": self.type is GrantType.PASSWORD,
            "Redirect URI field is required": not self.redirect_uri,
            "Scope field is required": not self.scope,
        }
        return [text for text, is_wrong in wrong.items() if is_wrong]


@dataclass(slots=True, kw_only=True)
class UpdateGrant(GrantForm):
    """What changes about a grant."""

    grant_id: int = path(NUMBER_ASKED, "id")


# --- tokens -----------------------------------------------------------------------------------------------------------


def _to_grant_type(value: str, name: str) -> str:
    if not value:
        raise bad_parameter(name)
    return value


GRANT_TYPE = Type(_to_grant_type, {"type": "string", "enum": ["authorization_code", "password"]})


@dataclass(slots=True, kw_only=True, repr=False)
class AskToken(Form):
    """What a client exchanges for a key. It comes as a browser's form does, not as JSON."""

    grant_type: str = body(GRANT_TYPE, "grant_type", required=True)
    code: str | None = body(TEXT_ASKED, default=None)
    own_redirect_uri: str | None = body(TEXT_ASKED, "redirectUri", default=None)
    standard_redirect_uri: str | None = body(TEXT_ASKED, "redirect_uri", default=None)
    client_id: str | None = body(TEXT_ASKED, "client_id", default=None)
    code_verifier: str | None = body(TEXT_ASKED, "code_verifier", default=None)
    scope: str | None = body(TEXT_ASKED, default=None)
    username: str | None = body(TEXT_ASKED, default=None)
    password: str | None = body(TEXT_ASKED, default=None)

    def __repr__(self) -> str:
        return f"AskToken(grant_type={self.grant_type!r}, client_id={self.client_id!r}, …)"

    @classmethod
    def read_body(cls, members: Members | None) -> dict[str, Any]:
        if not members or "grant_type" not in members:
            raise bad_parameter("grant_type")
        return super(AskToken, cls).read_body(members)

    @property
    def redirect_uri(self) -> str | None:
        """Under DeviceHive's name, or under that of RFC 6749; None: it was not sent."""
        return self.standard_redirect_uri if self.own_redirect_uri is None else self.own_redirect_uri
