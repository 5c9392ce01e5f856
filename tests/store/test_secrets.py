"""Keys at rest: a keyed hash, and where an installation wants it a sealed copy."""

import os
import stat

import pytest

from hub.store.errors import CannotOpen
from hub.store.secrets import Secrets, load_peppers, new_key

OLD, NEW = b"old pepper of thirty-two bytes ..", b"new pepper of thirty-two bytes .."


def test_a_key_is_recognised_under_every_active_pepper():
    """And hashed with the newest."""
    both = Secrets([NEW, OLD])

    assert both.matches("key", Secrets([OLD]).hash("key"))
    assert both.hash("key") == Secrets([NEW]).hash("key")
    assert not Secrets([NEW]).matches("key", Secrets([OLD]).hash("key"))
    assert not both.matches("other", both.hash("key"))


def test_a_hash_tells_nothing_of_the_key():
    """It has the same length whatever was hashed."""
    assert {44} == {len(Secrets([NEW]).hash(key)) for key in ("", "k", "key" * 1_000, "\ud800")}


def test_new_keys_differ():
    """They are random."""
    assert len({new_key() for _ in range(100)}) == 100


def test_a_sealed_copy_opens_beside_its_hash_only():
    """A copy moved to another key's row is worth nothing, and so is one under a foreign pepper."""
    ours = Secrets([NEW], readable=True)
    key_hash = ours.hash("key")
    sealed = ours.seal("key", key_hash)

    assert ours.unseal(sealed, key_hash) == "key"
    assert Secrets([OLD, NEW], readable=True).unseal(sealed, key_hash) == "key"
    assert ours.unseal(sealed, ours.hash("other")) is None
    assert Secrets([OLD], readable=True).unseal(sealed, key_hash) is None
    assert ours.unseal(None, key_hash) is None


def test_nothing_is_sealed_unless_asked_for():
    """And copies from a time when it was are not opened."""
    readable, silent = Secrets([NEW], readable=True), Secrets([NEW])
    key_hash = readable.hash("key")

    assert silent.seal("key", key_hash) is None
    assert silent.unseal(readable.seal("key", key_hash), key_hash) is None


def test_its_text_shows_no_pepper():
    """It may stand in a traceback."""
    assert repr(Secrets([NEW])) == "Secrets(readable=False)"


@pytest.mark.parametrize("peppers", [[], [b"short"], [NEW, b""]])
def test_a_short_pepper_is_a_mistake_of_the_caller(peppers):
    """Whoever loads peppers has checked them."""
    with pytest.raises(ValueError, match="32"):
        Secrets(peppers)


# --- the pepper -------------------------------------------------------------------------------------------------------


def test_the_pepper_is_made_once(tmp_path):
    """Random, for its owner only, and the same ever after."""
    file = tmp_path / "pepper"

    (first,), (second,) = load_peppers(file), load_peppers(file)

    assert first == second
    assert len(first) == 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["pepper"]


def test_given_peppers_win_over_the_file(tmp_path):
    """Newest first; the file is not even made."""
    peppers = load_peppers(tmp_path / "pepper", f"{NEW.decode()}, {OLD.decode()}")

    assert peppers == (NEW, OLD)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("", "at least 32"),
        ("short", "at least 32"),
        (f"{NEW.decode()},", "at least 32"),
        ("a" * 64, "guessed"),
        ("1jwKgLYi/CdfBTI9KByfYxwyQ6HUIEfnGSgakdpFjgk=", "published"),
    ],
)
def test_a_bad_pepper_is_refused(tmp_path, given, why):
    """Short, plain or published: the text says what would be right, and not what was given."""
    with pytest.raises(CannotOpen, match=why) as caught:
        load_peppers(tmp_path / "pepper", given)

    assert not given or given not in str(caught.value)


def test_a_damaged_pepper_file_is_not_replaced(tmp_path):
    """A new pepper would make every key worthless."""
    file = tmp_path / "pepper"
    file.write_bytes(b"half")

    with pytest.raises(CannotOpen, match="damaged"):
        load_peppers(file)

    assert file.read_bytes() == b"half"


def test_a_pepper_without_a_place_is_told(tmp_path):
    """The directory is missing; the text names the file."""
    with pytest.raises(CannotOpen, match="nowhere"):
        load_peppers(tmp_path / "nowhere" / "pepper")
