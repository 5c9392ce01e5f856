"""OAuth clients and grants, as one transaction sees them: a part of :class:`hub.store.Tx`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from protocol.entities import OAuthClient, OAuthGrant
from protocol.names import AccessType, GrantType
from protocol.requests import UNSET, Unset

if TYPE_CHECKING:
    from hub.store import Listing


@dataclass(slots=True, frozen=True)
class NewClient:
    """An OAuth client just made, with its secret."""

    client: OAuthClient
    secret: str = field(repr=False)


class OAuth(Protocol):
    """As :class:`hub.store.Tx`: every change leaves a Change behind, unless it says otherwise."""

    def client(self, client_id: int) -> OAuthClient | None: ...
    def client_by_oauth_id(self, oauth_id: str) -> OAuthClient | None: ...
    def client_by_name(self, name: str) -> OAuthClient | None:
        """The first client with this name; several may have it."""

    def client_with_secret(self, oauth_id: str, secret: str) -> OAuthClient | None:
        """The client with this id, if the secret is its own. Compared in constant time."""

    def list_clients(self, listing: "Listing") -> list[OAuthClient]: ...
    def client_secret(self, client_id: int) -> str:
        """The secret of a client that is there."""
        ...

    def insert_client(
        self, *, name: str, domain: str, redirect_uri: str, oauth_id: str, subnet: str | None = None
    ) -> NewClient:
        """Make a client with a new secret, of which an encrypted copy is kept."""
        ...

    def update_client(
        self,
        client_id: int,
        *,
        name: str | Unset = UNSET,
        domain: str | Unset = UNSET,
        subnet: str | None | Unset = UNSET,
        redirect_uri: str | Unset = UNSET,
        oauth_id: str | Unset = UNSET,
    ) -> None: ...
    def delete_client(self, client_id: int, *, limit: int) -> int:
        """Delete some of a client's grants with their keys, and with the last of them the client. Returns how many; as
        many as ``limit``: ask again."""
        ...

    def grant(self, grant_id: int) -> OAuthGrant | None: ...
    def grant_by_code(self, auth_code: str) -> OAuthGrant | None: ...
    def password_grant(self, *, user_id: int, client_id: int, scope: str) -> OAuthGrant | None:
        """The first grant of type ``Password`` with exactly this scope."""

    def list_grants(
        self,
        listing: "Listing",
        *,
        user_id: int | None = None,
        after_ms: int | None = None,
        before_ms: int | None = None,
    ) -> list[OAuthGrant]:
        """Grants of a user, or of all; with timestamps greater than the one, and less than the other. Their list has
        one column more: ``client_oauth_id``."""
        ...

    def insert_grant(
        self,
        *,
        user_id: int,
        client_id: int,
        key_id: int,
        timestamp_ms: int,
        type: GrantType,  # noqa: A002
        access_type: AccessType,
        redirect_uri: str,
        scope: str,
        network_ids: Sequence[int] | None = None,
        auth_code: str | None = None,
        code_challenge: str | None = None,
    ) -> OAuthGrant: ...
    def update_grant(
        self,
        grant_id: int,
        *,
        client_id: int | Unset = UNSET,
        timestamp_ms: int | Unset = UNSET,
        type: GrantType | Unset = UNSET,  # noqa: A002
        access_type: AccessType | Unset = UNSET,
        redirect_uri: str | Unset = UNSET,
        scope: str | Unset = UNSET,
        network_ids: Sequence[int] | None | Unset = UNSET,
        auth_code: str | None | Unset = UNSET,
        code_challenge: str | None | Unset = UNSET,
    ) -> None: ...
    def take_code(self, grant_id: int, auth_code: str) -> bool:
        """Use up the code of a grant. Returns whether it was there: of several that try, one succeeds."""
        ...

    def forget_codes(self, before_ms: int, *, limit: int) -> int:
        """Remove codes of grants that are older than this; they are not taken any more. Leaves no Change. Returns how
        many; as many as ``limit``: ask again."""
        ...

    def delete_grant(self, grant_id: int) -> bool:
        """Delete a grant with its key. Returns whether there was one."""
        ...
