"""What REST requests about users, access keys, logins and configuration rows hold."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, TypeVar

from protocol.errors import bad_parameter
from protocol.forms import (
    ANYTHING,
    INTEGER,
    NUMBER_ASKED,
    TEXT,
    TEXT_ASKED,
    TIMESTAMP,
    Form,
    ListForm,
    Type,
    body,
    camel,
    nullable,
    one_of,
    path,
    query,
)
from protocol.names import KeyAction, KeyType, UserRole, UserStatus
from protocol.requests import UNSET, Unset, to_integer, to_text, to_timestamp_ms
from protocol.rules import USER, check

E = TypeVar("E", bound=IntEnum)


def one_of_numbers(enumeration: type[E]) -> Type:
    """An enumeration that the wire writes as a number."""

    def convert(value: Any, name: str) -> E | None:
        number = to_integer(value, name)
        try:
            return None if number is None else enumeration(number)
        except ValueError as exc:
            raise bad_parameter(name) from exc

    told = ", ".join(f"{one.value} {one.name}" for one in enumeration)
    return Type(convert, {"type": ["integer", "null"], "enum": [*map(int, enumeration), None], "description": told})


def _to_end(value: Any, name: str) -> int | None | Unset:
    """When a key ends. An empty text says nothing about it; null says that it does not end."""
    return UNSET if value == "" else to_timestamp_ms(value, name)


# --- users ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class ListUsers(ListForm):
    """Which users, in which order."""

    login: str | None = query(TEXT_ASKED)
    login_pattern: str | None = query(TEXT_ASKED)
    role: int | None = query(NUMBER_ASKED)
    status: int | None = query(NUMBER_ASKED)
    sort_field: str | None = query(one_of("ID", "Login"))


@dataclass(slots=True, kw_only=True, repr=False)
class UserForm(Form):
    """What may be said of a user."""

    login: str | None | Unset = body(TEXT)
    role: UserRole | None | Unset = body(one_of_numbers(UserRole))
    status: UserStatus | None | Unset = body(one_of_numbers(UserStatus))
    password: str | None | Unset = body(TEXT)
    google_login: str | None | Unset = body(TEXT)
    facebook_login: str | None | Unset = body(TEXT)
    github_login: str | None | Unset = body(TEXT)
    data: Any = body(ANYTHING)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(login={self.login!r}, …)"

    @property
    def identities(self) -> dict[str, str | None]:
        """The logins at identity providers that are there, by their names in the store; blank ones are None."""
        given = {name: getattr(self, name) for name in ("google_login", "facebook_login", "github_login")}
        return {name: (login or "").strip() or None for name, login in given.items() if login is not UNSET}

    def check(self, **values: Any) -> None:
        """Let values of a user pass, by their names in the store, that keep the rules.

        Raises:
            BadRequest: with all the rules that are broken.
        """
        check(USER, **{camel(name): value for name, value in values.items()})


@dataclass(slots=True, kw_only=True, repr=False)
class CreateUser(UserForm):
    """A new user."""

    needs_body: ClassVar[bool] = True

    login: str | None | Unset = body(TEXT, required=True)
    role: UserRole | None | Unset = body(one_of_numbers(UserRole), required=True)
    status: UserStatus | None | Unset = body(one_of_numbers(UserStatus), required=True)


@dataclass(slots=True, kw_only=True, repr=False)
class UpdateCurrentUser(UserForm):
    """What changes about whoever asks."""

    old_password: str | None | Unset = body(TEXT)


@dataclass(slots=True, kw_only=True, repr=False)
class UpdateUser(UpdateCurrentUser):
    """What changes about a user."""

    user_id: int = path(INTEGER, "id")


@dataclass(slots=True, kw_only=True)
class OneUser(Form):
    """A user by id."""

    user_id: int = path(INTEGER, "id")


@dataclass(slots=True, kw_only=True)
class OneMembership(Form):
    """A user and a network."""

    user_id: int = path(INTEGER, "id")
    network_id: int = path(INTEGER, "networkId")


# --- access keys ------------------------------------------------------------------------------------------------------


def _a_list_of(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": ["array", "null"], "items": schema}


PERMISSIONS_SCHEMA: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "domains": _a_list_of({"type": ["string", "null"]}),
            "subnets": _a_list_of({"type": ["string", "null"]}),
            "actions": _a_list_of({"type": "string", "enum": [*map(str, KeyAction)]}),
            "networkIds": _a_list_of({"type": ["integer", "string", "null"]}),
            "deviceGuids": _a_list_of({"type": ["string", "number", "null"]}),
        },
    },
}

PERMISSIONS = Type(lambda value, name: value, nullable(PERMISSIONS_SCHEMA))
"""Taken as it is: what is wrong with it is told after other things. See :mod:`protocol.key_permissions`."""

KEY_END = Type(_to_end, TIMESTAMP.schema)


@dataclass(slots=True, kw_only=True)
class ListKeys(ListForm):
    """Which of a user's keys, in which order."""

    user: str = path(TEXT_ASKED, "userId")
    label: str | None = query(TEXT_ASKED)
    label_pattern: str | None = query(TEXT_ASKED)
    type: int | None = query(NUMBER_ASKED)
    sort_field: str | None = query(one_of("ID", "Label"))


@dataclass(slots=True, kw_only=True)
class KeyForm(Form):
    """What may be said of a user's key."""

    user: str = path(TEXT_ASKED, "userId")
    label: str | None | Unset = body(TEXT, required=True)
    expires_ms: int | None | Unset = body(KEY_END, "expirationDate")
    type: KeyType | None | Unset = body(one_of_numbers(KeyType))
    permissions: Any = body(PERMISSIONS, required=True)


@dataclass(slots=True, kw_only=True)
class CreateKey(KeyForm):
    """A new key."""

    needs_body: ClassVar[bool] = True


@dataclass(slots=True, kw_only=True)
class UpdateKey(KeyForm):
    """What changes about a key."""

    key_id: int = path(INTEGER, "id")
    label: str | None | Unset = body(TEXT)
    permissions: Any = body(PERMISSIONS)


@dataclass(slots=True, kw_only=True)
class OneKey(Form):
    """A user's key by id."""

    user: str = path(TEXT_ASKED, "userId")
    key_id: int = path(INTEGER, "id")


# --- login ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True, repr=False)
class Login(Form):
    """An identity, to be exchanged for a session key."""

    needs_body: ClassVar[bool] = True

    provider_name: str | None = body(TEXT, default=None, required=True)
    login: str | None = body(TEXT, default=None)
    password: str | None = body(TEXT, default=None)
    code: str | None = body(TEXT, default=None)
    redirect_uri: str | None = body(TEXT, "redirect_uri", default=None)
    access_token: str | None = body(TEXT, "access_token", default=None)

    def __repr__(self) -> str:
        return f"Login(provider_name={self.provider_name!r}, login={self.login!r}, …)"


# --- configuration ----------------------------------------------------------------------------------------------------


def to_value(value: Any, name: str) -> str:
    """A value of a configuration row, from the query or from a body."""
    try:
        text = value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError as exc:
        raise bad_parameter(name) from exc
    return to_text(text, name) or ""


@dataclass(slots=True, kw_only=True)
class OneConfiguration(Form):
    """A configuration row by name."""

    name: str = path(TEXT_ASKED)


@dataclass(slots=True, kw_only=True, repr=False)
class PutConfiguration(OneConfiguration):
    """A row whose value is the whole body."""

    text: bytes = b""

    def __repr__(self) -> str:
        return f"PutConfiguration(name={self.name!r}, …)"

    @property
    def value(self) -> str:
        return to_value(self.text, "value")


@dataclass(slots=True, kw_only=True, repr=False)
class SetConfiguration(OneConfiguration):
    """A row whose value is in the query."""

    value: str = query(TEXT_ASKED, default="")

    def __repr__(self) -> str:
        return f"SetConfiguration(name={self.name!r}, …)"
