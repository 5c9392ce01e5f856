"""Notices: what the hub itself tells about a device."""

from hub.core.notices import device_notification
from hub.core.stamps import Stamp
from protocol.codecs import load
from protocol.device_views import DEVICE_IN_NOTICE
from protocol.names import Special
from tests.builders import device, network


def test_a_notice_is_a_notification_of_the_device():
    """It has the hub's stamp and stands in the device's own log."""
    lamp = device("lamp")

    notice = device_notification(Special.DEVICE_ADD, lamp, Stamp(5, 1_000))

    assert (notice.name, notice.id, notice.timestamp_ms) == ("$device-add", 5, 1_000)
    assert (notice.device_guid, notice.device_id) == ("lamp", lamp.id)


def test_a_notice_shows_the_device_without_the_networks_key():
    """Whoever sees the device sees all of it but the secret that lets others into its network."""
    lamp = device("lamp", status="Online", network=network(key="s3cret"))

    notice = device_notification(Special.DEVICE_UPDATE, lamp, Stamp(5, 1_000))

    assert load(notice.parameters) == DEVICE_IN_NOTICE(lamp)
    assert b"s3cret" not in notice.parameters
