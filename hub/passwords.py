"""Passwords: argon2id for ours, DeviceHive's salted SHA-256 for those that come from an old installation.

A check takes about a tenth of a second and 64 MiB by design, so callers run it in a bounded pool of threads.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

HASH_MAX = 128
"""Characters that the column of a password hash has."""

PASSWORD_MAX = 1_024
"""Characters of a password that are looked at; a longer one is wrong, and refused where one is set."""

_hasher = PasswordHasher()


@dataclass(slots=True, frozen=True)
class Verdict:
    """What a check came to.

    Attributes:
        correct: whether the password is the right one.
        rehash: whether a correct password should be hashed anew and stored, because its hash is of an old kind.
    """

    correct: bool
    rehash: bool = False


WRONG = Verdict(correct=False)


def hash_password(password: str) -> str:
    """The argon2id hash to store, salt included. Blocks for about a tenth of a second.

    Raises:
        ValueError: the password is empty or longer than 1,024 characters.
    """
    if not 1 <= len(password) <= PASSWORD_MAX:
        raise ValueError(f"a password has 1 to {PASSWORD_MAX} characters")
    return _hasher.hash(_bytes(password))


def verify_password(password: str, password_hash: str | None, salt: str | None = None) -> Verdict:
    """Check a password. Blocks for about a tenth of a second, whether there is such a user or not.

    Args:
        password_hash: as stored; None for a user without password, and for a user who does not exist.
        salt: as stored; only an imported hash has one.
    """
    if password_hash is None or len(password) > PASSWORD_MAX:
        _waste_time(password)
        return WRONG
    if not password_hash.startswith("$argon2"):
        return _verify_imported(password, password_hash, salt or "")
    try:
        _hasher.verify(password_hash, _bytes(password))
    except (VerificationError, InvalidHashError):
        return WRONG
    return Verdict(correct=True, rehash=_hasher.check_needs_rehash(password_hash))


def _verify_imported(password: str, password_hash: str, salt: str) -> Verdict:
    digest = base64.b64encode(hashlib.sha256(_bytes(salt + password)).digest())
    correct = hmac.compare_digest(digest, _bytes(password_hash))
    # As long as any other answer takes: an imported account must not be told apart by the clock.
    _waste_time(password)
    return Verdict(correct=correct, rehash=correct)


def _waste_time(password: str) -> None:
    try:
        _hasher.verify(_nobody(), _bytes(password[:PASSWORD_MAX]))
    except VerificationError:
        return


@cache
def _nobody() -> str:
    """The hash of no password: its check takes as long as a real one."""
    return _hasher.hash("")


def _bytes(text: str) -> bytes:
    # surrogatepass: whatever text a peer manages to send is a wrong password, not an error.
    return text.encode("utf-8", "surrogatepass")
