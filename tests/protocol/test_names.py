"""The words of the wire: closed lists, checked against what DeviceHive 2.0 has."""

from protocol.names import ADMIN_ACTIONS, CLIENT_ACTIONS, SUBSCRIBE_ACTION, Action, KeyAction, Kind
from protocol.requests import REQUESTS


def test_there_are_eleven_actions_of_devicehives_and_five_of_ours():
    """What later versions of DeviceHive added is unknown here."""
    assert {
        "authenticate",
        "server/info",
        "device/get",
        "device/save",
        "command/insert",
        "command/update",
        "command/subscribe",
        "command/unsubscribe",
        "notification/insert",
        "notification/subscribe",
        "notification/unsubscribe",
        "command/get",
        "command/watch",
        "command/receive",
        "command/cancel",
        "access/explain",
    } == set(Action)


def test_every_action_has_a_request():
    """No action can be named that nobody could read."""
    assert set(Action) == set(REQUESTS)


def test_key_actions_are_thirteen_for_clients_and_four_for_administrators():
    """The two sets share nothing and leave nothing out."""
    assert {"ManageUser", "ManageDeviceClass", "ManageNetwork", "ManageOAuthClient"} == ADMIN_ACTIONS
    assert len(CLIENT_ACTIONS) == 13
    assert set(KeyAction) == ADMIN_ACTIONS | CLIENT_ACTIONS
    assert not ADMIN_ACTIONS & CLIENT_ACTIONS


def test_each_kind_is_guarded_by_its_own_key_action():
    """Who may read commands need not be allowed to read notifications."""
    assert {Kind.COMMAND: "GetDeviceCommand", Kind.NOTIFICATION: "GetDeviceNotification"} == SUBSCRIBE_ACTION
