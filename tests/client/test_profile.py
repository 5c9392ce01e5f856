"""Connection profiles: written for their owner alone, found where the command line looks."""

import json
import stat

import pytest

from hub.client import BadProfile, Profile, ProfileReadableByOthers
from hub.client.profile import find

PROFILE = Profile("ws://127.0.0.1:8080/api/websocket", "s3cret", "dhadmin", limits="bench", durability="queued")


def test_a_profile_is_read_as_it_was_written(tmp_path):
    """In the form that the hub's first start writes, and with nobody else's permission."""
    path = tmp_path / "hub-profile.json"
    path.write_text("old")
    path.chmod(0o644)

    PROFILE.write(path)

    assert Profile.read(path) == PROFILE
    assert json.loads(path.read_text()) == {
        "url": PROFILE.url,
        "accessKey": "s3cret",
        "login": "dhadmin",
        "limits": "bench",
        "durability": "queued",
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_profile_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    """Neither half a profile nor a temporary file."""
    target = tmp_path / "hub-profile.json"
    target.mkdir()

    with pytest.raises(OSError):
        PROFILE.write(target)

    assert list(tmp_path.iterdir()) == [target]


def test_a_profile_never_shows_its_key():
    """Not in its repr."""
    assert "s3cret" not in repr(PROFILE)


def test_a_profile_that_others_may_read_is_used_with_a_warning(tmp_path):
    """The warning says what to do."""
    path = tmp_path / "p.json"
    PROFILE.write(path)
    path.chmod(0o640)

    with pytest.warns(ProfileReadableByOthers, match="chmod 600"):
        assert Profile.read(path) == PROFILE


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"url": "ws://h"}', '{"url": 1, "accessKey": "s3cret"}', '{"accessKey": "s3cret', b"\xff s3cret"],
)
def test_a_file_that_is_no_profile_is_refused_without_showing_it(tmp_path, text):
    """What it holds may be a secret all the same."""
    path = tmp_path / "p.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o600)

    with pytest.raises(BadProfile) as caught:
        Profile.read(path)

    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_missing_profile_says_which(tmp_path):
    """The text names the path."""
    with pytest.raises(BadProfile, match=r"nowhere\.json"):
        Profile.read(tmp_path / "nowhere.json")


def test_a_profile_without_a_login_is_fine(tmp_path):
    """Only the address and the key are needed; members of later versions are passed over."""
    path = tmp_path / "p.json"
    path.write_text('{"url": "ws://h", "accessKey": "k", "new": 1}')
    path.chmod(0o600)

    assert Profile.read(path) == Profile("ws://h", "k")


def test_a_profile_is_looked_for_in_order(tmp_path, monkeypatch):
    """The given path, then HUB_PROFILE, then the current directory."""
    monkeypatch.chdir(tmp_path)
    named = tmp_path / "named.json"
    assert find(environment={}) is None

    PROFILE.write(tmp_path / "hub-profile.json")

    assert find(named, environment={"HUB_PROFILE": "/other"}) == named
    assert find(environment={"HUB_PROFILE": str(named)}) == named
    here = find(environment={})
    assert here is not None
    assert here.samefile(tmp_path / "hub-profile.json")
