"""What a request takes: one object reads it and describes it, and requests that are read by hand keep to theirs."""

from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs
import pytest

from protocol.errors import HubError
from protocol.names import Action
from protocol.requests import REQUESTS, InsertCommand, InsertNotification, UpdateCommand
from protocol.values import TEXT, UNSET, Takes, a_list
from tests.documents import leniently

BY_HAND = {Action.NOTIFICATION_INSERT, Action.COMMAND_INSERT, Action.COMMAND_UPDATE}
VALUES = [None, "", "text", "7", "true", 7, -7, 2**40, 1.5, True, False, [], ["a"], [1], [None], [{}], {}, {"a": 1}]


class Watched(Mapping[str, Any]):
    """Members that remember which of them were asked for."""

    def __init__(self, **members: Any) -> None:
        self.asked: set[str] = set()
        self._members = members

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return self._members[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __bool__(self) -> bool:
        return True


@pytest.mark.parametrize("action", REQUESTS)
def test_a_request_looks_at_what_it_says_and_at_nothing_else(action):
    """A member that is read and not described would be in no document."""
    ask, members = REQUESTS[action], Watched()

    ask.read(members)

    assert members.asked == ask.takes.members.keys()


@pytest.mark.parametrize(
    ("ask", "place"), [(InsertNotification, "notification"), (InsertCommand, "command"), (UpdateCommand, "command")]
)
def test_what_is_read_by_hand_looks_into_its_object_likewise(ask, place, monkeypatch):
    """Also one level below."""
    inside = Watched()
    monkeypatch.setattr("protocol.requests.to_object", lambda value, name: value)

    ask.read({place: inside})

    assert inside.asked == ask.takes.members[place].schema["properties"].keys()


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize("action", REQUESTS)
def test_what_is_accepted_is_what_is_described(action, value):
    """Each member alone: whatever it converts matches its schema, with what old clients may send; nothing else does."""
    ask = REQUESTS[action]
    for name, type_ in ask.takes.members.items():
        accepted = _converts(lambda: ask.read({name: value}))  # noqa: B023 - called at once

        assert accepted == _converts(lambda: type_.convert(value, name)), name  # noqa: B023
        if accepted and value not in ("", {}, {"a": 1}):
            assert jsonschema_rs.is_valid(leniently(type_.schema), value), name


def _converts(read: Any) -> bool:
    try:
        read()
    except HubError:
        return False
    return True


@pytest.mark.parametrize("action", REQUESTS)
def test_an_example_is_read_and_described(action):
    """It is what a client may begin with."""
    takes = REQUESTS[action].takes

    REQUESTS[action].read(takes.example)

    jsonschema_rs.validate(dict(takes.schema), dict(takes.example))
    assert takes.example.keys() <= takes.members.keys()


def test_what_is_absent_can_be_told_from_null():
    """Where absence has a meaning of its own."""
    takes = Takes({"a": TEXT, "b": TEXT, "c": TEXT})

    assert takes({"a": 5, "b": None}) == ["5", None, None]
    assert takes.given({"a": 5, "b": None}) == ["5", None, UNSET]


def test_an_error_calls_a_member_as_it_is_told_to():
    """By the object that it stands in, where that is clearer."""
    takes = Takes({"key": TEXT}, called={"key": "network.key"})

    with pytest.raises(HubError) as told:
        takes({"key": []})

    assert told.value.detail == {"parameter": "network.key"}


def test_what_is_required_is_told():
    """That it is there, checks the action, in words of its own."""
    assert Takes({"a": TEXT}, required=("a",)).schema["required"] == ["a"]
    assert "required" not in Takes({"a": TEXT}).schema


def test_a_list_drops_null():
    """As DeviceHive's clients are used to."""
    names = a_list(lambda members: members["name"], Takes({"name": TEXT}))

    assert names.convert([{"name": "a"}, None], "names") == ("a",)
    assert names.convert(None, "names") is None
    for wrong in ({}, "text", [1]):
        with pytest.raises(HubError):
            names.convert(wrong, "names")
