"""Passwords: ours, those of an imported installation, and those of nobody."""

import pytest

from hub.passwords import HASH_MAX, PASSWORD_MAX, Verdict, hash_password, verify_password

IMPORTED_HASH = "DFXFrZ8VQIkOYECScBbBwsYinj+o8IlaLsRQ81wO+l8="
IMPORTED_SALT = "sjQbZgcCmFxqTV4CCmGwpIHO"


@pytest.fixture(scope="module")
def hashed():
    return hash_password("correct horse")


def test_a_password_is_recognised(hashed):
    """Only the right one, and its hash needs no renewal."""
    assert verify_password("correct horse", hashed) == Verdict(correct=True, rehash=False)
    assert verify_password("correct horsf", hashed) == Verdict(correct=False)


def test_a_hash_is_argon2id_and_fits_its_column(hashed):
    """Two hashes of the same password differ: each has a salt of its own."""
    assert hashed.startswith("$argon2id$")
    assert len(hashed) <= HASH_MAX
    assert hash_password("correct horse") != hashed


def test_an_imported_password_is_recognised_and_due_for_a_new_hash():
    """DeviceHive stored base64(SHA-256(salt + password))."""
    assert verify_password("dhadmin_#911", IMPORTED_HASH, IMPORTED_SALT) == Verdict(correct=True, rehash=True)
    assert verify_password("dhadmin_#912", IMPORTED_HASH, IMPORTED_SALT) == Verdict(correct=False)
    assert verify_password("dhadmin_#911", IMPORTED_HASH, None) == Verdict(correct=False)


@pytest.mark.parametrize("password_hash", [None, "", "junk", "$argon2id$junk", "ä"])
def test_without_a_usable_hash_every_password_is_wrong(password_hash):
    """Also the empty one; nobody logs in by accident."""
    assert verify_password("", password_hash) == Verdict(correct=False)
    assert verify_password("x", password_hash) == Verdict(correct=False)


@pytest.mark.parametrize("password", ["\ud800", "\0", "x" * (PASSWORD_MAX + 1)])
def test_hostile_passwords_are_just_wrong(hashed, password):
    """Half a character, a zero, far too long: no error, no access."""
    assert verify_password(password, hashed) == Verdict(correct=False)
    assert verify_password(password, IMPORTED_HASH, IMPORTED_SALT) == Verdict(correct=False)


@pytest.mark.parametrize("password", ["", "x" * (PASSWORD_MAX + 1)])
def test_a_password_must_have_a_usable_length(password):
    """What could never be verified is not stored."""
    with pytest.raises(ValueError):
        hash_password(password)
