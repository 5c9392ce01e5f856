"""Explanations of rights: they never disagree with what enforcement does, and they name what decides."""

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.access import (
    ANONYMOUS,
    RULES,
    Peer,
    device_principal,
    key_principal,
    permit,
    user_principal,
)
from hub.core.explain import Target, explain, rule_named, target_of, unusable
from protocol.entities import KeyPermission
from protocol.errors import HubError
from protocol.names import KeyAction, UserRole, UserStatus
from tests.builders import access_key, administrator, device, permission, user

HERE = Peer(ip_address("10.1.2.3"), "https://app.example.com")
GUIDS = ("lamp", "fan", "door")
PLACES = (1, 2, None)

lists = lambda *values: st.none() | st.lists(st.sampled_from(values), max_size=2).map(tuple)  # noqa: E731
permissions = st.builds(
    KeyPermission,
    domains=lists("example.com", "other.org"),
    subnets=lists("10.0.0.0/8", "192.168.0.0/16", "no subnet"),
    actions=lists("GetDevice", "getdevicecommand", "ManageUser", "ManageNetwork", "nothing"),
    network_ids=lists(1, 2, "1", None),
    device_guids=lists(*GUIDS),
)
users = st.builds(
    user,
    role=st.sampled_from(UserRole),
    networks=st.frozensets(st.sampled_from([1, 2])),
    linked_devices=st.frozensets(st.sampled_from(GUIDS)),
    linked_groups=st.frozensets(st.sampled_from([7, 8])),
)
peers = st.builds(
    Peer,
    st.none() | st.sampled_from([ip_address("10.1.2.3"), ip_address("11.0.0.1")]),
    st.none() | st.sampled_from(["https://app.example.com", "https://evil.net", "null"]),
)
devices = st.builds(
    lambda guid, network_id, groups: replace(device(guid, network_id=network_id), groups=groups),
    st.sampled_from(GUIDS),
    st.sampled_from(PLACES),
    st.lists(st.sampled_from([7, 8]), max_size=2).map(tuple),
)


@st.composite
def principals(draw):
    """Anybody at all, and where they come from."""
    owner, peer = draw(users), draw(peers)
    key = replace(access_key(), permissions=tuple(draw(st.lists(permissions, max_size=3))))
    someone = st.sampled_from(["key", "key", "user", "device", "anonymous"])
    who = {
        "key": lambda: key_principal(key, owner, peer),
        "user": lambda: user_principal(owner),
        "device": lambda: device_principal(draw(devices)),
        "anonymous": lambda: ANONYMOUS,
    }
    return who[draw(someone)](), peer


def passes(action, principal):
    try:
        permit(action, principal)
    except HubError:
        return False
    return True


@given(
    principals(), st.sampled_from(sorted(RULES, key=str)), st.none() | devices, st.none() | st.sampled_from([1, 2, 3])
)
def test_an_explanation_never_disagrees_with_enforcement(asked, action, there, network):
    """For anybody, any action, any device or network: allowed is what is let through, and there is always a reason."""
    principal, peer = asked
    rule = RULES[action]
    allowed = passes(action, principal)
    target = Target(network=network)
    if there is not None:
        target = Target(there.guid, there.network_id, there.groups)
    if rule.key_action is not None and there is not None:
        allowed = allowed and principal.access.sees(rule.key_action, there)
    elif rule.key_action is not None and network is not None:
        allowed = allowed and principal.access.reaches_network(rule.key_action, network)

    told = explain(rule, principal, target, peer)

    assert told.allowed == allowed
    assert told.because
    assert any("condition" in link for link in told.because) != allowed
    if principal.key is not None and not allowed and "role" not in told.because[0]:
        assert len(told.because) == max(1, len(principal.key.permissions))


@given(principals(), devices, st.sampled_from(KeyAction))
def test_what_is_not_seen_is_told_like_what_is_not_there(asked, there, action):
    """A device that is seen for no action gives the answer that an absent one gives."""
    principal, peer = asked
    rule = rule_named(action.value)
    if any(principal.access.sees(one, there) for one in KeyAction):
        return

    hidden = explain(rule, principal, target_of(principal, there.guid, there), peer)
    absent = explain(rule, principal, target_of(principal, there.guid, None), peer)

    assert hidden == absent
    assert not hidden.allowed


# --- what it says -----------------------------------------------------------------------------------------------------

LAMP = Target("lamp", 1, ())


def why(action, principal, target=LAMP, peer=HERE):
    told = explain(rule_named(action), principal, target, peer)
    return told.allowed, list(told.because)


def told_of_key(given, owner, action="CreateDeviceCommand", target=LAMP):
    return why(action, key_principal(access_key(given), owner, HERE), target)


@pytest.mark.parametrize(
    ("given", "owner", "link"),
    [
        ({"actions": ["GetDevice"]}, user(1), {"condition": "actions", "has": ["GetDevice"]}),
        (
            {"subnets": ["192.168.0.0/16"]},
            user(1),
            {"condition": "subnets", "has": ["192.168.0.0/16"], "address": "10.1.2.3"},
        ),
        (
            {"domains": ["other.org"]},
            user(1),
            {"condition": "domains", "has": ["other.org"], "origin": "https://app.example.com"},
        ),
        ({"network_ids": []}, user(1), {"condition": "networkIds", "has": []}),
        ({"device_guids": []}, user(1), {"condition": "deviceGuids", "has": []}),
        ({"network_ids": [2]}, user(1, 2), {"condition": "networkIds", "has": [2]}),
        ({"device_guids": ["fan"]}, user(1), {"condition": "deviceGuids", "has": ["fan"]}),
        ({}, user(2), {"condition": "visible", "user": 2}),
        ({"actions": ["GetDevice"], "network_ids": []}, user(2), {"condition": "actions", "has": ["GetDevice"]}),
    ],
    ids=str,
)
def test_the_first_condition_that_fails_is_named(given, owner, link):
    """With what the permission has instead."""
    assert told_of_key(permission(**given), owner) == (False, [{"key": 7, "permission": 0, **link}])


def test_each_permission_of_a_key_is_accounted_for():
    """None of them lets it through, each for a reason of its own."""
    key = access_key(permission(actions=["GetDevice"]), permission(network_ids=[3]))

    allowed, because = why("CreateDeviceCommand", key_principal(key, user(1), HERE))

    assert (allowed, [link["condition"] for link in because]) == (False, ["actions", "networkIds"])
    assert [link["permission"] for link in because] == [0, 1]


def test_only_administrators_keys_manage():
    """The owner's role is the condition, whatever the permission says."""
    assert told_of_key(permission(), user(1), "ManageUser", Target()) == (
        False,
        [{"key": 7, "permission": 0, "condition": "owner", "has": "client"}],
    )


def test_a_key_without_permissions_says_so():
    """There is nothing to account for."""
    key = replace(access_key(), permissions=())

    assert why("GetDevice", key_principal(key, user(1), HERE)) == (
        False,
        [{"key": 7, "condition": "permissions", "has": []}],
    )


@pytest.mark.parametrize(
    ("owner", "way"),
    [
        (administrator(), {"user": 1, "role": "admin"}),
        (user(1), {"user": 2, "network": 1}),
        (user(linked_devices=frozenset({"lamp"})), {"user": 2, "device": "lamp"}),
        (user(linked_groups=frozenset({7})), {"user": 2, "group": 7}),
    ],
    ids=["administrator", "network", "link", "group"],
)
def test_what_makes_a_device_visible_is_told(owner, way):
    """Behind the role, and for a key behind the permission that lets it through."""
    target = Target("lamp", 1, (7,))
    key = access_key(permission(actions=["GetDevice"]), permission())

    assert why("CreateDeviceCommand", user_principal(owner), target) == (
        True,
        [{"role": "admin" if owner.is_admin else "client"}, way],
    )
    assert why("CreateDeviceCommand", key_principal(key, owner, HERE), target) == (
        True,
        [{"role": "key"}, {"key": 7, "permission": 1}, way],
    )


def test_a_network_that_is_named_is_explained_like_a_device():
    """By membership, and by the networks of the key."""
    key = key_principal(access_key(permission(network_ids=[2])), user(1, 2), HERE)

    assert why("GetNetwork", key, Target(network=2)) == (
        True,
        [{"role": "key"}, {"key": 7, "permission": 0}, {"user": 2, "network": 2}],
    )
    assert why("GetNetwork", key, Target(network=1)) == (
        False,
        [{"key": 7, "permission": 0, "condition": "networkIds", "has": [2]}],
    )
    assert why("GetNetwork", key, Target()) == (True, [{"role": "key"}, {"key": 7, "permission": 0}])


def test_an_explanation_goes_out_as_members():
    """For an answer of the API."""
    told = explain(rule_named("GetDevice"), ANONYMOUS, Target(), HERE)

    assert told.members() == {"allowed": told.allowed, "because": list(told.because)}


def test_roles_are_told_who_may():
    """A device inserts no commands, and nobody but a device asks for itself."""
    itself = device_principal(device("lamp"))

    assert why("command/insert", itself) == (
        False,
        [{"role": "device", "condition": "role", "has": ["admin", "client", "key"]}],
    )
    assert why("device/get", itself) == (True, [{"role": "device"}])
    assert why("GetDevice", itself, Target()) == (True, [{"role": "device"}])
    assert why("UpdateDeviceCommand", itself) == (True, [{"role": "device"}, {"device": "lamp"}])
    assert why("UpdateDeviceCommand", itself, Target("fan", 1)) == (False, [{"device": "lamp", "condition": "visible"}])
    assert why("RegisterDevice", ANONYMOUS) == (False, [{"role": "anonymous", "condition": "visible"}])
    assert why("GetDevice", user_principal(user(2))) == (False, [{"user": 2, "condition": "visible"}])


def test_who_would_see_a_device_is_told_that_there_is_none():
    """An administrator learns that it is absent; the others hear what they would hear anyway."""
    boss, alice = user_principal(administrator()), user_principal(user(1))

    assert why("GetDevice", boss, target_of(boss, "nobody", None)) == (
        False,
        [{"deviceGuid": "nobody", "condition": "exists"}],
    )
    assert why("GetDevice", alice, target_of(alice, "nobody", None)) == (False, [{"user": 2, "condition": "visible"}])
    assert target_of(alice, None, None, network=4) == Target(network=4)
    assert target_of(alice, "lamp", device("lamp")) == Target("lamp", 1)


def test_of_others_rights_only_the_device_is_hidden():
    """Somebody who sees nothing asks about a key that would reach it."""
    key = key_principal(access_key(), administrator(), HERE)

    assert why("GetDevice", key, target_of(ANONYMOUS, "lamp", device("lamp"))) == (
        False,
        [{"deviceGuid": "lamp", "condition": "exists"}],
    )


def test_names_of_actions_are_looked_for_in_both_languages():
    """Key actions, whatever their case; actions of the socket; operations of REST."""
    assert rule_named("getdevicecommand").key_action is KeyAction.GET_DEVICE_COMMAND
    assert rule_named("command/insert") is RULES[next(one for one in RULES if one.value == "command/insert")]
    assert rule_named("listDevices").key_action is KeyAction.GET_DEVICE
    assert rule_named("RegisterDevice").roles is None
    assert rule_named("ManageOAuthGrant").roles == rule_named("GetNetwork").roles
    assert rule_named("getDevices") is None


def test_who_cannot_come_in_hears_why():
    """An expired key and a locked owner are two reasons."""
    expired, locked = access_key(expires_ms=5), user(status=UserStatus.LOCKED_OUT)

    assert unusable(locked, expired, 6) == [
        {"key": 7, "condition": "expired"},
        {"user": 2, "condition": "status", "has": "locked-out"},
    ]
    assert unusable(user(), expired, 4) == []
    assert unusable(None, None, 4) == []
