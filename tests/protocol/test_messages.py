"""Messages: when a command ends, and what an update changes."""

import pytest

from protocol.messages import AHEAD_MS, IDS_BEGIN_US, NULL, CommandPatch, lowest_id
from protocol.names import Kind
from tests.builders import command, notification


def test_a_time_bounds_the_ids_from_below():
    """The id of a message tells when it was made; its timestamp may be ten seconds ahead of that."""
    made_us = IDS_BEGIN_US + 3_600_000_000

    assert lowest_id(made_us // 1_000 + AHEAD_MS) == made_us - IDS_BEGIN_US


def test_no_id_is_below_zero():
    """Times before ids began mean: from the first one on."""
    assert lowest_id(0) == 0


def test_a_lifetime_counts_from_the_insertion():
    """A command ends its lifetime, in seconds, after its timestamp."""
    assert command(timestamp_ms=1_000_000, lifetime_s=5).expires_ms() == 1_005_000


@pytest.mark.parametrize("lifetime_s", [None, 0, -1])
def test_a_command_without_a_positive_lifetime_never_ends(lifetime_s):
    """Null, zero and less mean no end."""
    assert command(lifetime_s=lifetime_s).expires_ms() is None


def test_an_update_changes_what_it_carries_and_nothing_else():
    """Members of the patch win; all others keep their value."""
    before = command("lamp", "on", {"level": 1}, lifetime_s=60, user_id=2)

    after = before.amended(CommandPatch({"status": "Done"}))

    assert (
        command(
            "lamp",
            "on",
            {"level": 1},
            lifetime_s=60,
            user_id=2,
            id=before.id,
            timestamp_ms=before.timestamp_ms,
            status="Done",
            updated=True,
        )
        == after
    )


def test_an_update_can_clear_a_member():
    """A member that the patch holds as empty loses its value."""
    before = command(status="Done", result={"ok": True}, lifetime_s=5)

    after = before.amended(CommandPatch({"status": None, "result": NULL, "lifetime_s": None}))

    assert (after.status, after.result, after.lifetime_s) == (None, NULL, None)


def test_an_update_leaves_the_earlier_command_alone():
    """Messages are values: whoever still holds the command from before the update sees no change."""
    before = command(status=None)

    before.amended(CommandPatch({"status": "Done"}))

    assert before.status is None
    assert not before.updated


def test_an_empty_update_still_counts_as_one():
    """A replay passes over a command once any update has come, even one that changed nothing."""
    assert command().amended(CommandPatch({})).updated


def test_messages_know_their_kind():
    """Which log a message stands in follows from its class."""
    assert (notification().kind, command().kind) == (Kind.NOTIFICATION, Kind.COMMAND)


def test_a_notification_never_expires():
    """Only commands have a lifetime."""
    assert not notification().expired(2**62)
