"""OAuth clients and grants inside a transaction: :class:`hub.store.oauth.OAuth`, the same on every database."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Select, null, select, update

from hub.store import Listing, lists, queries, rows
from hub.store.oauth import NewClient
from hub.store.portable import one_of
from hub.store.schema import oauth_client, oauth_grant
from hub.store.secrets import Secrets, new_client_secret, same
from hub.store.statements import Statements
from protocol.entities import OAuthClient, OAuthGrant
from protocol.names import AccessType, GrantType
from protocol.requests import UNSET, Unset

_SECRET = "oauth client"  # noqa: S105 - what the copies of secrets are bound to


class OAuthEntities:
    """Made together with its transaction.

    Args:
        changed: leaves a Change behind, of an entity and an id.
        all_changed: leaves one for each row of a selection, of an id and a guid.
        delete_keys: deletes access keys, and by the rules of the database what hangs on them.
    """

    def __init__(
        self,
        statements: Statements,
        *,
        secrets: Secrets,
        changed: Callable[[str, int], None],
        all_changed: Callable[[str, Select[Any]], None],
        delete_keys: Callable[[Sequence[int]], int],
    ) -> None:
        self._sql = statements
        self._secrets = secrets
        self._changed = changed
        self._all_changed = all_changed
        self._delete_keys = delete_keys

    # --- clients ---

    def client(self, client_id: int) -> OAuthClient | None:
        return self._sql.one(queries.CLIENTS.where(oauth_client.c.id == client_id), rows.to_client)

    def client_by_oauth_id(self, oauth_id: str) -> OAuthClient | None:
        return self._sql.one(queries.CLIENTS.where(oauth_client.c.oauth_id == oauth_id), rows.to_client)

    def client_by_name(self, name: str) -> OAuthClient | None:
        named = queries.CLIENTS.where(oauth_client.c.name == name).order_by(oauth_client.c.id).limit(1)
        return self._sql.one(named, rows.to_client)

    def client_with_secret(self, oauth_id: str, secret: str) -> OAuthClient | None:
        found = queries.CLIENTS.where(oauth_client.c.oauth_id == oauth_id)
        row = self._sql.execute(found).mappings().one_or_none()
        if row is None or not same(secret, self._unlocked(row["client_secret_sealed"])):
            return None
        return rows.to_client(row)

    def list_clients(self, listing: Listing) -> list[OAuthClient]:
        return self._sql.listed(lists.clients(listing), queries.CLIENTS, rows.to_client)

    def client_secret(self, client_id: int) -> str:
        sealed = queries.CLIENTS.where(oauth_client.c.id == client_id)
        return self._unlocked(self._sql.execute(sealed).mappings().one()["client_secret_sealed"])

    def insert_client(
        self, *, name: str, domain: str, redirect_uri: str, oauth_id: str, subnet: str | None = None
    ) -> NewClient:
        secret = new_client_secret()
        client_id = self._sql.insert(
            oauth_client,
            name=name,
            domain=domain,
            redirect_uri=redirect_uri,
            oauth_id=oauth_id,
            subnet=subnet,
            secret_sealed=self._secrets.lock(secret, beside=_SECRET),
        )
        self._changed("oauth_client", client_id)
        return NewClient(OAuthClient(client_id, name, domain, redirect_uri, oauth_id, subnet), secret)

    def update_client(
        self,
        client_id: int,
        *,
        name: str | Unset = UNSET,
        domain: str | Unset = UNSET,
        subnet: str | None | Unset = UNSET,
        redirect_uri: str | Unset = UNSET,
        oauth_id: str | Unset = UNSET,
    ) -> None:
        values = {
            "name": name,
            "domain": domain,
            "subnet": subnet,
            "redirect_uri": redirect_uri,
            "oauth_id": oauth_id,
        }
        if self._sql.update(oauth_client, client_id, values):
            self._changed("oauth_client", client_id)

    def delete_client(self, client_id: int, *, limit: int) -> int:
        of_client = oauth_grant.c.client_id == client_id
        key_ids = self._sql.column(select(oauth_grant.c.key_id).where(of_client).limit(limit))
        self._all_changed("oauth_grant", select(oauth_grant.c.id, null()).where(one_of(oauth_grant.c.key_id, key_ids)))
        self._delete_keys(key_ids)
        if len(key_ids) < limit and self._sql.write(oauth_client.delete().where(oauth_client.c.id == client_id)):
            self._changed("oauth_client", client_id)
        return len(key_ids)

    def _unlocked(self, sealed: str) -> str:
        """A secret; where its pepper is not active any more, one that nobody knows."""
        return self._secrets.unlock(sealed, beside=_SECRET) or new_client_secret()

    # --- grants ---

    def grant(self, grant_id: int) -> OAuthGrant | None:
        return self._sql.one(queries.GRANTS.where(oauth_grant.c.id == grant_id), rows.to_grant)

    def grant_by_code(self, auth_code: str) -> OAuthGrant | None:
        return self._sql.one(queries.GRANTS.where(oauth_grant.c.auth_code == auth_code), rows.to_grant)

    def password_grant(self, *, user_id: int, client_id: int, scope: str) -> OAuthGrant | None:
        alike = queries.GRANTS.where(
            oauth_grant.c.user_id == user_id,
            oauth_grant.c.client_id == client_id,
            oauth_grant.c.scope == scope,
            oauth_grant.c.type == rows.GRANT_TYPES.index(GrantType.PASSWORD),
        )
        return self._sql.one(alike.order_by(oauth_grant.c.id).limit(1), rows.to_grant)

    def list_grants(
        self,
        listing: Listing,
        *,
        user_id: int | None = None,
        after_ms: int | None = None,
        before_ms: int | None = None,
    ) -> list[OAuthGrant]:
        listing = replace(listing, equal=_in_numbers(listing.equal))
        ids = lists.grants(listing, user_id=user_id, after_ms=after_ms, before_ms=before_ms)
        return self._sql.listed(ids, queries.GRANTS, rows.to_grant)

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
    ) -> OAuthGrant:
        grant_id = self._sql.insert(
            oauth_grant,
            user_id=user_id,
            client_id=client_id,
            key_id=key_id,
            timestamp_ms=timestamp_ms,
            type=rows.GRANT_TYPES.index(type),
            access_type=rows.ACCESS_TYPES.index(access_type),
            redirect_uri=redirect_uri,
            scope=scope,
            network_ids=rows.to_text(network_ids),
            auth_code=auth_code,
            code_challenge=code_challenge,
        )
        self._changed("oauth_grant", grant_id)
        made = self.grant(grant_id)
        assert made is not None, "a row that this transaction has just written"
        return made

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
    ) -> None:
        values: dict[str, Any] = {
            "client_id": client_id,
            "timestamp_ms": timestamp_ms,
            "type": type if isinstance(type, Unset) else rows.GRANT_TYPES.index(type),
            "access_type": access_type if isinstance(access_type, Unset) else rows.ACCESS_TYPES.index(access_type),
            "redirect_uri": redirect_uri,
            "scope": scope,
            "network_ids": network_ids if isinstance(network_ids, Unset) else rows.to_text(network_ids),
            "auth_code": auth_code,
            "code_challenge": code_challenge,
        }
        if self._sql.update(oauth_grant, grant_id, values):
            self._changed("oauth_grant", grant_id)

    def take_code(self, grant_id: int, auth_code: str) -> bool:
        there = (oauth_grant.c.id == grant_id) & (oauth_grant.c.auth_code == auth_code)
        taken = self._sql.write(update(oauth_grant).where(there).values(auth_code=None)) == 1
        if taken:
            self._changed("oauth_grant", grant_id)
        return taken

    def forget_codes(self, before_ms: int, *, limit: int) -> int:
        old = (oauth_grant.c.auth_code.is_not(None)) & (oauth_grant.c.timestamp_ms < before_ms)
        ids = self._sql.column(oauth_grant.select().with_only_columns(oauth_grant.c.id).where(old).limit(limit))
        if ids:
            self._sql.write(update(oauth_grant).where(one_of(oauth_grant.c.id, ids)).values(auth_code=None))
        return len(ids)

    def delete_grant(self, grant_id: int) -> bool:
        found = self.grant(grant_id)
        if found is None:
            return False
        self._changed("oauth_grant", grant_id)
        return self._delete_keys([found.key.id]) > 0


def _in_numbers(equal: Mapping[str, Any]) -> dict[str, Any]:
    """Values to look for as they are stored: words by their numbers."""
    words: dict[str, tuple[Any, ...]] = {"type": rows.GRANT_TYPES, "access_type": rows.ACCESS_TYPES}
    return {
        name: words[name].index(value) if name in words and value is not None else value
        for name, value in equal.items()
    }
