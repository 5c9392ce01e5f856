"""The comparison that the replayed exchanges rest on: it has to see every difference."""

import pytest

from tests.websocket.matching import difference, filled_in

UUID = "0d2c9f4e-6c0e-4f3c-9b65-0f3c0b8f4a51"
NOW = "2015-09-29T11:18:10.123"


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (1, 1),
        (None, None),
        ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
        ("@int", 1),
        ("@ts", NOW),
        ("@uuid", UUID),
        ("@str", "x"),
        ("@any", None),
        ("@=X", 7),
        ({"b": 2, "a": 1}, {"a": 1, "b": 2}),
        ("@key", "1" * 43 + "="),
        ("@re:a.c", "a\nc"),
        ({"a": 1, "@more": True}, {"a": 1, "b": 2}),
        ({"@set": [1, 2]}, [2, 1]),
        ({"@has": [{"a": 1}]}, [{"a": 2}, {"a": 1}]),
        ({"@each": "@int"}, [1, 2]),
    ],
)
def test_equal_frames_have_no_difference(expected, actual):
    """Patterns stand for their values, and the order of members does not matter."""
    assert difference(expected, actual, {"X": 7}) is None


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (1, 2),
        (1, 1.0),
        (1, True),
        (0, None),
        ("1", 1),
        ([], {}),
        ([1], [1, 1]),
        ([1, 2], [2, 1]),
        ({"a": 1}, {}),
        ({"a": None}, {}),
        ({}, {"a": None}),
        ({"a": {"b": 1}}, {"a": {"b": 2}}),
        ("@int", 0),
        ("@int", True),
        ("@int", 1.0),
        ("@int", "1"),
        ("@ts", "2015-09-29T11:18:10"),
        ("@ts", NOW + "Z"),
        ("@ts", 5),
        ("@uuid", UUID.upper()),
        ("@str", ""),
        ("@str", None),
        ("@=X", 8),
        ("@key", "1" * 44),
        ("@re:a", "ab"),
        ("@re:1", 1),
        ("@bind:Y@int", "1"),
        ({"a": 1, "@more": True}, {"b": 2}),
        ({"a": 1, "@more": True}, {"a": 2, "b": 2}),
        ({"@set": [1, 1]}, [1, 2]),
        ({"@set": [1]}, [1, 1]),
        ({"@has": [1, 1]}, [1, 2]),
        ({"@each": "@int"}, [1, 0]),
        ({"@each": "@int"}, []),
        ({"@set": []}, {}),
        ({"a": 1}, [1]),
        ([], {"@set": []}),
    ],
)
def test_every_difference_is_seen(expected, actual):
    """Types, missing members, extra members, order in lists: each is told."""
    assert difference(expected, actual, {"X": 7})


def test_a_difference_says_where_it_is():
    """Whoever reads it need not search the frame."""
    assert difference({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, {}) == ".a[0].b: expected 1, got 2"


def test_values_are_remembered_and_put_back():
    """What one frame brought, a later request can send."""
    bound = {}

    assert difference({"id": "@bind:X"}, {"id": 5}, bound) is None
    assert difference({"@has": ["@bind:Y@int"]}, ["a", 6], bound) is None
    assert bound["Y"] == 6
    assert filled_in({"commandId": "@=X", "a": ["@=X", None]}, bound) == {"commandId": 5, "a": [5, None]}
