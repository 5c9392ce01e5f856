"""What must hold of a user or a key that is stored, and what DeviceHive says where it does not."""

from collections.abc import Iterator
from typing import Any

from protocol.errors import INVALID, violations
from protocol.names import LABEL_MAX, LOGIN_MAX
from protocol.requests import UNSET

IDENTITY_MAX = 64
CONFIGURATION_NAME_MAX = 32
CONFIGURATION_VALUE_MAX = 128

_LENGTH = "The length of {name} should not be more than {most} symbols."


def check_user(**values: Any) -> None:
    """Let values of a user pass, by their names in the store; what is UNSET is not looked at.

    Raises:
        BadRequest: with all the rules that are broken.
    """
    if broken := list(_broken(values)):
        raise violations(broken)


def _broken(values: dict[str, Any]) -> Iterator[tuple[str, Any, str]]:
    for name, value in values.items():
        if value is UNSET:
            continue
        if name in ("login", "role", "status") and value is None:
            yield name, None, f"{name} field cannot be null."
        elif name == "login" and not 1 <= len(value) <= LOGIN_MAX:
            # The text speaks of 128; what is stored has 64.
            yield name, value, "Field cannot be empty. " + _LENGTH.format(name=name, most=128)
        elif name in _IDENTITIES and value is not None and len(value) > IDENTITY_MAX:
            yield _IDENTITIES[name], value, _LENGTH.format(name=_IDENTITIES[name], most=IDENTITY_MAX)


_IDENTITIES = {"google_login": "googleLogin", "facebook_login": "facebookLogin", "github_login": "githubLogin"}


def check_label(label: str | None) -> None:
    """Let the label of a key pass.

    Raises:
        BadRequest: null, empty or too long.
    """
    if label is None:
        raise INVALID.error(text="label field cannot be null.", detail={"parameter": "label"})
    if not 1 <= len(label) <= LABEL_MAX:
        text = "Field cannot be empty. " + _LENGTH.format(name="label", most=LABEL_MAX)
        raise INVALID.error(text=text, detail={"parameter": "label"})
