"""OAuth grants: what key a client gets for what a user has granted to it, and for how long."""

import base64
import hashlib
import hmac
from dataclasses import dataclass

from hub.core.session_keys import session_label
from protocol.entities import AccessKey, KeyPermission, OAuthClient, OAuthGrant
from protocol.errors import BAD_CODE, BAD_REDIRECT_URI, GRANT_EXPIRED
from protocol.key_permissions import check_actions
from protocol.names import AccessType, GrantType, KeyType

ONLINE_MS = 600_000
"""How long a code, and a key of an ``Online`` grant, are good."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A grant as it is to be."""

    client: OAuthClient
    type: GrantType
    access_type: AccessType
    redirect_uri: str
    scope: str
    network_ids: tuple[int, ...] | None = None
    code_challenge: str | None = None

    def key(self, *, key_id: int = 0, user_id: int, now_ms: int) -> AccessKey:
        """The key that belongs to it.

        Raises:
            BadRequest: the scope names an action that there is not.
        """
        return AccessKey(
            key_id,
            user_id,
            session_label(self.client.name, now_ms),
            type=KeyType.OAUTH,
            expires_ms=now_ms + ONLINE_MS if self.access_type is AccessType.ONLINE else None,
            permissions=(self._permission(),),
        )

    def _permission(self) -> KeyPermission:
        subnet = self.client.subnet
        return KeyPermission(
            domains=(self.client.domain,),
            subnets=None if subnet is None else (subnet,),
            actions=check_actions(self.scope.split(" ")),
            network_ids=self.network_ids,
        )


def check_exchange(
    grant: OAuthGrant | None, *, oauth_id: str, redirect_uri: str | None, verifier: str | None = None, now_ms: int
) -> OAuthGrant:
    """Let the exchange of a code pass.

    Args:
        grant: that the code belongs to; None: there is none.
        oauth_id: of the client that brings it.
        verifier: the secret behind the challenge that was told when the code was asked for.

    Raises:
        Unauthorized: it is not this client's, or made for another address, or too old.
    """
    if grant is None or grant.type is not GrantType.CODE or grant.client.oauth_id != oauth_id:
        raise BAD_CODE.error()
    if redirect_uri is not None and redirect_uri != grant.redirect_uri:
        raise BAD_REDIRECT_URI.error()
    if not _answers(verifier, grant.code_challenge):
        raise BAD_CODE.error()
    if now_ms - grant.timestamp_ms > ONLINE_MS:
        raise GRANT_EXPIRED.error()
    return grant


def _answers(verifier: str | None, challenge: str | None) -> bool:
    """Whether a challenge is answered; a verifier that nobody asked for is a sign that a code was swapped."""
    if verifier is None or challenge is None:
        return verifier is challenge
    digest = hashlib.sha256(verifier.encode("utf-8", "surrogatepass")).digest()
    return hmac.compare_digest(base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), challenge)


def as_wanted(grant: OAuthGrant) -> Wanted:
    """A grant as it is, but for the challenge, which was that of its last code."""
    return Wanted(grant.client, grant.type, grant.access_type, grant.redirect_uri, grant.scope, grant.network_ids)


def seconds_left(key: AccessKey, now_ms: int) -> int | None:
    """For how many whole seconds a key is good; None: for good."""
    return None if key.expires_ms is None else max(0, (key.expires_ms - now_ms) // 1000)
