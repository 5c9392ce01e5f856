"""Rules of length and presence for what is stored, and what DeviceHive says when one is broken."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from protocol.errors import INVALID, violations
from protocol.names import (
    DESCRIPTION_MAX,
    DEVICE_KEY_MAX,
    GUID_MAX,
    IDENTITY_MAX,
    LABEL_MAX,
    LOGIN_MAX,
    NAME_MAX,
    NETWORK_KEY_MAX,
    OAUTH_ID_MAX,
    REDIRECT_URI_MAX,
    SCOPE_MAX,
    SUBNET_MAX,
    VERSION_MAX,
)
from protocol.requests import UNSET


@dataclass(frozen=True, slots=True)
class Rule:
    """What a value must be.

    Attributes:
        most: characters of a text.
        required: whether null breaks the rule.
        may_be_empty: an empty text is one.
        called: what it is called where it is null, if not by its name.
        secret: the value is not repeated to whoever sent it.
        told: the number of characters that the words speak of, where it is another one.
        spoken: what the value is called where its length is spoken of, if not by its name.
    """

    most: int
    required: bool = True
    may_be_empty: bool = False
    called: str = ""
    secret: bool = False
    told: int = 0
    spoken: str = ""

    def broken_by(self, name: str, value: Any) -> str:
        """What is wrong with a value; empty: nothing."""
        if value is None:
            return f"{self.called or name} field cannot be null." if self.required else ""
        if isinstance(value, str) and (len(value) > self.most or not (value or self.may_be_empty)):
            about_empty = "" if self.may_be_empty else "Field cannot be empty. "
            return (
                f"{about_empty}The length of {self.spoken or name} should not be more than "
                f"{self.told or self.most} symbols."
            )
        return ""


Rules = Mapping[str, Rule]

NETWORK: Rules = {
    "name": Rule(NAME_MAX),
    "key": Rule(NETWORK_KEY_MAX, required=False, may_be_empty=True, secret=True),
    "description": Rule(DESCRIPTION_MAX, required=False, may_be_empty=True),
}
DEVICE: Rules = {
    "guid": Rule(GUID_MAX),
    "key": Rule(DEVICE_KEY_MAX, secret=True),
    "name": Rule(NAME_MAX),
    "status": Rule(NAME_MAX, required=False),
}
DEVICE_CLASS: Rules = {
    "name": Rule(NAME_MAX),
    "version": Rule(VERSION_MAX, called="name"),
}
EQUIPMENT: Rules = {
    "name": Rule(NAME_MAX),
    "code": Rule(NAME_MAX),
    "type": Rule(NAME_MAX),
}
_IDENTITY = Rule(IDENTITY_MAX, required=False, may_be_empty=True)
USER: Rules = {
    "login": Rule(LOGIN_MAX, told=NAME_MAX),
    "role": Rule(0),
    "status": Rule(0),
    "googleLogin": _IDENTITY,
    "facebookLogin": _IDENTITY,
    "githubLogin": _IDENTITY,
}
OAUTH_CLIENT: Rules = {
    "name": Rule(NAME_MAX),
    "domain": Rule(NAME_MAX),
    "subnet": Rule(SUBNET_MAX, required=False, may_be_empty=True),
    "redirectUri": Rule(REDIRECT_URI_MAX, spoken="redirect URI"),
    "oauthId": Rule(OAUTH_ID_MAX, told=NAME_MAX),
}
OAUTH_GRANT: Rules = {
    "type": Rule(NAME_MAX),
    "accessType": Rule(NAME_MAX),
    "redirectUri": Rule(REDIRECT_URI_MAX, spoken="redirect URI"),
    "scope": Rule(SCOPE_MAX),
}
LABEL = Rule(LABEL_MAX)


def check(rules: Rules, **values: Any) -> None:
    """Let values pass that keep the rules of their names. What is UNSET, or has no rule, is not looked at.

    Raises:
        BadRequest: rules are broken; the text has all of them.
    """
    if broken := list(_broken(rules, values)):
        raise violations(broken)


def check_label(label: str | None) -> None:
    """Let the label of an access key pass.

    Raises:
        BadRequest: null, empty or too long.
    """
    if text := LABEL.broken_by("label", label):
        raise INVALID.error(text=text, detail={"parameter": "label"})


def _broken(rules: Rules, values: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    for name, value in values.items():
        if value is UNSET or name not in rules:
            continue
        if text := rules[name].broken_by(name, value):
            yield name, "…" if rules[name].secret and value is not None else value, text
