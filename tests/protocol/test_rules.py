"""Rules of length and presence: what they let pass, and DeviceHive's words for what they do not."""

import pytest

from protocol.errors import VALIDATION, HubError
from protocol.requests import UNSET
from protocol.rules import DEVICE, DEVICE_CLASS, EQUIPMENT, NETWORK, Rules, check

LONGEST = [
    (NETWORK, "name", 128),
    (NETWORK, "key", 64),
    (NETWORK, "description", 128),
    (DEVICE, "guid", 48),
    (DEVICE, "key", 64),
    (DEVICE, "name", 128),
    (DEVICE, "status", 128),
    (DEVICE_CLASS, "name", 128),
    (DEVICE_CLASS, "version", 32),
    (EQUIPMENT, "name", 128),
    (EQUIPMENT, "code", 128),
    (EQUIPMENT, "type", 128),
]


def refused(rules: Rules, **values: object) -> HubError:
    with pytest.raises(HubError) as caught:
        check(rules, **values)
    assert caught.value.problem is VALIDATION
    return caught.value


@pytest.mark.parametrize(("rules", "name", "most"), LONGEST)
def test_a_text_has_so_many_characters_and_no_more(rules, name, most):
    """Characters, not bytes."""
    check(rules, **{name: "é" * most})

    error = refused(rules, **{name: "é" * (most + 1)})

    assert f"The length of {name} should not be more than {most} symbols. ;" in error.text
    assert error.detail == {"parameter": name}


@pytest.mark.parametrize(
    ("rules", "name"), [(rules, name) for rules, name, _ in LONGEST if (rules, name) != (DEVICE, "status")]
)
def test_what_may_be_null_may_be_empty(rules, name):
    """And what may not be one may not be the other; but for the status, which may only be null."""
    optional = rules is NETWORK and name != "name"
    for value in (None, ""):
        if optional:
            check(rules, **{name: value})
        else:
            refused(rules, **{name: value})


def test_a_status_is_null_or_not_empty():
    """It is free text otherwise."""
    check(DEVICE, status=None)

    assert "Field cannot be empty" in refused(DEVICE, status="").text


def test_what_is_not_said_is_not_looked_at():
    """UNSET stays what is stored, and what has no rule may be anything."""
    check(DEVICE, name=UNSET, data={"a": 1}, is_blocked=None)


def test_all_that_is_broken_is_told():
    """Each in a line of its own, in DeviceHive's words; extended mode names the first."""
    long = "d" * 129

    error = refused(NETWORK, name=None, description=long)

    assert error.text == (
        "Error! Validation failed: \n"
        "On property name (value: null): name field cannot be null. ;\n"
        f"On property description (value: {long}): The length of description should not be more than 128 symbols. ;"
    )
    assert error.detail == {"parameter": "name"}


def test_a_version_that_is_null_is_called_name():
    """That is what DeviceHive calls it."""
    assert "On property version (value: null): name field cannot be null. ;" in refused(DEVICE_CLASS, version=None).text


def test_a_key_is_not_told_back():
    """It would stand in logs of proxies and clients."""
    for rules, key in ((DEVICE, "k" * 65), (NETWORK, "k" * 65), (DEVICE, "")):
        assert "(value: …)" in refused(rules, key=key).text
    assert "(value: null)" in refused(DEVICE, key=None).text
