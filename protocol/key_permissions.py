"""The permissions of an access key, as a request brings them: five lists each, kept as they were sent."""

from collections.abc import Callable, Sequence
from typing import Any

from protocol.entities import KeyPermission
from protocol.errors import ARRAY_EXPECTED, UNKNOWN_KEY_ACTION, bad_parameter
from protocol.names import KeyAction
from protocol.requests import Members, to_integer, to_object, to_text

_ACTIONS = frozenset(map(str, KeyAction))


def read_permissions(value: Any) -> tuple[KeyPermission, ...]:
    """Read the permissions of a key.

    Raises:
        BadRequest: null, or no array of objects; a list that is no array; an unknown action; an item of a wrong type.
    """
    if not isinstance(value, list):
        raise bad_parameter("permissions")
    return tuple(_permission(entry) for entry in value)


def _permission(entry: Any) -> KeyPermission:
    members = to_object(entry, "permissions")
    if members is None:
        raise bad_parameter("permissions")
    return KeyPermission(
        domains=_list(members, "domains", to_text),
        subnets=_list(members, "subnets", to_text),
        actions=_list(members, "actions", _check_action),
        network_ids=_list(members, "networkIds", to_integer),
        device_guids=_list(members, "deviceGuids", to_text),
    )


def _list(members: Members, name: str, check: Callable[[Any, str], Any]) -> tuple[Any, ...] | None:
    value = members.get(name)
    if value is None:
        return None
    if not isinstance(value, list):
        raise ARRAY_EXPECTED.error(detail={"parameter": name})
    for item in value:
        check(item, name)
    return tuple(value)


def check_actions(names: Sequence[str]) -> tuple[str, ...]:
    """These names, if each is that of a key action.

    Raises:
        BadRequest: one is not.
    """
    for name in names:
        _check_action(name, "scope")
    return tuple(names)


def _check_action(item: Any, name: str) -> None:
    if not isinstance(item, str) or item not in _ACTIONS:
        raise UNKNOWN_KEY_ACTION.error(detail={"parameter": name})
