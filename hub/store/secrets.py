"""How access keys and device keys are kept: as keyed hashes, never as themselves.

The key of the hash, the *pepper*, lives in a file beside the database, so neither of the two is worth anything alone.
A fast hash is right here: access keys are 256 random bits.
"""

import base64
import hashlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hub.store.errors import CannotOpen

PEPPER_BYTES = 32
KEY_BYTES = 32
CLIENT_SECRET_BYTES = 18
START_LENGTH = 6

_PUBLISHED = frozenset(
    {
        # The sample data of DeviceHive; long enough to look like a secret.
        "1jwKgLYi/CdfBTI9KByfYxwyQ6HUIEfnGSgakdpFjgk=",
        "DFXFrZ8VQIkOYECScBbBwsYinj+o8IlaLsRQ81wO+l8=",
    }
)


class Secrets:
    """Hashes keys, compares them, and seals copies of access keys where an installation wants them readable.

    Args:
        peppers: the active ones, newest first. Keys are hashed with the first and recognised under all of them, so a
            pepper is rotated by putting the new one in front until every key has been renewed.
        readable: whether :meth:`seal` keeps copies of new keys.
    """

    def __init__(self, peppers: Sequence[bytes], *, readable: bool = False) -> None:
        if not peppers or any(len(pepper) < PEPPER_BYTES for pepper in peppers):
            raise ValueError(f"a pepper has at least {PEPPER_BYTES} bytes")
        self._peppers = tuple(peppers)
        self._readable = readable

    def __repr__(self) -> str:
        return f"Secrets(readable={self._readable})"

    def hash(self, key: str) -> str:
        """What to store of a key: 44 characters."""
        return _hash(self._peppers[0], key)

    def hashes(self, key: str) -> list[str]:
        """Everything that may be stored of a key, likeliest first."""
        return [_hash(pepper, key) for pepper in self._peppers]

    def matches(self, key: str, key_hash: str) -> bool:
        """Whether this key was hashed to ``key_hash``. Takes the same time whatever the answer."""
        stored = key_hash.encode()
        found = False
        for candidate in self.hashes(key):
            found |= hmac.compare_digest(candidate.encode(), stored)
        return found

    def seal(self, key: str, key_hash: str) -> str | None:
        """An encrypted copy of a key, good only beside its hash; None where keys are not readable."""
        return self.lock(key, beside=key_hash) if self._readable else None

    def unseal(self, sealed: str | None, key_hash: str) -> str | None:
        """The key from its encrypted copy; None when there is none, or none that an active pepper opens."""
        return self.unlock(sealed, beside=key_hash) if sealed is not None and self._readable else None

    def lock(self, text: str, *, beside: str) -> str:
        """An encrypted copy of a short text, good only beside another one."""
        # Imported late: most installations never need it, and it costs 40 ms of a command's start.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(12)
        sealed = AESGCM(_sealing_key(self._peppers[0])).encrypt(nonce, text.encode(), beside.encode())
        return base64.b64encode(nonce + sealed).decode()

    def unlock(self, sealed: str, *, beside: str) -> str | None:
        """The text from its encrypted copy; None when no active pepper opens it."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        copy = base64.b64decode(sealed)
        for pepper in self._peppers:
            try:
                return AESGCM(_sealing_key(pepper)).decrypt(copy[:12], copy[12:], beside.encode()).decode()
            except InvalidTag:
                continue
        return None


def new_key() -> str:
    """A new access key: 32 random bytes in base64, 44 characters."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def new_client_secret() -> str:
    """The secret of a new OAuth client: 18 random bytes in base64, 24 characters."""
    return base64.b64encode(secrets.token_bytes(CLIENT_SECRET_BYTES)).decode()


def same(one: str, other: str) -> bool:
    """Whether two secrets are the same. Takes the same time whatever the answer."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode())


def _hash(pepper: bytes, key: str) -> str:
    # surrogatepass: whatever text a peer manages to send is a wrong key, not an error.
    digest = hmac.digest(pepper, key.encode("utf-8", "surrogatepass"), hashlib.sha256)
    return base64.b64encode(digest).decode()


def _sealing_key(pepper: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"copies of access keys").derive(pepper)


# --- the pepper -------------------------------------------------------------------------------------------------------


def load_peppers(file: Path, given: str | None = None) -> tuple[bytes, ...]:
    """The active peppers, newest first.

    Args:
        file: where the installation's own pepper is; made with mode 0600 when it is missing and none is given.
        given: peppers from the settings instead, separated by commas; each at least 32 characters.

    Raises:
        CannotOpen: the file cannot be read or made, or a pepper is too short, too plain or published.
    """
    if given is not None:
        return tuple(_checked(pepper.strip()) for pepper in given.split(","))
    try:
        pepper = _made(file) if not file.exists() else file.read_bytes()
    except OSError as exc:
        raise CannotOpen(f"the pepper file {file} cannot be used: {exc.strerror}") from exc
    if len(pepper) < PEPPER_BYTES:
        raise CannotOpen(f"the pepper file {file} is damaged: it has {len(pepper)} bytes, not {PEPPER_BYTES}")
    return (pepper,)


def _checked(pepper: str) -> bytes:
    if len(pepper) < PEPPER_BYTES:
        raise CannotOpen(f"a pepper needs at least {PEPPER_BYTES} characters, this one has {len(pepper)}")
    if pepper in _PUBLISHED or len(set(pepper)) < 8:
        raise CannotOpen("the pepper is published or easily guessed; `openssl rand -base64 32` makes a good one")
    return pepper.encode()


def _made(file: Path) -> bytes:
    """Make the pepper file whole or not at all, and never in place of one that another process has just made."""
    pepper = secrets.token_bytes(PEPPER_BYTES)
    descriptor, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(pepper)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(draft, file)
    except FileExistsError:
        return file.read_bytes()
    finally:
        os.unlink(draft)
    return pepper
